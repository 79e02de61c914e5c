"""ScreenAgent's recordings as judgment rows: a made recording, what is refused, and the real ones in a processor."""

import json
import re
from collections import Counter

import pytest
import torch
from PIL import Image

from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.gui.screen_agent import read_judgments, screen_agent_rows
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_qwen2_vl


CONTEXT = (
    'The overall goal is "install "cowsay"".\n'
    "We have formulated an implementation plan for this overall goal:\n"
    "1. Open the terminal\n"
    'The current subtask is "Press "Enter"".'
)
PROMPT = (
    f"You are very familiar with Linux. Your goal is to judge. {CONTEXT}\n"
    "Please describe whether the picture conforms to the current subtask. Please answer in json format:\n"
    'There are several options: {"situation": "sub_task_success"}, {"situation": "need_retry"}\n'
    'The current subtask is "press Enter now". Please use json format.'
)


def answer(situation: str) -> list[dict]:
    return [{"action_type": "EvaluateSubTaskAction", "situation": situation, "advice": "Look again"}]


def write_step(root, name="2024-01-04_translate", recording="task019", **changed):
    folder = root / recording
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), "navy").save(folder / "images" / "a.png")
    step = {
        "actions": answer("sub_task_success"),
        "saved_image_name": "a.png",
        "send_prompt_en": PROMPT,
        "current_task": "按回车",
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps({**step, **changed}))
    return file


def test_rows(tmp_path):
    write_step(tmp_path, "2_translate_neg_eval", actions=answer("need_retry"))
    write_step(tmp_path, "2_translate")
    write_step(tmp_path, "3_translate", actions=answer("need_reformulate"))
    write_step(tmp_path, "1_translate", actions=[{"action_type": "PlanAction", "element": "x"}], send_prompt_en=None)
    rows = list(screen_agent_rows(tmp_path))
    text = f"{CONTEXT}\nDoes the picture conform to the current subtask? Answer Yes or No."
    assert [(row["page"], row["completion"][0]["content"][0]["text"], row["constructed"]) for row in rows] == [
        ("2_translate", "Yes", False),
        ("2_translate_neg_eval", "No", True),
        ("3_translate", "No", False),
    ]
    for row in rows:
        assert (row["role"], row["app"], row["task"]) == ("judger", "screen_agent", "task019")
        content = [{"type": "image"}, {"type": "text", "text": text}]
        assert row["prompt"] == [{"role": "user", "content": content}]
        assert [image.size for image in row["images"]] == [(64, 48)]


def test_judgment(tmp_path):
    other = 'The overall goal is "count".\n1. Open\nNow the subtask is "Open".\nPlease describe'
    write_step(tmp_path, send_prompt_en=other)
    (judgment,) = read_judgments(tmp_path)
    assert judgment.context == other.removesuffix("\nPlease describe")
    assert judgment.sub_task == "Open"
    assert judgment.screenshot == tmp_path / "task019" / "images" / "a.png"


WRONG = {
    "out of the recording": ({"saved_image_name": "../../b.png"}, "saved_image_name: '../../b.png' is no image"),
    "absolute": ({"saved_image_name": "/etc/a.png"}, "saved_image_name: '/etc/a.png' is no image"),
    "a link out": ({"saved_image_name": "link.png"}, "saved_image_name: 'link.png' is no image"),
    "no image": ({"saved_image_name": "task.json"}, "saved_image_name: 'task.json' is no image"),
    "missing": ({"saved_image_name": "b.png"}, "saved_image_name: "),
    "no name": ({"saved_image_name": None}, "saved_image_name: not a text"),
    "no question": ({"send_prompt_en": ""}, "send_prompt_en: no overall goal"),
    "no sub-task": ({"send_prompt_en": 'The overall goal is "x".'}, "send_prompt_en: no overall goal"),
    "no actions": ({"actions": "none"}, "actions: not a list"),
    "no action": ({"actions": ["none"]}, "actions: not a list"),
    "unknown situation": ({"actions": answer("done")}, "actions: [{'action_type': 'EvaluateSubTaskAction', 'situ"),
    "two answers": ({"actions": answer("need_retry") * 2}, "actions: [{'action_type': 'EvaluateSubTaskAction'"),
}


@pytest.mark.parametrize(("changed", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_the_file_and_the_field(tmp_path, changed, message):
    file = write_step(tmp_path, **changed)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    (tmp_path / "task019" / "images" / "link.png").symlink_to(tmp_path / "b.png")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: {message}')}"):
        list(read_judgments(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "not JSON"), (b"[]", "a list, not a step"), (b"[" * 100_000, "not JSON"), (b" " * 1_000_001, "larger")],
    ids=range(4),
)
def test_files_that_are_no_step(tmp_path, content, message):
    file = write_step(tmp_path)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: {message}"):
        list(read_judgments(tmp_path))


def test_a_screenshot_that_is_no_image(tmp_path):
    file = write_step(tmp_path)
    screenshot = file.parent / "images" / "a.png"
    screenshot.write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"^{re.escape(str(screenshot))}: no screenshot"):
        list(screen_agent_rows(tmp_path))


# --- the real recordings


@pytest.fixture(scope="module")
def rows(data) -> list[dict]:
    return list(screen_agent_rows(data / "screen_agent"))


def said(row: dict) -> str:
    return row["completion"][0]["content"][0]["text"]


def question(row: dict) -> str:
    return row["prompt"][0]["content"][1]["text"]


def test_every_judgment_is_read(rows):
    """67 sub_task_success, all recorded, and 43 need_retry, all constructed, in 12 recordings."""
    assert Counter((said(row), row["constructed"]) for row in rows) == {("Yes", False): 67, ("No", True): 43}
    assert len({row["task"] for row in rows}) == 12
    assert {image.size for row in rows for image in row["images"]} == {(1024, 768)}


def test_questions_do_not_tell_the_answer(rows):
    """What is asked of a constructed step is asked of a recorded one too; the options and the advice are gone."""
    recorded = {question(row) for row in rows if not row["constructed"]}
    assert {question(row) for row in rows if row["constructed"]} <= recorded
    assert len(recorded) == 66
    assert not [word for row in rows for word in ("json", "situation", "retry", "advice") if word in question(row)]
    assert all(question(row).isascii() for row in rows)


def test_a_processor_accepts_every_row(rows):
    """As many image tokens as features: of images shrunk to at most 64 x 64 pixels, patches of 4, 2 x 2 merged."""
    tokenizer = byte_tokenizer()
    processor = image_only_processor(
        tokenizer, patch_size=4, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    )
    pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    model = tiny_qwen2_vl(tokenizer)
    seen = set()
    for row in rows:
        text = processor.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        assert text.endswith(f"<|im_start|>assistant\n{said(row)}<|im_end|>\n")
        batch = processor(text=[text], images=row["images"], return_tensors="pt")
        tokens = int((batch["input_ids"] == pad).sum())
        assert tokens == int(batch["image_grid_thw"].prod()) // 4 > 0
        if said(row) not in seen:  # a mismatch of tokens and features stops the model
            seen.add(said(row))
            with torch.no_grad():
                assert torch.isfinite(model(**batch).logits).all()
    assert seen == {"Yes", "No"}


def test_rows_become_a_dataset(rows):
    dataset = row_dataset(rows[:3])
    assert dataset[1]["images"][0].size == (1024, 768)
    assert dataset[1]["prompt"][0]["content"][0]["type"] == "image"

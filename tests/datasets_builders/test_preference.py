"""Every published layout becomes TRL's columns, a broken row is named, and an unknown layout says what is known."""

import json
import os
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from trl import extract_prompt

from setaria.datasets_builders.preference import read_preference_file, to_preference
from setaria.datasets_builders.preference_layouts import MAPPERS, detect_layout, implicit_prompt, parse_hh_dialogue


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


SKY = {"prompt": [user("Sky?")], "chosen": [assistant("Blue.")], "rejected": [assistant("Green.")]}
HH_SKY = {
    "chosen": "\n\nHuman: Hi \n\nAssistant:Hello!\n\nHuman:  Sky?\nPlease.\n\nAssistant: Blue.",
    "rejected": "\n\nHuman: Hi \n\nAssistant:Hello!\n\nHuman:  Sky?\nPlease.\n\nAssistant: Green.\n",
}
SHAREGPT_SKY = {
    "conversations": [{"from": "human", "value": "Sky?"}],
    "chosen": {"from": "gpt", "value": "Blue."},
    "rejected": {"from": "gpt", "value": "Green."},
}
ALPACA_SKY = {"instruction": "Sky?", "output_1": "Green.", "output_2": "Blue.", "preference": 1.73, "annotator": "a"}
ULTRAFEEDBACK_SKY = {
    "prompt": "Sky?",
    "prompt_id": "17",
    "chosen": [user("Sky?"), assistant("Blue.")],
    "rejected": [user("Sky?"), assistant("Green.")],
    "score_chosen": 8.0,
}

CASES = {
    "explicit messages": (SKY | {"id": 3}, "explicit_prompt", SKY),
    "explicit text": (
        {"prompt": "Sky?", "chosen": " Blue.", "rejected": " Green."},
        "explicit_prompt",
        {"prompt": "Sky?", "chosen": " Blue.", "rejected": " Green."},
    ),
    "implicit messages": (
        {"chosen": [user("Sky?"), assistant("Blue.")], "rejected": [user("Sky?"), assistant("Green.")]},
        "implicit_prompt",
        SKY,
    ),
    "implicit text": (
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        "implicit_prompt",
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    ),
    "ultrafeedback": (ULTRAFEEDBACK_SKY, "string_prompt", SKY),
    "completions only": (SKY | {"prompt": "Sky?"}, "string_prompt", SKY),
    "hh": (
        HH_SKY,
        "hh_dialogue",
        SKY | {"prompt": [user("Hi"), assistant("Hello!"), user("Sky?\nPlease.")]},
    ),
    "sharegpt": (SHAREGPT_SKY, "sharegpt", SKY),
    "sharegpt with system": (
        SHAREGPT_SKY | {"system": "Be short."},
        "sharegpt",
        SKY | {"prompt": [{"role": "system", "content": "Be short."}, user("Sky?")]},
    ),
    "alpaca_eval": (ALPACA_SKY, "alpaca_eval", SKY),
    "alpaca_eval, first better": (
        ALPACA_SKY | {"preference": 1.0},
        "alpaca_eval",
        SKY | {"chosen": SKY["rejected"], "rejected": SKY["chosen"]},
    ),
}


@pytest.mark.parametrize(("row", "layout", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "streamed"])
def test_layout(row, layout, expected, streaming):
    dataset = Dataset.from_list([row, row])
    assert detect_layout(dataset[0]) == layout
    pairs = to_preference(dataset.to_iterable_dataset() if streaming else dataset)
    assert list(pairs) == [expected, expected]


def test_every_layout_has_a_case():
    assert {layout for _, layout, _ in CASES.values()} == set(MAPPERS)


def test_splits_are_mapped_one_by_one():
    splits = DatasetDict(train=Dataset.from_list([HH_SKY]), test=Dataset.from_list([HH_SKY] * 2))
    pairs = to_preference(splits)
    assert {name: split.num_rows for name, split in pairs.items()} == {"train": 1, "test": 2}
    assert pairs["test"].column_names == ["prompt", "chosen", "rejected"]


def test_tools_stay_and_function_calls_become_tool_calls():
    row = SHAREGPT_SKY | {
        "conversations": [
            {"from": "human", "value": "Weather?"},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Rome"}}'},
            {"from": "observation", "value": "sunny"},
        ],
        "tools": "[]",
    }
    [pair] = to_preference(Dataset.from_list([row]))
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    assert pair["tools"] == "[]"
    assert pair["prompt"][1]["tool_calls"] == [call]
    assert [message["role"] for message in pair["prompt"]] == ["user", "assistant", "tool"]


def test_images_stay_and_their_marks_become_parts():
    conversations = [{"from": "human", "value": "<image>Which colour?"}]
    row = SHAREGPT_SKY | {"conversations": conversations, "images": ["sky.png"]}
    [pair] = to_preference(Dataset.from_list([row]))
    content = [{key: value for key, value in part.items() if value} for part in pair["prompt"][0]["content"]]
    assert content == [{"type": "image"}, {"type": "text", "text": "Which colour?"}]
    assert pair["images"] == ["sky.png"]
    assert pair["chosen"] == [assistant("Blue.")]


def test_ties_are_dropped_and_counted(caplog):
    preferences = [1.0, 1.5, None, 1.51, 0.0]
    dataset = Dataset.from_list([ALPACA_SKY | {"preference": preference} for preference in preferences])
    with caplog.at_level("WARNING"):
        pairs = to_preference(dataset)
    assert [pair["chosen"][0]["content"] for pair in pairs] == ["Green.", "Blue."]
    assert "dropped 3 of 5 rows that prefer neither output" in caplog.text
    assert len(list(to_preference(dataset.to_iterable_dataset()))) == 2
    with pytest.raises(ValueError, match="every row is a tie"):
        to_preference(dataset.select([1, 2]))


def test_conversations_that_part_early_split_at_the_last_shared_question():
    row = {
        "chosen": [user("a"), assistant("b"), user("c"), assistant("d")],
        "rejected": [user("a"), assistant("b"), user("x"), assistant("y")],
    }
    assert implicit_prompt(row)["prompt"] == [user("a")]
    assert implicit_prompt(row)["chosen"] == row["chosen"][1:]


def test_equal_conversations_keep_their_last_turn_as_completion():
    row = {"chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("b")]}
    assert implicit_prompt(row) == {"prompt": [user("a")], "chosen": [assistant("b")], "rejected": [assistant("b")]}


BROKEN = {
    "explicit_prompt": (SKY | {"chosen": None}, "row 1 .*'chosen' is missing"),
    "explicit_prompt, empty": (SKY | {"rejected": []}, r"row 1 .*'rejected' is \[\]"),
    "explicit_prompt, question last": (SKY | {"chosen": [user("Why?")]}, "'chosen' ends with a turn of the user"),
    "implicit_prompt": (
        {"chosen": [user("a"), assistant("b")], "rejected": [user("c"), assistant("b")]},
        "share no prompt",
    ),
    "string_prompt": (ULTRAFEEDBACK_SKY | {"chosen": [user("Sky?")]}, "'chosen' ends with a turn of the user"),
    "hh_dialogue": (HH_SKY | {"rejected": "\n\nHuman: Hi"}, "'rejected' must begin with"),
    "sharegpt": (SHAREGPT_SKY | {"chosen": None}, "'chosen' holds missing"),
    "sharegpt, role": (SHAREGPT_SKY | {"rejected": {"from": "bot", "value": "?"}}, "from one of human, gpt"),
    "sharegpt, answer last": (
        SHAREGPT_SKY | {"conversations": [{"from": "gpt", "value": "Hi"}]},
        "'conversations' ends with a turn of the assistant",
    ),
    "alpaca_eval": (ALPACA_SKY | {"preference": 3.0}, "'preference' is 3.0: give a number from 1"),
    "alpaca_eval, output": (ALPACA_SKY | {"output_1": None}, "row 1 .*'output_1' is missing"),
}
GOOD_FIRST_ROW = {
    "explicit_prompt": SKY,
    "implicit_prompt": CASES["implicit messages"][0],
    "string_prompt": ULTRAFEEDBACK_SKY,
    "hh_dialogue": HH_SKY,
    "sharegpt": SHAREGPT_SKY,
    "alpaca_eval": ALPACA_SKY,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_named(name):
    row, message = BROKEN[name]
    dataset = Dataset.from_list([GOOD_FIRST_ROW[name.split(",")[0]], row])
    with pytest.raises(ValueError, match=message):
        to_preference(dataset)


@pytest.mark.parametrize("turn", ["{oops", "[1, "])
def test_a_function_call_must_be_json(turn):
    row = SHAREGPT_SKY | {"chosen": {"from": "function_call", "value": turn}}
    with pytest.raises(ValueError, match="'chosen' holds a function_call that is not JSON"):
        to_preference(Dataset.from_list([row]))


def test_empty_dataset():
    with pytest.raises(ValueError, match="the preference dataset is empty"):
        to_preference(Dataset.from_list([]))


@pytest.mark.parametrize("row", [{"text": "hello"}, {"prompt": "a", "chosen": 1, "rejected": 2}, {"chosen": "a"}])
def test_unknown_layout_names_columns_and_layouts(row):
    with pytest.raises(
        ValueError, match=rf"columns {next(iter(row))} \(str\).*Known layouts: explicit_prompt, .*eval"
    ):
        detect_layout(row)


TURN_TEXT = st.text(min_size=1).map(str.strip).filter(lambda text: text and "Human:" not in text and "nt:" not in text)


@given(st.lists(st.tuples(TURN_TEXT, TURN_TEXT), min_size=1, max_size=3))
def test_hh_dialogue_round_trip(exchanges):
    messages = [message for question, answer in exchanges for message in (user(question), assistant(answer))]
    names = {"user": "Human", "assistant": "Assistant"}
    dialogue = "".join(f"\n\n{names[message['role']]}: {message['content']}" for message in messages)
    assert detect_layout({"chosen": dialogue, "rejected": dialogue}) == "hh_dialogue"
    assert parse_hh_dialogue(dialogue) == messages


def test_hh_turns_of_one_speaker_are_joined():
    dialogue = "\n\nHuman: a\n\nAssistant: b\n\nAssistant: c\n\nHuman: d\n\nAssistant: "
    assert parse_hh_dialogue(dialogue) == [user("a"), assistant("b\n\nc"), user("d"), assistant("")]


@given(prompt=st.text(min_size=1), chosen=st.text(min_size=1), rejected=st.text(min_size=1))
def test_implicit_text_splits_as_trl_does(prompt, chosen, rejected):
    row = {"chosen": f"{prompt} {chosen}", "rejected": f"{prompt} {rejected}"}
    if any(a != b for a, b in zip(row["chosen"], row["rejected"], strict=False)):
        try:
            assert implicit_prompt(row) == extract_prompt(row)
        except ValueError:
            assert extract_prompt(row)["prompt"] == ""


@pytest.mark.parametrize("suffix", ["json", "jsonl", "parquet", "csv", "folder"])
def test_read_preference_file(tmp_path, suffix):
    rows = [{"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}] * 3
    path = tmp_path / f"pairs.{suffix}"
    dataset = Dataset.from_list(rows)
    if suffix == "json":
        path.write_text(json.dumps(rows))
    elif suffix == "folder":
        dataset.save_to_disk(path)
    else:
        {"jsonl": dataset.to_json, "parquet": dataset.to_parquet, "csv": dataset.to_csv}[suffix](path)
    assert list(read_preference_file(path)) == rows


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.json: no such file"):
        read_preference_file(tmp_path / "no.json")
    (tmp_path / "pairs.txt").write_text("x")
    with pytest.raises(ValueError, match=r"pairs\.txt: a preference file ends in \.json, "):
        read_preference_file(tmp_path / "pairs.txt")
    (tmp_path / "broken.json").write_text('{"chosen": ')
    with pytest.raises(ValueError, match=r"broken\.json: not readable as json"):
        read_preference_file(tmp_path / "broken.json")
    with pytest.raises(ValueError, match="not a folder written by save_to_disk"):
        read_preference_file(tmp_path)
    DatasetDict(train=Dataset.from_list([SKY])).save_to_disk(tmp_path / "splits")
    with pytest.raises(ValueError, match=r"holds the splits train: give .*splits/train"):
        read_preference_file(tmp_path / "splits")


@pytest.mark.skipif("SETARIA_DATA" not in os.environ, reason="SETARIA_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("name", "pairs", "turns_of_first_prompt"),
    [("hh_harmless_dev.jsonl", 1200, 5), ("llama_factory_dpo_en.json", 300, 1)],
)
def test_real_files(name, pairs, turns_of_first_prompt):
    dataset = to_preference(read_preference_file(Path(os.environ["SETARIA_DATA"], "preferences", name)))
    assert len(dataset) == pairs
    assert len(dataset[0]["prompt"]) == turns_of_first_prompt
    assert all(pair["prompt"][-1]["role"] == "user" for pair in dataset)
    assert all([message["role"] for message in pair["chosen"]] == ["assistant"] for pair in dataset)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="add column rejected"):
        detect_layout({"prompt": "one", "chosen": "two"})
    with pytest.raises(ValueError, match="add column preference"):
        detect_layout({"instruction": "a", "output_1": "b", "output_2": "c"})

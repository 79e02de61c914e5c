"""`setaria build backtrack`: what each builder writes, what it says, and what ends in one line."""

import json
import shutil

import pytest
from aitw_records import example, step_features, write_records
from datasets import load_from_disk
from PIL import Image

from setaria.cli.main import main
from setaria.datasets_builders.gui.mobile3m import app_folders
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_qwen2_vl


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    """A checkpoint whose processor brings images to 96 x 160 pixels at most."""
    folder = tmp_path_factory.mktemp("checkpoint")
    size = {"shortest_edge": 1024, "longest_edge": 96 * 160}
    image_only_processor(byte_tokenizer(), patch_size=4, merge_size=2, size=size).save_pretrained(folder)
    tiny_qwen2_vl(byte_tokenizer()).config.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    assert main(["build", "backtrack", "apps", "--output", str(folder), "--apps", "1", "--held_out", "0"]) == 0
    return folder


@pytest.fixture
def build(tmp_path):
    """Run a builder; returns the rows."""

    def run(*argv: object):
        assert main(["build", "backtrack", *map(str, argv), "--output", str(tmp_path / "rows")]) == 0
        return load_from_disk(str(tmp_path / "rows"))

    return run


def answers(rows) -> list[tuple[str, str]]:
    return [(row["role"], row["completion"][0]["content"][0]["text"]) for row in rows]


def table(capsys) -> dict[str, list[str]]:
    """Cells of the printed table by role."""
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    return {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines}


def test_apps(world, tmp_path, capsys):
    """As many apps as asked for, the same for the same seed."""
    folder = tmp_path / "again"
    assert main(["build", "backtrack", "apps", "--output", str(folder), "--apps", "1", "--held_out", "0"]) == 0
    tasks = (folder / "train" / "tasks.jsonl").read_bytes()
    assert tasks == (world / "train" / "tasks.jsonl").read_bytes()
    assert len(app_folders(folder / "train")) == 1
    count = len(tasks.splitlines())
    assert capsys.readouterr().out == f"{folder / 'train'}: 1 apps, {count} tasks\n"


def test_sft(world, processor, build, capsys):
    """Of n steps and m names, naming_share 0.5 makes m = n."""
    rows = build("sft", "--world", world / "train", "--processor", processor, "--naming_share", "0.5")
    tasks = [json.loads(line) for line in (world / "train" / "tasks.jsonl").read_text().splitlines()]
    steps = sum(len(task["steps"]) + 1 for task in tasks)
    assert table(capsys) == {"generator": [str(steps), "", ""], "naming": [str(steps), "", ""]}
    assert rows["role"] == ["generator"] * steps + ["naming"] * steps
    assert {row["task"] for row in rows} == {task["id"] for task in tasks} | {""}
    assert {image.size for row in rows.select(range(9)) for image in row["images"]} == {(88, 160)}


def android_control(folder, images=(0, 1)):
    """An episode of a click and a text, and the screenshots that are there."""
    contents = [{"action": "click", "coordinate": [100, 200]}, {"action": "type", "text": "Flora"}]
    steps = [
        {
            "action_content": content,
            "check_options": content,
            "screenshot": f"27_{n}.png",
            "step_instruction": "Do it",
        }
        for n, content in enumerate(contents)
    ]
    file = folder / "episodes.jsonl"
    file.write_text(json.dumps({"goal": "Rename it", "episode_id": 27, "is_successful": True, "steps": steps}) + "\n")
    for number in images:
        Image.new("RGB", (1080, 2400), "navy").save(folder / f"27_{number}.png")
    return ["android-control", "--episodes", file, "--images", folder]


def test_android_control(tmp_path, processor, build, capsys):
    """100 of 1080 and 200 of 2400 pixels are 93 and 83 thousandths."""
    click = "click(<ref></ref><box>[93,83][93,83]</box>)"
    typed = 'input(<ref></ref><box>[0,0][1000,1000]</box>, "Flora")'
    rows = build(*android_control(tmp_path), "--processor", processor)
    judged = [("judger", "Yes"), ("judger", "No")]
    assert answers(rows) == [("generator", click), *judged, ("generator", typed), *judged]
    printed = capsys.readouterr().out
    assert "no screenshot" not in printed


def test_missing_screenshots_are_counted_and_listed(tmp_path, processor, build, capsys):
    rows = build(*android_control(tmp_path, images=[1]), "--processor", processor)
    assert rows["role"] == ["generator", "judger", "judger"]
    missing = tmp_path / "rows" / "missing_images.txt"
    assert f"1 steps have no screenshot and no rows, see {missing}" in capsys.readouterr().out.replace("\n", "")
    assert missing.read_text() == f"{tmp_path / '27_0.png'}\n"


def test_aitw(tmp_path, processor, build, capsys):
    """Two episodes of a tap and of a task that is complete; the split file has one of them."""
    pixels = {"image__encoded": [bytes(3 * 32 * 64)], "image__height": [64], "image__width": [32]}
    pixels["results__yx_lift"] = [0.5, 0.25]  # where it was touched
    records = [
        example(step_features(episode_id=[episode], step_id=[step], results__action_type=[kind], **pixels))
        for episode in (b"1", b"2")
        for step, kind in enumerate((4, 10))
    ]
    file = write_records(tmp_path / "general-00000", records)
    (tmp_path / "splits.json").write_text('{"train": ["2"]}')
    rows = build("aitw", "--records", file, "--split_file", tmp_path / "splits.json", "--processor", processor)
    assert set(rows["task"]) == {"2"}
    assert table(capsys) == {"generator": ["2", "", ""], "judger": ["4", "2", "2"]}
    # y 0.5 and x 0.25 of the screen
    assert answers(rows)[0] == ("generator", "click(<ref></ref><box>[250,500][250,500]</box>)")
    assert answers(rows)[3] == ("generator", "complete()")


def test_screen_agent(tmp_path, build, capsys):
    recording = tmp_path / "sessions" / "task019"
    (recording / "images").mkdir(parents=True)
    Image.new("RGB", (64, 48), "navy").save(recording / "images" / "a.png")
    for name, situation in (("1_translate", "sub_task_success"), ("1_translate_neg_eval", "need_retry")):
        step = {
            "actions": [{"action_type": "EvaluateSubTaskAction", "situation": situation}],
            "saved_image_name": "a.png",
            "send_prompt_en": 'The overall goal is "x".\nThe current subtask is "Press".\nPlease',
        }
        (recording / f"{name}.json").write_text(json.dumps(step))
    rows = build("screen-agent", "--recordings", tmp_path / "sessions")
    assert answers(rows) == [("judger", "Yes"), ("judger", "No")]
    assert table(capsys) == {"judger": ["2", "1", "1"]}


BAD = {
    "world": (["sft", "--world", "absent"], "absent: holds no app in Mobile3M's layout"),
    "tasks": (["sft", "--world", "{empty}"], "tasks.jsonl: holds no task"),
    "share": (["sft", "--world", "{world}", "--naming_share", "1"], "naming_share=1.0 is no share below 1"),
    "family": (["sft", "--world", "{world}", "--family", "gpt"], "family is 'gpt': boxes of qwen2_vl"),
    "episodes": (["android-control", "--episodes", "absent.jsonl", "--images", "."], "absent.jsonl"),
    "images": (["android-control", "--episodes", "{episodes}", "--images", "absent"], "absent: holds none of the 2"),
    "records": (["aitw", "--records", "absent"], "absent"),
    "split": (["aitw", "--records", "absent", "--split_file", "{episodes}"], "no split 'train'"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(argv, message, world, processor, tmp_path, capsys):
    empty = tmp_path / "empty"
    if "{empty}" in argv:
        shutil.copytree(world / "train", empty)
        (empty / "tasks.jsonl").write_text("")
    episodes = android_control(tmp_path, images=[])[2]
    argv = [part.format(empty=empty, world=world / "train", episodes=episodes) for part in argv]
    assert main(["build", "backtrack", *argv, "--processor", processor, "--output", str(tmp_path / "rows")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert line.startswith(f"setaria build backtrack {argv[0]}: ")
    assert not (tmp_path / "rows").exists()


def test_no_recordings_and_no_apps(tmp_path, capsys):
    output = ["--output", str(tmp_path / "rows")]
    assert main(["build", "backtrack", "screen-agent", "--recordings", str(tmp_path), *output]) == 2
    assert "there is no row to write" in capsys.readouterr().err
    assert main(["build", "backtrack", "apps", "--apps", "0", *output]) == 2
    assert "apps=0, held_out=8: at least 1 and 0 are expected" in capsys.readouterr().err


def test_a_folder_that_holds_something_is_left_alone(tmp_path, world, capsys):
    before = sorted(world.rglob("*"))
    assert main(["build", "backtrack", "apps", "--output", str(world)]) == 2
    assert "is there already and not empty: choose another folder" in capsys.readouterr().err
    assert sorted(world.rglob("*")) == before


def test_no_checkpoint(tmp_path, world, capsys):
    argv = ["sft", "--world", str(world / "train"), "--processor", str(tmp_path / "absent")]
    assert main(["build", "backtrack", *argv, "--output", str(tmp_path / "rows")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "absent" in line


def test_collect_is_the_script(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["build", "backtrack", "collect", "--worlds", "w"])
    assert stop.value.code == 2
    assert "did you mean '--world'?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["build", "backtrack", "collect", "--help"])
    assert stop.value.code == 0
    assert "--reflect_wrong" in capsys.readouterr().out

"""The SPO script from start to end on a tiny model: what it leaves, how it resumes, and how it fails."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from safetensors.torch import load_file

from setaria.recipes.spo.train import main


TINY = str(Path(__file__).parents[2] / "recipes" / "spo" / "tiny.yaml")


@pytest.fixture
def run(tiny_checkpoint, pairs_file, tmp_path):
    """Run the script in this process; returns the output folder."""

    def train(*flags: str, data: Path = pairs_file, output_dir: Path = tmp_path / "out") -> Path:
        names = ["--model_name_or_path", str(tiny_checkpoint), "--dataset_name", str(data)]
        folder = ["--output_dir", str(output_dir), "--disable_tqdm", "true"]
        main(["--config", TINY, *names, *folder, "--max_steps", "6", "--save_steps", "3", *flags])
        return output_dir

    return train


def steps(output_dir: Path) -> list[int]:
    events = [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
    return [event["step"] for event in events if "loss" in event]


def failure(run, capsys, *flags: str, **options) -> str:
    """The one line on stderr of a run that must fail with exit code 1."""
    with pytest.raises(SystemExit) as stop:
        run(*flags, **options)
    assert stop.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("setaria: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_run_leaves_what_it_promises(run):
    output_dir = run()
    assert steps(output_dir) == [1, 2, 3, 4, 5, 6]
    for name in ("run/config.yaml", "run/command.txt", "run/environment.json", "run/git.diff", "model.safetensors"):
        assert (output_dir / name).exists(), name
    environment = json.loads((output_dir / "run/environment.json").read_text())
    assert environment["seed"] == 42
    assert {"torch", "trl", "setaria"} <= set(environment["packages"])
    assert not list(output_dir.rglob("*.tmp"))


def test_resume_ends_where_the_uninterrupted_run_ends(run, tmp_path):
    whole = load_file(run() / "model.safetensors")
    broken_off = tmp_path / "out"
    (broken_off / "model.safetensors").unlink()
    (broken_off / "checkpoint-6" / "trainer_state.json").unlink()
    run("--resume_from_checkpoint", "last")
    assert steps(broken_off) == [1, 2, 3, 4, 5, 6]
    resumed = load_file(broken_off / "model.safetensors")
    assert all(resumed[name].equal(whole[name]) for name in whole)


def test_a_damaged_checkpoint_is_named_with_the_newest_intact_one(run, capsys, tmp_path):
    run()
    weights = tmp_path / "out" / "checkpoint-6" / "model.safetensors"
    os.truncate(weights, 1000)
    message = failure(run, capsys, "--resume_from_checkpoint", str(weights.parent))
    assert "checkpoint-6: damaged, model.safetensors is cut short" in message
    assert f"the newest intact one is {tmp_path / 'out' / 'checkpoint-3'}" in message


def test_sigterm_saves_a_checkpoint_and_exits_with_143(run, tmp_path):
    output_dir = tmp_path / "out"

    def stop_after_the_first_step():
        while not (output_dir / "metrics.jsonl").exists() or not steps(output_dir):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_after_the_first_step, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        run("--max_steps", "100000", "--save_strategy", "no")
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    last = steps(output_dir)[-1]
    assert (output_dir / f"checkpoint-{last}" / "trainer_state.json").exists()
    assert not (output_dir / "model.safetensors").exists()


def test_a_nan_loss_ends_the_run_before_it_is_saved(run, capsys, tmp_path):
    message = failure(run, capsys, "--learning_rate", "1e30", "--max_grad_norm", "0", "--warmup_steps", "0")
    assert "loss=nan at step" in message
    assert "lower learning_rate" in message
    last = json.loads((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["loss"] is None
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_an_unwritable_output_folder_is_named(run, capsys, tmp_path):
    (tmp_path / "file").touch()
    message = failure(run, capsys, output_dir=tmp_path / "file" / "out")
    assert f"output_dir={tmp_path / 'file' / 'out'} cannot be written" in message
    assert "choose another with --output_dir" in message


PROMPT = [{"role": "user", "content": "Hi"}]
BAD_ROWS = {
    "missing column": ([{"prompt": "a", "chosen": "b"}], "columns prompt (str), chosen (str)"),
    "wrong type": ([{"prompt": "a", "chosen": 1, "rejected": 2}], "chosen"),
    "no completion": ([{"prompt": PROMPT, "chosen": [], "rejected": PROMPT}], "chosen"),
}


@pytest.mark.parametrize(("rows", "named"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_rows_are_named(run, capsys, tmp_path, rows, named):
    file = tmp_path / "bad.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert named in failure(run, capsys, data=file)


def test_missing_and_empty_data_are_named(run, capsys, tmp_path):
    assert "no split 'tset', only train" in failure(run, capsys, "--dataset_train_split", "tset")
    Dataset.from_dict({"prompt": [], "chosen": [], "rejected": []}).save_to_disk(tmp_path / "empty")
    assert "is empty, there is nothing to train on" in failure(run, capsys, data=tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("x")
    assert "a data file ends in .csv, .json" in failure(run, capsys, data=tmp_path / "notes.txt")
    (tmp_path / "broken.jsonl").write_text('{"prompt": ')
    assert f"dataset_name={tmp_path / 'broken.jsonl'} cannot be read" in failure(
        run, capsys, data=tmp_path / "broken.jsonl"
    )


def test_a_saved_dataset_is_read(run, tmp_path, pairs_file):
    load_dataset("json", data_files=str(pairs_file), split="train").save_to_disk(tmp_path / "saved")
    assert steps(run("--max_steps", "1", data=tmp_path / "saved")) == [1]


def test_lora_with_the_monitor(run):
    output_dir = run(
        *("--use_peft", "true", "--lora_target_modules", "q_proj", "v_proj", "--dataset_test_split", "train"),
        *("--monitor", "true", "--eval_strategy", "steps", "--eval_steps", "3"),
        *("--monitor_pairs", "4", "--monitor_sampled_prompts", "1", "--monitor_max_new_tokens", "4"),
    )
    assert (output_dir / "adapter_model.safetensors").exists()
    assert not (output_dir / "model.safetensors").exists()
    events = [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if "monitor/state" in event] == [0, 3, 6]


def test_qlora_really_trains_on_4_bit_weights(run, monkeypatch):
    from setaria.trainers import SPOTrainer

    layers = set()
    monkeypatch.setattr(
        SPOTrainer,
        "save_model",
        lambda self, *_, **__: layers.update(type(one).__name__ for one in self.model.modules()),
    )
    run("--use_peft", "true", "--load_in_4bit", "true", "--max_steps", "1", "--save_strategy", "no")
    assert "Linear4bit" in layers


def test_a_vision_checkpoint_without_torchvision(run, tmp_path):
    from PIL import Image

    from setaria.models.qwen_vl import image_only_processor
    from setaria.models.tiny import byte_tokenizer, tiny_qwen2_vl

    tokenizer = byte_tokenizer()
    size = {"shortest_edge": 256, "longest_edge": 4096}
    image_only_processor(tokenizer, patch_size=4, merge_size=2, size=size).save_pretrained(tmp_path / "model")
    tiny_qwen2_vl(tokenizer).save_pretrained(tmp_path / "model")
    image = {"type": "image"}
    rows = [
        {
            "images": [Image.new("RGB", (16, 16), color=colour)],
            "prompt": [{"role": "user", "content": [image, {"type": "text", "text": "Which colour?"}]}],
            "chosen": [{"role": "assistant", "content": [{"type": "text", "text": colour}]}],
            "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "none"}]}],
        }
        for colour in ("red", "green", "blue", "white") * 4
    ]
    Dataset.from_list(rows).save_to_disk(tmp_path / "images")
    names = ("--model_name_or_path", str(tmp_path / "model"), "--max_length", "none", "--max_steps", "2")
    output_dir = run(*names, data=tmp_path / "images")
    assert steps(output_dir) == [1, 2]
    assert (output_dir / "preprocessor_config.json").exists() or (output_dir / "processor_config.json").exists()

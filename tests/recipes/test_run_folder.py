"""The run folder: atomic files, metrics that survive a resume, no secrets."""

import json
import sys
from types import SimpleNamespace

import pytest

from setaria.recipes.run_folder import MetricsJsonl, write_atomically, write_run_folder


def state(step: int) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, epoch=step / 10, is_world_process_zero=True)


def test_a_failed_write_leaves_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    write_atomically(path, "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_metrics_of_a_resumed_run_continue_at_its_step(tmp_path):
    metrics = MetricsJsonl(str(tmp_path))
    metrics.on_train_begin(None, state(0), None)
    for step in (0, 1, 2, 3):
        metrics.on_log(None, state(step), None, logs={"loss": float("nan") if step == 3 else 1.0})
    assert [json.loads(line)["loss"] for line in metrics.path.read_text().splitlines()] == [1.0, 1.0, 1.0, None]
    with metrics.path.open("a") as file:
        file.write('{"step": 2, "cut sh')
    metrics.on_train_begin(None, state(2), None)
    assert [json.loads(line)["step"] for line in metrics.path.read_text().splitlines()] == [0, 1, 2]
    metrics.on_train_begin(None, state(0), None)
    assert metrics.path.read_text() == ""


def test_only_the_main_process_writes(tmp_path):
    other = state(1)
    other.is_world_process_zero = False
    metrics = MetricsJsonl(str(tmp_path))
    metrics.on_train_begin(None, other, None)
    metrics.on_log(None, other, None, logs={"loss": 1.0})
    assert not metrics.path.exists()


def test_a_token_on_the_command_line_is_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "--hub_token", "hf_1", "--hub-token=hf_2", "--seed", "3"])
    write_run_folder(str(tmp_path), {"seed": 3}, processes=1)
    command = (tmp_path / "run" / "command.txt").read_text()
    assert "hf_" not in command
    assert "--seed 3" in command

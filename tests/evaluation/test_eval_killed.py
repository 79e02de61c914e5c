"""`setaria eval` is killed with SIGKILL while it works, and started again: what is finished is kept to the byte."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from eval_inputs import TEXT, config

from setaria.evaluation import evaluate
from setaria.evaluation.items import items_file, read_items
from setaria.evaluation.results import Results


TEXTS = 6


@pytest.fixture
def undisturbed(tiny_checkpoint, tmp_path):
    """A run in this process that nobody disturbs, and its configuration."""
    file = tmp_path / "many.jsonl"
    file.write_text("".join(json.dumps({"text": TEXT[number : number + 150]}) + "\n" for number in range(TEXTS)))
    done = config(tiny_checkpoint, tmp_path, tasks={"fidelity": file}, caches=("none", "kivi-2"), batch_size=1)
    return evaluate(done), done


def test_a_killed_run_goes_on_where_it_was(undisturbed, tiny_checkpoint, tmp_path):
    """Killed in the second of two settings, so that one file is whole and one is growing."""
    whole, done = undisturbed
    output = tmp_path / "killed"
    given = {"models": [str(tiny_checkpoint)], "tasks": {"fidelity": str(done.tasks["fidelity"])}, "batch_size": 1}
    given |= {"output": str(output), "caches": ["none", "kivi-2"], "dtype": "float32", "max_new_tokens": 24}
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(given))
    command = [sys.executable, "-m", "setaria.cli.main", "eval", "--config", str(tmp_path / "eval.yaml")]
    finished = items_file(output, tiny_checkpoint.name, "fidelity")
    growing = items_file(output, f"{tiny_checkpoint.name} / kivi-2", "fidelity")

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and lines_of(growing) < 3:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 3 <= lines_of(growing) < TEXTS and lines_of(finished) == TEXTS
    assert not (output / "results.json").exists()
    kept = {file: file.read_bytes() for file in (finished, growing)}
    (output / "results.json").write_text('{"schema": "setaria.ev')

    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert finished.read_bytes() == kept[finished]
    assert growing.read_bytes().startswith(kept[growing][: kept[growing].rfind(b"\n") + 1])
    assert Results.read(output).scores == whole.scores
    for file in (finished, growing):
        assert read_items(file) == read_items(done.output / file.relative_to(output))


def lines_of(file) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0

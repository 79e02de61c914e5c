"""Two processes share the items and find what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from eval_inputs import write_inputs

from setaria.cli.main import main
from setaria.evaluation.results import Results


pytestmark = pytest.mark.distributed


def test_two_processes_find_what_one_does(tiny_checkpoint, tmp_path, capsys):
    files = [f"{task}={file}" for task, file in write_inputs(tmp_path).items()]
    command = ["eval", "--model", str(tiny_checkpoint), "--tasks", *files, "--cache", "none", "kivi-2"]
    command += ["--max_new_tokens", "8", "--batch_size", "1", "--dtype", "float32"]
    assert main([*command, "--output", str(tmp_path / "one")]) == 0
    assert "processes: 1" in capsys.readouterr().out
    launch = ["--config_file", str(Path(__file__).parents[2] / "accelerate_configs/cpu_ddp.yaml")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", *launch),
            *("-m", "setaria.cli.main", *command, "--output", str(tmp_path / "two")),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "processes: 2" in done.stdout
    one, two = Results.read(tmp_path / "one"), Results.read(tmp_path / "two")
    assert one.scores == two.scores
    assert one.settings == two.settings
    assert one.notes == two.notes

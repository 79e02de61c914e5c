"""The same SPO run in one process and in two, by every way of distributing it, takes the same course.

One process with two accumulation steps sees the pairs that two processes see with one. Losses and gradient norms agree
to 1e-4 relative: sums are taken in another order, nothing else differs. Each run also says what it ran as, since some
configurations fall back to fewer processes or to plain data parallelism without a word.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file


HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONFIGS = ROOT / "accelerate_configs"
RELATIVE_TOLERANCE = 1e-4

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def launch(tiny_checkpoint, pairs_file, tmp_path_factory):
    def run(config: Path, accumulation: int) -> tuple[dict, dict]:
        """(record of the main process, weights that were saved)."""
        output_dir = tmp_path_factory.mktemp(config.stem)
        worker = [
            str(HERE / "spo_worker.py"),
            str(tiny_checkpoint),
            str(pairs_file),
            str(output_dir),
            str(accumulation),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), *worker],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads((output_dir / "record.json").read_text()), load_file(output_dir / "model.safetensors")

    return run


@pytest.fixture(scope="module")
def one_process(launch):
    record, weights = launch(CONFIGS / "cpu.yaml", accumulation=2)
    assert (record["num_processes"], record["distributed_type"]) == (1, "NO")
    assert record["model_wrapped"] == "LlamaForCausalLM"
    assert record["held_elements"] == sum(weight.numel() for weight in weights.values())
    assert len(record["history"]) == 3
    return record, weights


MODES = {
    "cpu_ddp": (CONFIGS / "cpu_ddp.yaml", "MULTI_CPU", "DistributedDataParallel", 1.0),
    "cpu_zero2": (CONFIGS / "cpu_zero2.yaml", "DEEPSPEED", "DeepSpeedEngine", 1.0),
    "cpu_zero3": (CONFIGS / "cpu_zero3.yaml", "DEEPSPEED", "DeepSpeedEngine", 0.5),
    "cpu_fsdp2": (HERE / "cpu_fsdp2.yaml", "FSDP", "FSDPLlamaForCausalLM", 0.5),
}


@pytest.mark.parametrize(("config", "distributed_type", "wrapper", "held_share"), MODES.values(), ids=MODES)
def test_two_processes_take_the_same_course(launch, one_process, config, distributed_type, wrapper, held_share):
    alone, expected_weights = one_process
    record, weights = launch(config, accumulation=1)

    assert record["num_processes"] == 2
    assert record["distributed_type"] == distributed_type
    assert record["model_wrapped"] == wrapper
    assert record["held_elements"] == pytest.approx(held_share * alone["held_elements"], rel=0.02)

    for key in ("loss", "grad_norm", "rewards/margins"):
        course = [entry[key] for entry in record["history"]]
        assert course == pytest.approx([entry[key] for entry in alone["history"]], rel=RELATIVE_TOLERANCE, abs=1e-5), (
            key
        )
    assert weights.keys() == expected_weights.keys()
    for name, weight in weights.items():
        assert weight.shape == expected_weights[name].shape
        assert (weight - expected_weights[name]).abs().max() < 1e-4, name

"""The same SPO run in one process and in two, by every way of distributing it, takes the same course.

One process with two accumulation steps sees the pairs that two processes see with one. Losses and gradient norms agree
to 1e-4 relative: sums are taken in another order, nothing else differs. The monitor measures the same, too. Each run
also says what it ran as, since some configurations fall back to fewer processes or to plain data parallelism without a
word.
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
    def run(config: Path, *options: str) -> tuple[dict, dict]:
        """(record of the main process, weights that were saved)."""
        output_dir = tmp_path_factory.mktemp(config.stem)
        worker = [
            str(HERE / "spo_worker.py"),
            str(tiny_checkpoint),
            str(pairs_file),
            str(output_dir),
            *options,
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
    record, weights = launch(CONFIGS / "cpu.yaml", "--gradient_accumulation_steps", "2")
    assert (record["num_processes"], record["distributed_type"]) == (1, "NO")
    assert record["model_wrapped"] == "LlamaForCausalLM"
    assert record["held_elements"] == sum(weight.numel() for weight in weights.values())
    assert len(record["training"]) == 3
    assert [entry["step"] for entry in record["monitor"]] == [0, 1, 2, 3]
    assert record["monitor"][-1]["monitor/kl"] > 0
    return record, weights


MODES = {
    "cpu_ddp": (CONFIGS / "cpu_ddp.yaml", "MULTI_CPU", "DistributedDataParallel", 1.0),
    "cpu_zero2": (CONFIGS / "cpu_zero2.yaml", "DEEPSPEED", "DeepSpeedEngine", 1.0),
    "cpu_zero3": (CONFIGS / "cpu_zero3.yaml", "DEEPSPEED", "DeepSpeedEngine", 0.5),
    "cpu_fsdp2": (HERE / "cpu_fsdp2.yaml", "FSDP", "FSDPLlamaForCausalLM", 0.5),
}
SHARED = {mode: MODES[mode] for mode in ("cpu_ddp", "cpu_fsdp2")}
RUNS = {mode: (*run, ()) for mode, run in MODES.items()}
RUNS |= {f"{mode}_shared_prompt": (*run, ("--share_prompt",)) for mode, run in SHARED.items()}


@pytest.mark.parametrize(("config", "distributed_type", "wrapper", "held_share", "options"), RUNS.values(), ids=RUNS)
def test_two_processes_take_the_same_course(
    launch, one_process, config, distributed_type, wrapper, held_share, options
):
    alone, expected_weights = one_process
    record, weights = launch(config, *options)

    assert record["num_processes"] == 2
    assert record["distributed_type"] == distributed_type
    assert record["model_wrapped"] == wrapper
    assert record["held_elements"] == pytest.approx(held_share * alone["held_elements"], rel=0.02)

    for key in ("loss", "grad_norm", "rewards/margins"):
        course = [entry[key] for entry in record["training"]]
        expected = [entry[key] for entry in alone["training"]]
        assert course == pytest.approx(expected, rel=RELATIVE_TOLERANCE, abs=1e-5), key
    assert record["eval_loss"] == pytest.approx(alone["eval_loss"], rel=RELATIVE_TOLERANCE)
    for entry, expected in zip(record["monitor"], alone["monitor"], strict=True):
        assert entry == pytest.approx(expected, abs=1e-4)
    assert weights.keys() == expected_weights.keys()
    for name, weight in weights.items():
        assert weight.shape == expected_weights[name].shape
        assert (weight - expected_weights[name]).abs().max() < 1e-4, name

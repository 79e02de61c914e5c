"""The monitor measures the same in one process and in two: five probes, so that the two shares overlap by one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONFIGS = ROOT / "accelerate_configs"

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def launch(tiny_checkpoint, pairs_file, tmp_path_factory):
    def run(config: Path, accumulation: int) -> dict:
        output_dir = tmp_path_factory.mktemp(config.stem)
        worker = [HERE / "monitor_worker.py", tiny_checkpoint, pairs_file, output_dir, accumulation]
        done = subprocess.run(
            [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, *map(str, worker)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads((output_dir / "record.json").read_text())

    return run


@pytest.fixture(scope="module")
def one_process(launch):
    record = launch(CONFIGS / "cpu.yaml", accumulation=2)
    assert (record["num_processes"], record["model_wrapped"]) == (1, "LlamaForCausalLM")
    assert [entry["step"] for entry in record["history"]] == [0, 1, 2]
    assert record["history"][-1]["monitor/kl"] > 0
    return record


MODES = {
    "cpu_ddp": (CONFIGS / "cpu_ddp.yaml", "DistributedDataParallel"),
    "cpu_zero3": (CONFIGS / "cpu_zero3.yaml", "DeepSpeedEngine"),
    "cpu_fsdp2": (HERE / "cpu_fsdp2.yaml", "FSDPLlamaForCausalLM"),
}


@pytest.mark.parametrize(("config", "wrapper"), MODES.values(), ids=MODES)
def test_two_processes_measure_the_same(launch, one_process, config, wrapper):
    record = launch(config, accumulation=1)
    assert (record["num_processes"], record["model_wrapped"]) == (2, wrapper)
    for entry, expected in zip(record["history"], one_process["history"], strict=True):
        assert entry == pytest.approx(expected, abs=1e-4)

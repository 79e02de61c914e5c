"""Processes that share a sharded model decode with drafts until the last of them is done."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = pytest.mark.distributed


def test_processes_that_finish_apart_do_not_wait_forever(tmp_path):
    worker = Path(__file__).parent / "ngram_worker.py"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", worker, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    for record, tokens in ((first, 5), (second, 39)):
        assert (record["world_size"], record["is_sharded"], record["identical"]) == (2, True, True)
        assert record["tokens"] == tokens
    assert first["forwards"] < second["forwards"]

"""The folder of a lab and the processes that fill it, for labs whose seeds run side by side.

OUTPUT/lab.json             settings; another lab is not mixed in
OUTPUT/PART/result.json     of a part that is finished, such as a seed
OUTPUT/PART/log.txt         of its process, `python -m MODULE OUTPUT PART`
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from setaria.recipes.run_folder import write_atomically


def claim(output: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a lab on first use of its folder.

    Raises:
        ValueError: if the folder holds a lab with other settings.
    """
    path = output / "lab.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise ValueError(f"{output} holds a lab with other settings: choose another folder with --output")
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings, indent=2) + "\n")


def run_parts(
    module: str,
    output: Path,
    parts: Sequence[str],
    jobs: int,
    threads: int = 1,
    report: Callable[[str], None] = print,
) -> list[Any]:
    """Run the parts that have no result yet; returns the results of all, in order.

    Args:
        module: what is run; it takes the folder and the name of a part, and writes its result.
        jobs: parts at a time.
        threads: of each.

    Raises:
        ValueError: for fewer than 1 job.
        RuntimeError: if a process fails, naming its log; the others are ended.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs}: at least 1 is expected")
    waiting = [part for part in parts if not _result(output, part).exists()]
    running: dict[str, subprocess.Popen] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                part = waiting.pop(0)
                running[part] = _start(module, output, part, threads)
                report(f"{part}: started, log in {_log(output, part)}")
            time.sleep(1)
            for part, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[part]
                if process.returncode:
                    raise RuntimeError(f"{part} failed with exit code {process.returncode}: {_log(output, part)}")
                report(f"{part}: finished")
    finally:
        for process in running.values():
            process.terminate()
    return [json.loads(_result(output, part).read_text()) for part in parts]


def write_result(output: Path, part: str, result: Any) -> None:
    """Write what a part has found; it is finished then."""
    write_atomically(_result(output, part), json.dumps(result, indent=1) + "\n")


def _start(module: str, output: Path, part: str, threads: int) -> subprocess.Popen:
    command = [sys.executable, "-m", module, str(output), part]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    _log(output, part).parent.mkdir(exist_ok=True)
    with _log(output, part).open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def _result(output: Path, part: str) -> Path:
    return output / part / "result.json"


def _log(output: Path, part: str) -> Path:
    return output / part / "log.txt"

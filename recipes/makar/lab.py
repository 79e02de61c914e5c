"""The lab: do reinforcement, knowledge and search help an agent that finds entities of tweets in their images?

    setaria lab makar --output runs/lab_makar --seeds 3

On the tweets world, with a vision-language model from scratch (`lab_stages`), in the arms of `lab_arms`. A stand-in
plays the large model of knowledge and search (`lab_reader`). Finished stages and replies are kept and not repeated;
seeds run side by side in processes of their own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars
from transformers.utils import logging

from setaria.recipes.lab_processes import claim, run_parts, write_result
from setaria.recipes.makar.lab_arms import ARMS, FLOORS, run_arm, run_floor
from setaria.recipes.makar.lab_config import LabConfig
from setaria.recipes.makar.lab_report import write_report
from setaria.recipes.makar.lab_stages import Shared, Stages


SHARED = "shared"
MODULE = "setaria.recipes.makar.lab"


def run_lab(config: LabConfig, output: Path, jobs: int = 2, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Run what is not finished and write `results.json` and `report.md`; returns the results.

    Args:
        jobs: seeds side by side; what all of them start from is made before, with as many threads.

    Raises:
        ValueError: if `output` holds a lab with other settings.
        RuntimeError: if a process fails; its log is named.
    """
    claim(output, asdict(replace(config, seeds=0)))  # more seeds may be added later
    (floors,) = run_parts(MODULE, output, [SHARED], 1, threads=min(jobs, os.cpu_count() or 1), report=report)
    parts = [f"seed{seed}" for seed in range(config.seeds)]
    seeds = run_parts(MODULE, output, parts, jobs, report=report)
    return write_report(config, floors, seeds, output)


def run_shared(config: LabConfig, output: Path, report: Callable[[str], None] = print) -> None:
    """Make what all seeds start from, and count the floors; writes `result.json` in its folder."""
    shared = Shared(config, output / SHARED)
    shared.run(report)
    write_result(output, SHARED, {name: run_floor(name, shared) for name in FLOORS})


def run_seed(config: LabConfig, output: Path, seed: int, report: Callable[[str], None] = print) -> None:
    """Train the models of a seed and run all arms; writes `result.json` in its folder."""
    began = time.monotonic()
    part = f"seed{seed}"
    stages = Stages(Shared(config, output / SHARED), output / part, seed)
    stages.run(report)
    arms = {}
    for name in ARMS:
        arms[name] = run_arm(name, stages)
        totals = {key: sum(one[key] for one in arms[name]) for key in ("seen_right", "seen", "none_right", "none")}
        report("{0}, {1}: {seen_right} of {seen} boxes, {none_right} of {none} None".format(part, name, **totals))
    write_result(output, part, {"minutes": round((time.monotonic() - began) / 60, 1), "arms": arms})


def main(folder: Path, part: str) -> None:
    """Run one part: what the processes of a lab do."""
    disable_progress_bars()
    logging.disable_progress_bar()
    config = LabConfig(**json.loads((folder / "lab.json").read_text()))
    if part == SHARED:
        run_shared(config, folder, _report)
    else:
        run_seed(config, folder, int(part.removeprefix("seed")), _report)


def _report(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

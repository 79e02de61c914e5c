"""The lab: does an agent that looks at what it did, and goes back, solve more tasks in apps that it has never seen?

    setaria lab backtrack --output runs/lab_backtrack --seeds 3

A small vision-language model from scratch learns to read screens (`lab_reading`). From there, and from scratch, others
learn to judge, to act and to reflect for each seed (`lab_stages`), and are run with and without going back on
held-out tasks (`lab_arms`). Finished stages and episodes are kept and not repeated; seeds run side by side in
processes of their own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from setaria.agents.backtrack.metrics import measure
from setaria.recipes.backtrack.lab_arms import ARMS, run_arm
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.lab_reading import Shared
from setaria.recipes.backtrack.lab_report import write_report
from setaria.recipes.backtrack.lab_stages import Stages
from setaria.recipes.lab_processes import claim, run_parts, write_result


SHARED = "shared"
MODULE = "setaria.recipes.backtrack.lab"


def run_lab(config: LabConfig, output: Path, jobs: int = 2, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Run what is not finished and write `results.json` and `report.md`; returns the results.

    Raises:
        ValueError: if `output` holds a lab with other settings.
        RuntimeError: if a seed's process fails; its log is named.
    """
    claim(output, asdict(replace(config, seeds=0)))  # more seeds may be added later
    run_parts(MODULE, output, [SHARED], 1, threads=min(jobs, os.cpu_count() or 1), report=report)
    seeds = run_parts(MODULE, output, [f"seed{seed}" for seed in range(config.seeds)], jobs, report=report)
    return write_report(config, seeds, output)


def run_shared(config: LabConfig, output: Path, report: Callable[[str], None] = print) -> None:
    """Make what all seeds start from."""
    began = time.monotonic()
    Shared(config, output / SHARED).run(report)
    write_result(output, SHARED, {"minutes": round((time.monotonic() - began) / 60, 1)})


def run_seed(config: LabConfig, output: Path, seed: int, report: Callable[[str], None] = print) -> None:
    """Train the models of a seed and run all arms; writes `result.json` in its folder."""
    began = time.monotonic()
    stages = Stages(config, output / SHARED, output / f"seed{seed}", seed)
    stages.run(report)
    arms: dict[str, dict[str, Any]] = {}
    for name in ARMS:
        episodes = run_arm(name, stages)
        arms[name] = {
            "metrics": {metric: asdict(interval) for metric, interval in measure(episodes).items()},
            "success": {episode["episode"]: bool(episode["end"]["success"]) for episode in episodes},
        }
        report(f"seed {seed}, {name}: success {arms[name]['metrics']['success']['value']:.3f}")
    result = {"seed": seed, "minutes": round((time.monotonic() - began) / 60, 1), "arms": arms}
    write_result(output, f"seed{seed}", result)


def _main(output: Path, part: str) -> None:
    config = LabConfig(**json.loads((output / "lab.json").read_text()))
    if part == SHARED:
        run_shared(config, output, _report)
    else:
        run_seed(config, output, int(part.removeprefix("seed")), _report)


def _report(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])

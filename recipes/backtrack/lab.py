"""The lab: does an agent that looks at what it did, and goes back, solve more tasks in apps that it has never seen?

    setaria lab backtrack --output runs/lab_backtrack --seeds 3

A small vision-language model from scratch learns to read screens (`lab_reading`). From there, and from scratch, others
learn to judge, to act and to reflect for each seed (`lab_stages`), and are run with and without going back on
held-out tasks (`lab_arms`). Finished stages and episodes are kept and not repeated; seeds run side by side in
processes of their own.
"""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from setaria.agents.backtrack.metrics import measure
from setaria.recipes.backtrack.lab_arms import ARMS, run_arm
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.lab_reading import Shared
from setaria.recipes.backtrack.lab_report import write_report
from setaria.recipes.backtrack.lab_stages import Stages
from setaria.recipes.lab import SHARED, Lab, Report
from setaria.recipes.lab_processes import write_result


def run_shared(config: LabConfig, output: Path, report: Report = print) -> None:
    """Make what all seeds start from."""
    began = time.monotonic()
    Shared(config, output / SHARED).run(report)
    write_result(output, SHARED, {"minutes": round((time.monotonic() - began) / 60, 1)})


def run_seed(config: LabConfig, output: Path, seed: int, report: Report = print) -> None:
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


LAB = Lab(
    module="setaria.recipes.backtrack.lab",
    settings=LabConfig,
    run_shared=run_shared,
    run_seed=run_seed,
    write_report=lambda config, _, seeds, output: write_report(config, seeds, output),
)


if __name__ == "__main__":
    LAB.run_part(Path(sys.argv[1]), sys.argv[2])

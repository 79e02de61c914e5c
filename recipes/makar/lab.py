"""The lab: do reinforcement, knowledge and search help an agent that finds entities of tweets in their images?

    setaria lab makar --output runs/lab_makar --seeds 3

On the tweets world, with a vision-language model from scratch (`lab_stages`), in the arms of `lab_arms`. A stand-in
plays the large model of knowledge and search (`lab_reader`). Finished stages and replies are kept and not repeated;
seeds run side by side in processes of their own.
"""

import sys
import time
from pathlib import Path

from setaria.recipes.lab import SHARED, Lab, Report
from setaria.recipes.lab_processes import write_result
from setaria.recipes.makar.lab_arms import ARMS, FLOORS, run_arm, run_floor
from setaria.recipes.makar.lab_config import LabConfig
from setaria.recipes.makar.lab_report import write_report
from setaria.recipes.makar.lab_stages import Shared, Stages


def run_shared(config: LabConfig, output: Path, report: Report = print) -> None:
    """Make what all seeds start from, and count the floors; writes `result.json` in its folder."""
    shared = Shared(config, output / SHARED)
    shared.run(report)
    write_result(output, SHARED, {name: run_floor(name, shared) for name in FLOORS})


def run_seed(config: LabConfig, output: Path, seed: int, report: Report = print) -> None:
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


LAB = Lab("setaria.recipes.makar.lab", LabConfig, run_shared, run_seed, write_report)


if __name__ == "__main__":
    LAB.run_part(Path(sys.argv[1]), sys.argv[2])

"""A lab whose seeds run side by side: one part that all seeds share, then the seeds, each in a process of its own.

Finished parts are kept and not repeated, so more seeds may be added later.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from datasets import disable_progress_bars
from transformers.utils import logging

from setaria.recipes.lab_processes import claim, run_parts


Report: TypeAlias = Callable[[str], None]
SHARED = "shared"


@dataclass(frozen=True)
class Lab:
    """What a lab is made of.

    Attributes:
        module: calls `run_part` with its two arguments when it is run, a folder and the name of a part.
        settings: a dataclass with a field `seeds`.
        run_shared: called with settings, the folder and `print`; makes what all seeds start from.
        run_seed: called with settings, the folder, a seed and `print`.
        write_report: called with settings, the shared part's result, those of the seeds, and the folder; returns what
            the lab found.
    """

    module: str
    settings: type
    run_shared: Callable[[Any, Path, Report], None]
    run_seed: Callable[[Any, Path, int, Report], None]
    write_report: Callable[[Any, Any, list[Any], Path], dict[str, Any]]

    def run(self, config: Any, output: Path, jobs: int = 2, report: Report = print) -> dict[str, Any]:
        """Run what is not finished and write `results.json` and `report.md`; returns the results.

        Args:
            jobs: seeds side by side; what all of them start from is made before, with as many threads.

        Raises:
            ValueError: if `output` holds a lab with other settings.
            RuntimeError: if a process fails; its log is named.
        """
        claim(output, asdict(replace(config, seeds=0)))
        threads = min(jobs, os.cpu_count() or 1)
        (shared,) = run_parts(self.module, output, [SHARED], 1, threads, report)
        seeds = run_parts(self.module, output, [f"seed{seed}" for seed in range(config.seeds)], jobs, report=report)
        return self.write_report(config, shared, seeds, output)

    def run_part(self, output: Path, part: str) -> None:
        """Run one part: what the processes of a lab do."""
        disable_progress_bars()
        logging.disable_progress_bar()
        config = self.settings(**json.loads((output / "lab.json").read_text()))
        if part == SHARED:
            self.run_shared(config, output, _say)
        else:
            self.run_seed(config, output, int(part.removeprefix("seed")), _say)


def _say(text: str) -> None:
    print(text, flush=True)

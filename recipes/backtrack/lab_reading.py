"""What all seeds of the lab share, made once: the world, and a model from scratch that has learned to read and judge.

The seeds' Judgers are trained from it, as those of the paper are from a large model. It learns in apps that are drawn
for this, in the stages of `tiny_pretraining` and then from `lab_drawn`; a second one judges drawn actions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets import Dataset, load_from_disk
from transformers import ProcessorMixin

from setaria.agents.backtrack.moments import Moment, moments
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.gui.tasks import read_split
from setaria.datasets_builders.worlds.app_tasks import write_world
from setaria.datasets_builders.worlds.apps import App, generate_app
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.lab_drawn import judging_rows, reflecting_rows
from setaria.recipes.backtrack.tiny_model import save_tiny_model, texts_of
from setaria.recipes.backtrack.tiny_pretraining import comparing_rows, locating_rows, reading_rows
from setaria.recipes.lab_training import fine_tune, run_stages


WORLD, READER, JUDGING, REFLECTING = "world", "reader", "judging", "reflecting"
ACTUAL, SIMULATED = "actual", "simulated"  # outcome pages
JUDGES = {ACTUAL: "judge", SIMULATED: "judge_simulated"}
FIRST_DRAWN = 1_000_000  # no app of the world has such a seed


@dataclass
class Shared:
    """In the lab's `folder`."""

    config: LabConfig
    folder: Path

    def run(self, report: Callable[[str], None] = print) -> None:
        """Make everything that is not there yet."""
        run_stages(
            self, (WORLD, "located", "compared", READER, JUDGING, REFLECTING, *JUDGES.values()), self.folder, report
        )

    @cached_property
    def _found(self) -> list[Moment]:
        graphs, tasks = read_split(self.folder / WORLD / "train")
        return list(moments(tasks, graphs))

    @cached_property
    def _processor(self) -> ProcessorMixin:
        return save_tiny_model(self.folder / "untrained", texts_of(self._found), seed=0)

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts.of_processor("qwen2_vl", self._processor, described=True)

    def _world(self, folder: Path) -> None:
        write_world(folder, self.config.apps, self.config.held_out_apps)

    def _located(self, folder: Path) -> None:
        pages = list({moment.page.id: moment.page for moment in self._found}.values())
        rows = row_dataset(locating_rows(pages, self.config.locating_rows, self._prompts, seed=0))
        self._train("untrained", folder, rows, self.config.locating_steps, self.config.text_rate)

    def _compared(self, folder: Path) -> None:
        rows = row_dataset(comparing_rows(self.config.comparing_rows, seed=0))
        self._train("located", folder, rows, self.config.comparing_steps, self.config.text_rate)

    def _reader(self, folder: Path) -> None:
        rows = row_dataset(reading_rows(self._drawn(0), self._prompts, seed=0))
        self._train("compared", folder, rows, self.config.reading_steps, self.config.reading_rate)

    def _judging(self, folder: Path) -> None:
        for outcomes in JUDGES:
            rows = judging_rows(self._drawn(1), self._prompts, outcomes == SIMULATED, seed=0)
            row_dataset(rows).save_to_disk(folder / outcomes)

    def _reflecting(self, folder: Path) -> None:
        row_dataset(reflecting_rows(self._drawn(2), self._prompts, seed=0)).save_to_disk(folder)

    def _judge(self, folder: Path, outcomes: str = ACTUAL) -> None:
        rows = load_from_disk(str(self.folder / JUDGING / outcomes))
        self._train(READER, folder, rows, self.config.judging_steps, self.config.judging_rate)

    def _judge_simulated(self, folder: Path) -> None:
        self._judge(folder, SIMULATED)

    def _drawn(self, lot: int) -> list[App]:
        first = FIRST_DRAWN + lot * self.config.drawn_apps
        return [generate_app(first + number) for number in range(self.config.drawn_apps)]

    def _train(self, start: str, folder: Path, rows: Dataset, steps: int, rate: float) -> None:
        fine_tune(self.folder / start, folder, rows, self._processor, steps, rate, self.config.batch)

"""What all seeds of the lab share, made once: the world, and a model from scratch that has learned to read screens.

The Judgers are trained from this model, as those of the paper are from a large one that can read.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import ProcessorMixin

from setaria.agents.backtrack.moments import Moment, moments
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.gui.tasks import read_split
from setaria.datasets_builders.worlds.app_tasks import write_world
from setaria.datasets_builders.worlds.apps import generate_app
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.tiny_model import save_tiny_model, texts_of
from setaria.recipes.backtrack.tiny_pretraining import comparing_rows, locating_rows, reading_rows
from setaria.recipes.lab_training import fine_tune, run_stages


WORLD, READER = "world", "reader"
FIRST_DRAWN = 1_000_000  # no app of the world has such a seed


@dataclass
class Shared:
    """In the lab's `folder`: the world, and the stages of `tiny_pretraining`, the last of which is the reader."""

    config: LabConfig
    folder: Path

    def run(self, report: Callable[[str], None] = print) -> None:
        """Make everything that is not there yet."""
        run_stages(self, (WORLD, "located", "compared", READER), self.folder, report)

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
        rows = locating_rows(pages, self.config.locating_rows, self._prompts, seed=0)
        self._train("untrained", folder, rows, self.config.locating_steps, self.config.text_rate)

    def _compared(self, folder: Path) -> None:
        rows = comparing_rows(self.config.comparing_rows, seed=0)
        self._train("located", folder, rows, self.config.comparing_steps, self.config.text_rate)

    def _reader(self, folder: Path) -> None:
        apps = [generate_app(FIRST_DRAWN + number) for number in range(self.config.drawn_apps)]
        rows = reading_rows(apps, self._prompts, seed=0)
        self._train("compared", folder, rows, self.config.reading_steps, self.config.reading_rate)

    def _train(self, start: str, folder: Path, rows: Iterable[dict[str, Any]], steps: int, rate: float) -> None:
        data = row_dataset(rows)
        fine_tune(self.folder / start, folder, data, self._processor, steps, rate, self.config.batch)

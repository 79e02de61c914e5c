"""What a task is: samples, items that are made of them, and the scores that sum these up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.means import mean_score
from setaria.evaluation.scores import Metric, Score, Setting


class Task:
    """Base of all tasks, for what most have in common.

    Attributes:
        name: unique in a run.
        metrics: those that its items may have.
        in_batches: its samples are run together; if not, each is finished, and written, before the next.
        takes_turns: the settings take turns at each sample, one at a time in a single process: for timings.
    """

    name: str
    metrics: tuple[Metric, ...]
    in_batches = True
    takes_turns = False

    def applies_to(self, setting: Setting) -> bool:
        """Whether the setting is measured at all."""
        return True

    def samples(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """What is to be done, by the id of the item that it becomes."""
        raise NotImplementedError

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, Any]]) -> list[Item]:
        """Finished items of some samples, in their order."""
        raise NotImplementedError

    def scores(self, setting: Setting, items: Sequence[Item], seed: int) -> list[Score]:
        """Means over the items that have a metric, with bootstrap intervals."""
        return [
            Score(setting.name, self.name, metric.name, *mean_score(items, metric.name, seed), items[0].path)
            for metric in self.metrics
            if any(metric.name in item.scores for item in items)
        ]

    def export(self, run: Path, setting: Setting, items: Sequence[Item]) -> None:
        """Write the finished items in the format of another tool, if the task has one."""

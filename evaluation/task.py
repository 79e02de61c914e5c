"""What the runner needs of a task: samples, finished items of some of them, and scores of all."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.means import mean_score
from setaria.evaluation.scores import Metric, Setting


Value = tuple[float, float | None, float | None, int]  # value, low, high, number of items


class Task(ABC):
    """One task of an evaluation.

    Attributes:
        name: unique in a run.
        metrics: what it measures; those that no item has are left out of the results.
        alternates: settings take turns with each sample, in one process, as timings ask for.
    """

    name: str
    metrics: tuple[Metric, ...]
    alternates: ClassVar[bool] = False

    @abstractmethod
    def samples(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """What is asked of a checkpoint, by item id; the same in every process and in every setting."""

    @abstractmethod
    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, Any]]) -> list[Item]:
        """Finished items of some samples, in their order."""

    def finish(self, setting: Setting, items: Sequence[Item]) -> list[Item]:
        """Called by the main process with all items of a setting: what is written or scored when all are there."""
        return list(items)

    def notes(self, items: Sequence[Item]) -> list[str]:
        """What a reader must know of all items of a setting, after `finish`."""
        return []

    def score(self, metric: Metric, items: Sequence[Item], seed: int) -> Value | None:
        """A metric over items; `None` if no item has it. The mean, unless a task says otherwise."""
        if not any(metric.name in item.scores for item in items):
            return None
        return mean_score(items, metric.name, seed)

"""The items of one task in one setting, made in rounds: each process does its share, the main one writes.

An item that is in its file is not done again. Where memory runs out the batch is halved and the run goes on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from rich.progress import Progress

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item, ItemFile, as_line, items_file, scored_file
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Setting
from setaria.evaluation.task import Task


class Rounds:
    """One task in one setting; `notes` say what a reader must know of its items."""

    def __init__(
        self,
        task: Task,
        checkpoint: Checkpoint,
        setting: Setting,
        samples: dict[str, Any],
        config: EvalConfig,
        progress: Progress,
    ):
        self.task, self.checkpoint, self.setting = task, checkpoint, setting
        self.notes: list[str] = []
        self._run = config.output
        state = PartialState()
        self._workers = 1 if task.alternates else state.num_processes
        self._batch_size = self._fitting = 1 if task.alternates else config.batch_size
        self._file = ItemFile(items_file(config.output, setting.name, task.name)) if state.is_main_process else None
        [finished, dropped] = broadcast_object_list(
            [self._file.finished(), self._file.dropped] if self._file else [None, None]
        )
        if dropped:
            self.notes.append(f"{task.name}: {dropped}")
        self._done: dict[str, Item] = {id: item for id, item in finished.items() if id in samples}
        self._waiting = [(id, sample) for id, sample in samples.items() if id not in self._done]
        self._progress = progress
        self._line = progress.add_task(f"{setting.name}, {task.name}", total=len(samples), completed=len(self._done))

    @property
    def waiting(self) -> bool:
        """Whether there are items that are not finished."""
        return bool(self._waiting)

    def run(self) -> None:
        """The next round: a batch for each process; a single item for the main one where settings alternate."""
        size = self._workers * self._batch_size
        now, self._waiting = self._waiting[:size], self._waiting[size:]
        place = PartialState().process_index
        mine = now[place :: self._workers] if place < self._workers else []
        items, self._fitting = halving(
            lambda batch: self.task.run(self.checkpoint, self.setting, batch), mine, self._fitting
        )
        if self._fitting < self._batch_size:
            self.notes.append(f"{self.task.name}: out of memory, batches of {self._fitting}")
        for item in gather_object(items):
            self._done[item.id] = item
            if self._file:
                self._file.add(item)
            self._progress.advance(self._line)

    def finish(self) -> list[Item]:
        """All items, sorted by id, after what the task does when all are there."""
        [items] = broadcast_object_list([self._finished() if self._file else None])
        self.notes += [f"{self.task.name}: {note}" for note in self.task.notes(items)]
        return items

    def _finished(self) -> list[Item]:
        items = [self._done[id] for id in sorted(self._done)]
        scored = self.task.finish(self.setting, items)
        file = scored_file(self._run, self.setting.name, self.task.name)
        if scored == items:
            file.unlink(missing_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, "".join(as_line(item).decode() for item in scored))
        return scored


def halving(
    run: Callable[[Sequence[tuple[str, Any]]], list[Item]], samples: Sequence[tuple[str, Any]], size: int
) -> tuple[list[Item], int]:
    """Items of all samples, and the batch size that fits in memory.

    Raises:
        torch.OutOfMemoryError: if a single sample does not fit.
    """
    items: list[Item] = []
    while len(items) < len(samples):
        try:
            items += run(samples[len(items) :][:size])
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
    return items, size

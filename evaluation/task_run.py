"""A task in a setting: what of it is finished, and the rounds in which the processes do the rest."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, clear_device_cache, gather_object
from accelerate.utils.memory import should_reduce_batch_size

from setaria.evaluation.items import Item, ItemFile, items_file
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Setting
from setaria.evaluation.task import Task


Samples = Sequence[tuple[str, Any]]


class TaskRun:
    """Every process makes one and calls `step` as often as the others; the main one writes the items' file.

    Attributes:
        waiting: samples that are not done.
        notes: what a reader of the scores must know.
        dropped: a line of the file that was cut short by a kill.
    """

    def __init__(self, task: Task, checkpoint: Checkpoint, setting: Setting, run: Path, batch_size: int):
        self.task, self.checkpoint, self.setting = task, checkpoint, setting
        self.size = batch_size if task.in_batches else 1
        self.notes: list[str] = []
        is_main = PartialState().is_main_process
        self._file = ItemFile(items_file(run, setting.name, task.name)) if is_main else None
        [finished, dropped] = broadcast_object_list(
            [self._file and self._file.finished(), self._file and self._file.dropped]
        )
        if dropped:
            self.notes.append(dropped)
        samples = task.samples(checkpoint)
        self._done = {id: item for id, item in finished.items() if id in samples}
        self.waiting = [(id, sample) for id, sample in samples.items() if id not in self._done]
        self._batch = self.size

    @property
    def items(self) -> list[Item]:
        """Those that are done, sorted by id."""
        return [self._done[id] for id in sorted(self._done)]

    def step(self) -> int:
        """Do a batch in each process, or a single sample in the main one where settings take turns; how many."""
        state = PartialState()
        if self.task.takes_turns:
            taken = self.waiting[:1]
            mine = taken if state.is_main_process else []
        else:
            taken = self.waiting[: state.num_processes * self._batch]
            mine = taken[state.process_index * self._batch :][: self._batch]  # the batches of a single process
        items, size = halving(lambda batch: self.task.run(self.checkpoint, self.setting, batch), mine, self.size)
        for item in gather_object(items):
            self._done[item.id] = item
            if self._file:
                self._file.add(item)
        smallest = min(gather_object([size]))
        if smallest < self.size:
            self.size = smallest
            self.notes.append(f"{self.setting.name}, {self.task.name}: out of memory, batches of {smallest}")
        self.waiting = self.waiting[len(taken) :]
        return len(taken)


def halving(run: Callable[[Samples], list[Item]], samples: Samples, size: int) -> tuple[list[Item], int]:
    """Items of all samples, and the batch size that fits in memory.

    Raises:
        RuntimeError: where a single sample does not fit.
    """
    items: list[Item] = []
    while len(items) < len(samples):
        batch = samples[len(items) :][:size]
        try:
            items += run(batch)
        except RuntimeError as error:
            if size == 1 or not should_reduce_batch_size(error):
                raise
            size = max(1, min(size, len(batch)) // 2)
        else:
            continue
        gc.collect()
        clear_device_cache()
    return items, size

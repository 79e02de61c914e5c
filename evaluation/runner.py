"""Runs a grid: every setting of every checkpoint on every task, item by item, resumable and over processes.

Under `accelerate launch` each process has the model and does its share of a round; the main one writes. An item that
is in its file is not done again. Where memory runs out the batch is halved and the run goes on.
"""

import gc
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from rich.progress import Progress

from setaria.evaluation.claim import claim
from setaria.evaluation.completion import Completion
from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.fidelity import Fidelity
from setaria.evaluation.items import Item, ItemFile, items_file
from setaria.evaluation.loading import Checkpoint, load
from setaria.evaluation.means import mean_score
from setaria.evaluation.report import write_report
from setaria.evaluation.results import PACKAGES, Results
from setaria.evaluation.scores import Metric, Score, Setting


class Task(Protocol):
    """What the runner needs of a task."""

    name: str
    metrics: tuple[Metric, ...]

    def samples(self, checkpoint: Checkpoint) -> dict[str, Any]: ...

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, Any]]) -> list[Item]: ...


TASKS: dict[str, Callable[[Path, EvalConfig], Task]] = {"fidelity": Fidelity, "completion": Completion}


def evaluate(config: EvalConfig) -> Results:
    """Evaluate what is not finished; writes items, results.json, results.csv, model_card.md and report.html.

    Raises:
        ValueError: for data, checkpoints and files of items that cannot be used, and for an output folder with items
            of another checkpoint, file or setting.
        OSError: for an output folder that cannot be written, before anything is loaded.
    """
    state = PartialState(cpu=not torch.accelerator.is_available())  # else two processes on a CPU stay apart
    if state.is_main_process:
        _check_writable(config.output)
        claim(config)
    state.wait_for_everyone()
    tasks: list[Task] = [TASKS[name](file, config) for name, file in config.tasks.items()]
    settings: list[Setting] = []
    scores: list[Score] = []
    notes: list[str] = []
    with Progress(transient=True, disable=not state.is_main_process) as progress:
        for name, adapter in config.checkpoints:
            checkpoint = load(name, adapter, config, state.device)
            for setting in config.settings(name, adapter):
                items = {task.name: _run_task(task, checkpoint, setting, config, progress, notes) for task in tasks}
                settings.append(replace(setting, true_bits=_true_bits(items, checkpoint, setting)))
                scores += [score for task in tasks for score in _scores(task, setting, items[task.name], config.seed)]
            notes += checkpoint.notes
            del checkpoint
            gc.collect()
    measured = {(score.task, score.metric) for score in scores}
    results = Results(
        tuple(settings),
        tuple(metric for task in tasks for metric in task.metrics if metric.key in measured),
        tuple(scores),
        tuple(dict.fromkeys(notes)),
        _plain(asdict(config)),
        _versions(),
        {"platform": platform.platform(), "device": state.device.type},
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if state.is_main_process:
        results.write(config.output)
        write_report(config.output)
    state.wait_for_everyone()
    return results


def _run_task(
    task: Task,
    checkpoint: Checkpoint,
    setting: Setting,
    config: EvalConfig,
    progress: Progress,
    notes: list[str],
) -> list[Item]:
    """All items of a task, those finished earlier among them, in every process."""
    state = PartialState()
    file = ItemFile(items_file(config.output, setting.name, task.name)) if state.is_main_process else None
    [finished, dropped] = broadcast_object_list([file and file.finished(), file and file.dropped])
    if dropped:
        notes.append(dropped)
    samples = task.samples(checkpoint)
    done = {id: item for id, item in finished.items() if id in samples}
    waiting = [(id, sample) for id, sample in samples.items() if id not in done]
    line = progress.add_task(f"{setting.name}, {task.name}", total=len(samples), completed=len(done))
    size = config.batch_size
    for start in range(0, len(waiting), state.num_processes * config.batch_size):
        mine = waiting[start:][: state.num_processes * config.batch_size][state.process_index :: state.num_processes]
        items, size = _halving(lambda batch: task.run(checkpoint, setting, batch), mine, size)
        if size < config.batch_size:
            notes.append(f"{setting.name}, {task.name}: out of memory, batches of {size}")
        for item in gather_object(items):
            done[item.id] = item
            if file:
                file.add(item)
            progress.advance(line)
    return [done[id] for id in sorted(done)]


def _halving(
    run: Callable[[Sequence[tuple[str, Any]]], list[Item]], samples: Sequence[tuple[str, Any]], size: int
) -> tuple[list[Item], int]:
    """Items of all samples, and the batch size that fits in memory."""
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


def _scores(task: Task, setting: Setting, items: Sequence[Item], seed: int) -> list[Score]:
    return [
        Score(setting.name, task.name, metric.name, *mean_score(items, metric.name, seed), items[0].path)
        for metric in task.metrics
        if any(metric.name in item.scores for item in items)
    ]


def _true_bits(items: dict[str, list[Item]], checkpoint: Checkpoint, setting: Setting) -> float | None:
    """Bits per cached number: the model's own, or those counted by items, weighted by their tokens."""
    if setting.cache == NONE:
        return 8.0 * checkpoint.model.dtype.itemsize
    counted = [item for of_task in items.values() for item in of_task if item.extra.get("true_bits")]
    weight = sum(item.weight for item in counted)
    return sum(item.weight * item.extra["true_bits"] for item in counted) / weight if counted else None


def _check_writable(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / ".writable").touch()
        (output / ".writable").unlink()
    except OSError as error:
        raise OSError(f"output={output} cannot be written ({error.strerror})") from None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value

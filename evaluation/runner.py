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
from typing import Any

import torch
from accelerate import PartialState
from rich.progress import Progress

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.hooks import stored_bits
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint, load
from setaria.evaluation.record import check_record
from setaria.evaluation.report import write_report
from setaria.evaluation.results import PACKAGES, Results
from setaria.evaluation.scores import Score, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_run import TaskRun
from setaria.evaluation.tasks import make_tasks


def evaluate(config: EvalConfig) -> Results:
    """Evaluate what is not finished; writes items, results.json, results.csv, model_card.md and report.html.

    Raises:
        ValueError: for data, checkpoints and files of items that cannot be used.
        OSError: for an output folder that cannot be written, before anything is loaded.
    """
    state = PartialState(cpu=not torch.accelerator.is_available())  # else two processes on a CPU stay apart
    return _evaluate(config, lambda name, adapter: load(name, adapter, config, state.device))


def evaluate_loaded(checkpoint: Checkpoint, config: EvalConfig) -> Results:
    """The same for a model in memory, under the name of the only one of `config.models`.

    Raises:
        ValueError: if `config` has several models, or adapters.
    """
    if len(config.models) > 1 or config.adapters:
        raise ValueError("models: one, without adapters, is evaluated from memory")
    return _evaluate(config, lambda name, adapter: checkpoint)


def _evaluate(config: EvalConfig, get: Callable[[str, str | None], Checkpoint]) -> Results:
    state = PartialState(cpu=not torch.accelerator.is_available())
    if state.is_main_process:
        _check_writable(config.output)
        check_record(config)
    state.wait_for_everyone()
    tasks = make_tasks(config)
    settings: list[Setting] = []
    scores: list[Score] = []
    notes: list[str] = []
    with Progress(transient=True, disable=not state.is_main_process) as progress:
        for name, adapter in config.checkpoints:
            checkpoint = get(name, adapter)
            grid = config.settings(name, adapter)
            runs = [run for task in tasks for run in _finished(task, checkpoint, grid, config, progress)]
            for setting in grid:
                own = [run for run in runs if run.setting == setting]
                counted = [item for run in own for item in run.items]
                settings.append(replace(setting, true_bits=_true_bits(counted, checkpoint, setting)))
                scores += [score for run in own for score in run.task.scores(setting, run.items, config.seed)]
                if state.is_main_process:
                    for run in own:
                        run.task.export(config.output, setting, run.items)
            notes += [*checkpoint.notes, *(note for run in runs for note in run.notes)]
            del checkpoint, runs
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


def _finished(
    task: Task, checkpoint: Checkpoint, grid: Sequence[Setting], config: EvalConfig, progress: Progress
) -> list[TaskRun]:
    """A task, done in the settings that it applies to."""
    runs = [
        TaskRun(task, checkpoint, setting, config.output, config.batch_size)
        for setting in grid
        if task.applies_to(setting)
    ]
    lines = [
        progress.add_task(
            f"{run.setting.name}, {task.name}", total=len(run.waiting) + len(run.items), completed=len(run.items)
        )
        for run in runs
    ]
    turns = (
        [list(zip(runs, lines, strict=True))]
        if task.takes_turns
        else [[pair] for pair in zip(runs, lines, strict=True)]
    )
    for together in turns:
        while any(run.waiting for run, _ in together):
            for run, line in together:
                if run.waiting:
                    progress.advance(line, run.step())
    return runs


def _true_bits(items: Sequence[Item], checkpoint: Checkpoint, setting: Setting) -> float | None:
    """Bits per cached number: the model's own, those counted by items, weighted by their tokens, or counted now."""
    if setting.cache == NONE:
        return 8.0 * checkpoint.model.dtype.itemsize
    counted = [item for item in items if item.extra.get("true_bits")]
    weight = sum(item.weight for item in counted)
    if not counted:
        return stored_bits(checkpoint.model, setting.cache)
    return sum(item.weight * item.extra["true_bits"] for item in counted) / weight


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

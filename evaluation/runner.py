"""Runs a grid: every setting of every checkpoint on every task, item by item (`rounds`), and writes what was found.

Under `accelerate launch` each process has the model and does its share; results are those of one process.
"""

import gc
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from rich.progress import Progress

from setaria.evaluation.claim import claim
from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint, load
from setaria.evaluation.report import write_report
from setaria.evaluation.results import PACKAGES, Results
from setaria.evaluation.rounds import Rounds
from setaria.evaluation.scores import Metric, Score, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.tasks import build_tasks


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
    tasks = build_tasks(config)
    if state.is_main_process:
        claim(config)
    state.wait_for_everyone()
    settings: list[Setting] = []
    scores: list[Score] = []
    said: dict[str, list[str]] = {}  # what is to be noted, of which settings
    notes: list[str] = []
    with Progress(transient=True, disable=not state.is_main_process) as progress:
        for name, adapter in config.checkpoints:
            checkpoint = load(name, adapter, config, state.device)
            grid = config.settings(name, adapter)
            items: dict[str, dict[str, list[Item]]] = {setting.name: {} for setting in grid}
            for task in tasks:
                for rounds in _run_task(task, checkpoint, grid, config, progress):
                    items[rounds.setting.name][task.name] = rounds.finish()
                    for note in rounds.notes:
                        said.setdefault(note, []).append(rounds.setting.name)
            settings += [replace(one, true_bits=_true_bits(items[one.name], checkpoint, one)) for one in grid]
            scores += [score for one in grid for score in _scores(tasks, one, items[one.name], config.seed)]
            notes += checkpoint.notes
            del checkpoint
            gc.collect()
    measured = {(score.task, score.metric) for score in scores}
    results = Results(
        tuple(settings),
        tuple(metric for task in tasks for metric in task.metrics if metric.key in measured),
        tuple(scores),
        tuple(dict.fromkeys([*notes, *(_noted(note, names, settings) for note, names in said.items())])),
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
    task: Task, checkpoint: Checkpoint, grid: Sequence[Setting], config: EvalConfig, progress: Progress
) -> list[Rounds]:
    """All items of a task in every setting; settings take turns where the task asks for it."""
    samples = task.samples(checkpoint)
    rounds = [Rounds(task, checkpoint, setting, samples, config, progress) for setting in grid]
    for together in [rounds] if task.alternates else [[one] for one in rounds]:
        while any(one.waiting for one in together):
            for one in together:
                one.run()
    return rounds


def _scores(tasks: Sequence[Task], setting: Setting, items: dict[str, list[Item]], seed: int) -> list[Score]:
    return [
        Score(setting.name, task.name, metric.name, *value, _path(metric, items[task.name]))
        for task in tasks
        for metric in task.metrics
        if (value := task.score(metric, items[task.name], seed))
    ]


def _noted(note: str, names: Sequence[str], settings: Sequence[Setting]) -> str:
    names = list(dict.fromkeys(names))
    return f"{'all settings' if len(names) == len(settings) > 1 else '; '.join(names)}, {note}"


def _path(metric: Metric, items: Sequence[Item]) -> str:
    return next((item for item in items if metric.name in item.scores), items[0]).path


def _true_bits(items: dict[str, list[Item]], checkpoint: Checkpoint, setting: Setting) -> float | None:
    """Bits per cached number: the model's own, or those counted by items, of single texts if there are any."""
    if setting.cache == NONE:
        return 8.0 * checkpoint.model.dtype.itemsize
    counted = [item for of_task in items.values() for item in of_task if item.extra.get("true_bits")]
    counted = [item for item in counted if item.path == "teacher_forced"] or counted
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

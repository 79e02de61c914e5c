"""Tasks and groups of lm-evaluation-harness by name, with its seeds and without its output."""

import difflib
import io
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from pathlib import Path

import datasets
import numpy as np
import torch
from lm_eval.api.group import Group
from lm_eval.api.task import Task
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
from lm_eval.tasks import TaskManager

from setaria.evaluation.config import OWN_TASKS, EvalConfig


def load_tasks(name: str, config: EvalConfig) -> tuple[dict[str, Task], dict[str, Group]]:
    """The tasks that a name or a pattern (`longbench_*`) stands for, and the groups that they are in.

    A pattern stands for tasks only, since a group beside its own tasks would count them twice.

    Raises:
        ValueError: for a name that is not known, with the nearest one, and for a task whose data or packages are not
            there, that runs generated code, or that shows images or plays sound.
    """
    manager = task_manager(config)
    names = [name]
    if name not in manager.task_index:
        names = sorted(set(manager.match_tasks([name])) & set(manager.all_subtasks))
    if not names:
        near = difflib.get_close_matches(name, [*OWN_TASKS, *manager.all_tasks], n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"tasks={name!r} is none of ours ({', '.join(OWN_TASKS)}) or of the harness{hint}")
    try:
        with quiet():
            seed_all()
            loaded = manager.load(names)
    except Exception as error:  # whatever the task's own code, its packages and its data raise
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"tasks={name!r} cannot be loaded: {type(error).__name__}: {reason}") from error
    for one, task in loaded["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise ValueError(f"tasks={name!r}: {one} runs code that the model writes, which is not done here")
        if getattr(task, "MULTIMODAL", False):
            raise ValueError(f"tasks={name!r}: {one} shows images or plays sound; models here only read")
        _set_num_fewshot(task, config.num_fewshot)
    return loaded["tasks"], loaded["groups"]


def seed_all() -> None:
    """Seed what the harness seeds before it loads tasks."""
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    torch.manual_seed(DEFAULT_OTHER_SEED)


def reseed_fewshot(task: Task) -> None:
    """Start anew with the examples that the harness draws, in the order of documents."""
    task.set_fewshot_seed(DEFAULT_OTHER_SEED)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, the harness and datasets neither log nor show progress."""
    logger = logging.getLogger("lm_eval")
    level, bars = logger.level, datasets.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with redirect_stderr(io.StringIO()):  # a bar of the harness cannot be turned off
            yield
    finally:
        logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()


def task_manager(config: EvalConfig) -> TaskManager:
    """The harness's index of all tasks and of the user's own in `include_path`."""
    folder = config.include_path
    files = sorted(folder.rglob("*.yaml")) if folder else ()
    return _task_manager(folder, tuple((str(file), file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=1)
def _task_manager(include_path: Path | None, files: tuple[tuple[str, int], ...]) -> TaskManager:
    """Takes ten seconds, so that tasks of one evaluation share it until a file changes."""
    with quiet():
        return TaskManager(include_path=include_path)


def _set_num_fewshot(task: Task, number: int | None) -> None:
    """As the harness: a task that says 0 keeps it."""
    own = task.get_config("num_fewshot")
    if own is None or (number is not None and own != 0):
        task.set_config("num_fewshot", number or 0)

"""The tasks of a world's split that a stage works on, and the folder that its results go to."""

import random
from pathlib import Path

from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.tasks import Task, read_split


def world_tasks(split: Path, most: int | None = None, seed: int = 0) -> tuple[dict[str, AppGraph], list[Task]]:
    """Graphs by app, and tasks: all, or at most so many, always the same ones, more being added to fewer.

    Raises:
        ValueError: for a folder that is no split, or has no task; see `read_split`.
    """
    graphs, tasks = read_split(split)
    if not tasks:
        raise ValueError(f"{split / 'tasks.jsonl'}: holds no task")
    drawn = random.Random(seed).sample(range(len(tasks)), len(tasks))[:most]
    return graphs, [tasks[number] for number in sorted(drawn)]


def empty_folder(folder: Path) -> Path:
    """The folder, which may not hold anything yet.

    Raises:
        ValueError: if it does, or is a file.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is there already and not empty: choose another folder with --output")
    return folder

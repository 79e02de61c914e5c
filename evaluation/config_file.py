"""A configuration as YAML and flags give it: lists, texts for paths, and tasks as a mapping or as NAME=FILE."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from setaria.evaluation.config import EvalConfig


LISTS = ("models", "adapters", "caches", "drafters", "recall_lengths", "recall_depths")
PATHS = ("output", "include_path")
NEEDED = ("models", "tasks", "output")


def read_settings(file: Path) -> dict[str, Any]:
    """The settings in a YAML file, whose keys are those of [`EvalConfig`].

    Raises:
        ValueError: naming the file, for keys that are not known and for what is no YAML.
        OSError: if it cannot be read.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: no YAML ({' '.join(str(error).split())})") from None
    known = {one.name for one in fields(EvalConfig)}
    if not isinstance(values, dict) or not set(values) <= known:
        unknown = ", ".join(sorted(map(str, set(values) - known))) if isinstance(values, dict) else repr(values)
        raise ValueError(f"{file}: {unknown} is not known; keys are {', '.join(sorted(known))}")
    return values


def as_config(values: Mapping[str, Any]) -> EvalConfig:
    """The configuration; a single value may stand for a list of one.

    Raises:
        ValueError: for a setting that is missing, and as of [`EvalConfig`].
    """
    for name in NEEDED:
        if values.get(name) is None:
            raise ValueError(f"{name} is needed")
    typed = dict(values)
    for name in LISTS:
        if name in values:
            typed[name] = tuple(values[name]) if isinstance(values[name], list | tuple) else (values[name],)
    for name in PATHS:
        if values.get(name) is not None:
            typed[name] = Path(values[name])
    return EvalConfig(**typed | {"tasks": _files(values["tasks"])})


def _files(tasks: Any) -> dict[str, Path | None]:
    if not isinstance(tasks, dict):
        tasks = [tasks] if isinstance(tasks, str) else tasks
        tasks = {name: file or None for name, _, file in (task.partition("=") for task in tasks)}
    return {name: None if file is None else Path(file) for name, file in tasks.items()}

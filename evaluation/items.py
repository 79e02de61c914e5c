"""Finished items of an evaluation, one JSON object per line, so that a kill loses at most the item it interrupts.

RUN/items/<slug of the setting>/<slug of the task>.jsonl   {id, prompt, prediction, target, scores, path, extra}

A file is only ever appended to. Its last line is cut short if the process died while writing it: that item is dropped
and named, and done again. A broken line before it is damage from outside, which is an error.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


PATHS = ("generation", "teacher_forced", "no_cache", "timing")
MOST_LINE_BYTES = 64_000_000
LONGEST_SLUG = 60


@dataclass(frozen=True)
class Item:
    """One finished item of a task.

    Attributes:
        id: unique in its task.
        prompt, prediction, target: as text; empty where a task has none.
        scores: metric -> value of this item.
        path: the path through the model: one of `PATHS`.
        extra: what else a task keeps, as plain JSON; a `weight` in it, such as tokens, counts the item in means.
    """

    id: str
    prompt: str
    prediction: str
    target: str
    scores: dict[str, float]
    path: str
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("id", "prompt", "prediction", "target"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}={getattr(self, name)!r}: a text is expected")
        if self.path not in PATHS:
            raise ValueError(f"path={self.path!r}: one of {', '.join(PATHS)} is allowed")
        if not isinstance(self.extra, dict):
            raise ValueError(f"extra={self.extra!r}: a mapping is expected")
        if not _is_finite(self.weight) or self.weight <= 0:
            raise ValueError(f"extra['weight']={self.weight!r}: a number above 0 is expected")
        if not isinstance(self.scores, dict):
            raise ValueError(f"scores={self.scores!r}: a mapping of numbers is expected")
        for name, value in self.scores.items():
            if not _is_finite(value):
                raise ValueError(f"scores[{name!r}]={value!r}: a finite number is expected")

    @property
    def weight(self) -> float:
        """How much the item counts in means: 1 if the task says nothing else."""
        return self.extra.get("weight", 1.0)


def slug(name: str) -> str:
    """A file name for a name that people read: "base / xquant-1.4 / trie" -> "base-xquant-1.4-trie"."""
    text = re.sub(r"[^\w.]+", "-", name.lower()).strip("-.")
    if text and len(text) <= LONGEST_SLUG:
        return text
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{text[: LONGEST_SLUG - 9]}-{digest}".lstrip("-")


def items_file(run: Path, setting: str, task: str) -> Path:
    """Where the items of a setting's task are, given their names."""
    return run / "items" / slug(setting) / f"{slug(task)}.jsonl"


def scored_file(run: Path, setting: str, task: str) -> Path:
    """Where the items are again, with the scores that they got when all were there, such as a judge's."""
    return run / "scored" / slug(setting) / f"{slug(task)}.jsonl"


def finished_file(run: Path, setting: str, task: str) -> Path:
    """The items with all their scores."""
    scored = scored_file(run, setting, task)
    return scored if scored.exists() else items_file(run, setting, task)


def as_line(item: Item) -> bytes:
    """An item as its line in a file.

    Raises:
        ValueError: for something in `extra` that JSON cannot hold, and for an item that is too large.
    """
    try:
        text = json.dumps(asdict(item), ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"item {item.id!r}: {error}") from None
    line = text.encode(errors="backslashreplace")  # lone surrogates, as JSON's
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"item {item.id!r}: longer than {MOST_LINE_BYTES} bytes")
    return line


class ItemFile:
    """The file that a running task appends to.

    Attributes:
        dropped: names the line that was cut short by a kill and is no longer in the file, if there was one.
    """

    def __init__(self, file: Path):
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self.dropped = _drop_cut_line(file) if file.exists() else None

    def finished(self) -> dict[str, Item]:
        """Items that need not be done again, by id."""
        return {item.id: item for item in read_items(self.file).items} if self.file.exists() else {}

    def add(self, item: Item) -> None:
        """Append a finished item; it is on the disk when this returns. Raises as [`as_line`]."""
        line = as_line(item)
        with self.file.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class ReadItems:
    """Items of a file, sorted by id so that processes and resumed runs agree, and the name of a cut last line."""

    items: list[Item]
    cut: str | None


def read_items(file: Path) -> ReadItems:
    """Read the items of a file, which may be still growing.

    Raises:
        ValueError: naming file and line, for a line that is no item and for an id that is there twice.
    """
    items: dict[str, Item] = {}
    cut = None
    for number, line in _lines(file):
        if not line.endswith(b"\n") and len(line) <= MOST_LINE_BYTES:
            cut = f"{file}:{number}: cut short while it was written; the item is left out"
            break
        try:
            item = _item(line)
            if item.id in items:
                raise ValueError(f"the id {item.id!r} is there twice")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}:{number}: {error}") from None
        items[item.id] = item
    return ReadItems(sorted(items.values(), key=lambda item: item.id), cut)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _item(line: bytes) -> Item:
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"longer than {MOST_LINE_BYTES} bytes")
    data = json.loads(line)
    known = {one.name for one in fields(Item)}
    if not isinstance(data, dict) or set(data) | {"extra"} != known:
        raise ValueError(f"no item: an object with {', '.join(sorted(known))} is expected")
    return Item(**data)


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as lines:
        number = 0
        while line := lines.readline(MOST_LINE_BYTES + 1):
            number += 1
            yield number, line


def _drop_cut_line(file: Path) -> str | None:
    """Cut off a last line that was not written to its end, and name it."""
    text = file.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole == len(text):
        return None
    os.truncate(file, whole)
    number = text.count(b"\n") + 1
    return f"{file}:{number}: cut short while it was written; the item is done again"

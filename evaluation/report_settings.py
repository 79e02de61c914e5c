"""How settings look on the report page: a short name, colour and shape, and what they can be filtered by.

Colour is what varies most among the settings (checkpoint, cache or drafter), shape what varies next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from setaria.evaluation.scores import Setting


COLORS = 8
SHAPES = 5
LONGEST = 32


@dataclass(frozen=True)
class Look:
    """A setting on the page: the values that tell it from the others, numbers of its colour and of its shape."""

    parts: tuple[str, ...]
    color: int
    shape: int

    @property
    def label(self) -> str:
        """The parts in one line, without those that are "none"; "plain" if all are."""
        return " / ".join(part for part in self.parts if part != "none") or "plain"


@dataclass(frozen=True)
class Group:
    """Something that varies, such as the cache: its values, and the places of the settings that have each."""

    name: str
    values: dict[str, list[int]]


def groups_of(settings: Sequence[Setting]) -> list[Group]:
    """What varies among the settings."""
    sides = {
        "checkpoint": _checkpoints(settings),
        "cache": [one.cache for one in settings],
        "drafter": [one.drafter for one in settings],
    }
    groups = []
    for name, values in sides.items():
        places: dict[str, list[int]] = {}
        for place, value in enumerate(values):
            places.setdefault(value, []).append(place)
        if len(places) > 1:
            groups.append(Group(name, places))
    return groups


def looks_of(settings: Sequence[Setting]) -> list[Look]:
    """The look of each setting; its only part is its name where what varies does not tell all settings apart."""
    groups = groups_of(settings)
    parts = [
        tuple(_short(value) for group in groups for value, places in group.values.items() if place in places)
        for place in range(len(settings))
    ]
    if len(set(parts)) < len(settings) or not groups:
        parts = [(one.name,) for one in settings]
    numbers = [[0] * len(settings), [0] * len(settings)]
    for group, column in zip(marked_groups(groups), numbers, strict=False):
        for number, places in enumerate(group.values.values()):
            for place in places:
                column[place] = number
    return [Look(part, color % COLORS, shape % SHAPES) for part, color, shape in zip(parts, *numbers, strict=True)]


def marked_groups(groups: Sequence[Group]) -> list[Group]:
    """The group that gives the colour and the one that gives the shape, if there are as many."""
    return sorted(groups, key=lambda group: -len(group.values))[:2]


def _short(value: str) -> str:
    """The begin and the end of a long name."""
    return value if len(value) <= LONGEST else f"{value[: LONGEST // 2]}…{value[-(LONGEST // 2 - 1) :]}"


def _checkpoints(settings: Sequence[Setting]) -> list[str]:
    """Checkpoint and adapter of each setting, by as few last folders of their paths as tell them apart."""
    pairs = [(one.checkpoint, one.adapter) for one in settings]
    for depth in range(1, 4):
        names = [" + ".join("/".join(PurePath(path).parts[-depth:]) for path in pair if path) for pair in pairs]
        if len(set(names)) == len(set(pairs)):
            return names
    return [" + ".join(path for path in pair if path) for pair in pairs]

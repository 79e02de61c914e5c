"""What a score is: a setting of the grid, a metric of a task, and the number that was measured with its interval."""

import math
from dataclasses import dataclass
from typing import Any

from setaria.evaluation.items import PATHS, slug


LONGEST_NAME = 200


@dataclass(frozen=True)
class Setting:
    """One column of the grid: a checkpoint with what is hooked into it.

    Attributes:
        name: unique in a run, for people: "base / xquant-1.4 / trie".
        checkpoint, adapter: folders or names on the Hub.
        cache: "none" or what quantises the cache.
        drafter: "none" or what drafts for speculative decoding.
        true_bits: bits per cached number, metadata included; `None` where nobody counted them.
    """

    name: str
    checkpoint: str
    adapter: str | None = None
    cache: str = "none"
    drafter: str = "none"
    true_bits: float | None = None

    def __post_init__(self):
        _check_name("name", self.name)
        if self.true_bits is not None and not (_is_finite(self.true_bits) and self.true_bits > 0):
            raise ValueError(f"true_bits={self.true_bits!r}: a number above 0 or None is allowed")
        for field in ("checkpoint", "cache", "drafter"):
            _check_text(field, getattr(self, field))
        if self.adapter is not None:
            _check_text("adapter", self.adapter)

    @property
    def slug(self) -> str:
        """Name of the setting's folder of items."""
        return slug(self.name)


@dataclass(frozen=True)
class Metric:
    """A number that a task gives: ("nll", "nats_per_token", False, "nats")."""

    task: str
    name: str
    higher_is_better: bool
    unit: str = ""

    def __post_init__(self):
        _check_name("task", self.task)
        _check_name("name", self.name)
        if not isinstance(self.higher_is_better, bool):
            raise ValueError(f"higher_is_better={self.higher_is_better!r}: true or false is expected")
        _check_text("unit", self.unit)

    @property
    def key(self) -> tuple[str, str]:
        """What a score refers to it by: task and name."""
        return self.task, self.name

    @property
    def arrow(self) -> str:
        """The direction in which values are better."""
        return "↑" if self.higher_is_better else "↓"


@dataclass(frozen=True)
class Score:
    """A metric of a setting.

    Attributes:
        setting, task, metric: names.
        low, high: 95 % bootstrap interval over items, or over runs for timings; both `None` if there is none.
        items: how many items, or timed runs, it is from.
        path: the path through the model that the number used: one of `PATHS`.
    """

    setting: str
    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    items: int
    path: str

    def __post_init__(self):
        if not _is_finite(self.value):
            raise ValueError(f"value={self.value!r}: a finite number; leave out what was not measured and note why")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"low={self.low!r}, high={self.high!r}: both or none")
        if self.low is not None and not (_is_finite(self.low) and _is_finite(self.high) and self.low <= self.high):
            raise ValueError(f"low={self.low!r}, high={self.high!r}: finite numbers in order are expected")
        if isinstance(self.items, bool) or not isinstance(self.items, int) or self.items < 1:
            raise ValueError(f"items={self.items!r}: at least 1")
        if self.path not in PATHS:
            raise ValueError(f"path={self.path!r}: one of {', '.join(PATHS)} is allowed")


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}={value!r}: a text is expected")


def _check_name(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME:
        raise ValueError(f"{name}={value!r}: a text of 1 to {LONGEST_NAME} characters is expected")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""Easy rows for SFT and hard ones for GRPO, by how often the cold-start model is right about each.

    rate    share of right answers in k samples
    easy    rate >= `high`
    hard    0 < rate < 1: only there do the samples of a group differ, so that GRPO has a gradient

The paper has Easy 3k and Hard 3k; its rule is not known, this one is ours. Easy rows are drawn first, and no row is in
both. Of each set a stated share is None, never more, and less only where there are too few: without None a model
forgets it. Where too few None are sometimes right, hard takes more from those that always are.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from setaria.datasets_builders.mner.grounding_prompts import Conversation
from setaria.datasets_builders.mner.grounding_rows import question
from setaria.models.box_codec import box_codec
from setaria.rewards.grounding import grade_reply


KINDS = ("box", "None")
FATES = ("easy", "hard", "never right", "sometimes right", "always right")  # the last three are dropped
LEAST = 1e-6  # a rate above 0


@dataclass(frozen=True)
class SplitConfig:
    """What is easy and what is hard, and how much of it is drawn.

    Attributes:
        easy, hard: rows of each set at most (paper: 3000).
        high: least rate of an easy row.
        none_share: share of None in each set.
        seed: of what is drawn.
    """

    easy: int = 3000
    hard: int = 3000
    high: float = 0.75
    none_share: float = 0.4
    seed: int = 0

    def __post_init__(self):
        for name in ("easy", "hard"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: at least 0 is expected")
        if not 0 < self.high <= 1:
            raise ValueError(f"high={self.high} is no rate above 0 and up to 1")
        if not 0 <= self.none_share < 1:
            raise ValueError(f"none_share={self.none_share} is no share from 0 to below 1")


@dataclass(frozen=True)
class Difficulty:
    """The two sets, and what became of the rows.

    Attributes:
        easy, hard: numbers of the rows, ascending.
        counts: rows of each of `KINDS`, by what became of them, see `FATES`.
        rates: rows of each of `KINDS`, by rate.
    """

    easy: list[int]
    hard: list[int]
    counts: dict[str, Counter[str]]
    rates: dict[str, Counter[float]]


def pass_rates(
    rows: Iterable[Mapping[str, Any]],
    ask: Callable[[Sequence[Conversation]], list[str]],
    samples: int,
    at_once: int = 16,
) -> Iterator[float]:
    """The share of right answers of each row, in order.

    Args:
        rows: of the grounding agent, with their images.
        ask: the model, sampling.
        samples: answers per row.
        at_once: rows that are asked about at a time.

    Raises:
        ValueError: for fewer than two samples, of which no row could be sometimes right.
    """
    if samples < 2:
        raise ValueError(f"samples={samples}: at least 2 are needed to tell hard rows")
    waiting = iter(rows)
    while chosen := list(islice(waiting, at_once)):
        replies = iter(ask([one for row in chosen for one in [question(row)] * samples]))
        for row in chosen:
            said = list(islice(replies, samples))
            yield sum(_is_right(reply, row) for reply in said) / samples


def split_by_difficulty(rates: Sequence[float], nones: Sequence[bool], config: SplitConfig) -> Difficulty:
    """Draw the two sets; the same for the same arguments.

    Args:
        rates: of each row.
        nones: whether the answer of each row is None.
    """

    def pool(none: bool, low: float, high: float = 1.0, taken: Collection[int] = ()) -> list[int]:
        fitting = (number for number, rate in enumerate(rates) if nones[number] == none and low <= rate <= high)
        return [number for number in fitting if number not in taken]

    easy = _draw(config, "easy", pool(False, config.high), pool(True, config.high))
    taken = set(easy)
    sometimes = [pool(none, LEAST, 1 - LEAST, taken) for none in (False, True)]
    hard = _draw(config, "hard", *sometimes, pool(True, 1, taken=taken))
    fates = dict.fromkeys(easy, "easy") | dict.fromkeys(hard, "hard")
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    histogram: dict[str, Counter[float]] = {kind: Counter() for kind in KINDS}
    for number, (rate, none) in enumerate(zip(rates, nones, strict=True)):
        kind = KINDS[none]
        histogram[kind][rate] += 1
        counts[kind][fates.get(number) or _dropped(rate)] += 1
    return Difficulty(easy, hard, counts, histogram)


def _draw(config: SplitConfig, name: str, boxes: list[int], *nones: list[int]) -> list[int]:
    """So many rows of a set, those without a box from the first of `nones` that still have some."""
    rng = random.Random(f"{config.seed} {name}")
    size, share = getattr(config, name), config.none_share
    wanted = round(size * share)
    chosen = rng.sample(boxes, min(size - wanted, len(boxes)))
    if len(chosen) < size - wanted:
        wanted = min(wanted, round(len(chosen) * share / (1 - share)))
    for pool in nones:
        drawn = rng.sample(pool, min(wanted, len(pool)))
        chosen += drawn
        wanted -= len(drawn)
    return sorted(chosen)


def _dropped(rate: float) -> str:
    return "always right" if rate == 1 else "sometimes right" if rate else "never right"


def _is_right(reply: str, row: Mapping[str, Any]) -> bool:
    codec = box_codec(row["family"])
    return grade_reply(reply, row["gold_boxes"], codec, row["image_size"], row["processed_size"]).right

"""The threshold under which the correction agent looks things up, tuned on the development split.

    tau = argmax  F1(tau) - cost * looked_up(tau)

F1 is that of MNER (span and type), where a tweet has its corrected entities if its lowest confidence is below tau,
else its old ones; looked_up is the share of tweets below tau. So one run that corrects all tweets serves every tau. Of
equal taus the lowest is taken, which looks up the least. The paper names no value and no way to one; this is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from setaria.rewards.entity_matching import CONVENTIONS, TASKS, match
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


EVERYTHING = 1.01  # above every confidence


@dataclass(frozen=True)
class Outcome:
    """A tweet of the development split, with and without correction.

    Attributes:
        gold: its entities.
        before, after: what was found without correction, and with it.
        confidence: the lowest of its candidates (`Knowledge.confidence`); infinite without candidates, which are never
            looked up.
    """

    gold: tuple[GoldEntity, ...]
    before: tuple[PredictedEntity, ...]
    after: tuple[PredictedEntity, ...]
    confidence: float


@dataclass(frozen=True)
class Point:
    """What a tau does on the development split: F1 of MNER, and the share of tweets that are looked up."""

    tau: float
    f1: float
    looked_up: float


@dataclass(frozen=True)
class Tuned:
    """The best tau, and all that were tried, from looking nothing up to looking everything up."""

    best: Point
    points: tuple[Point, ...]


def tune_threshold(outcomes: Sequence[Outcome], cost: float = 0.0, convention: str = "index_keyed") -> Tuned:
    """The tau that is worth most on the development split.

    Args:
        outcomes: of all its tweets.
        cost: F1 that looking all tweets up must gain to be worth it; 0: it is free.
        convention: how F1 is counted, one of `CONVENTIONS`.

    Raises:
        ValueError: for no tweets, tweets without any gold, a negative cost and another convention.
    """
    if not any(outcome.gold for outcome in outcomes):
        raise ValueError("outcomes have no gold entity: there is no F1")
    if not cost >= 0:
        raise ValueError(f"cost={cost}: at least 0 is expected")
    if convention not in CONVENTIONS:
        raise ValueError(f"convention={convention!r}: one of {', '.join(CONVENTIONS)} is allowed")
    levels = sorted({outcome.confidence for outcome in outcomes if outcome.confidence <= 1})
    between = [(low + high) / 2 for low, high in pairwise(levels)]
    counts = [
        (outcome.confidence, _counts(outcome, outcome.before, convention), _counts(outcome, outcome.after, convention))
        for outcome in outcomes
    ]
    points = []
    for tau in [0.0, *between, EVERYTHING]:
        chosen = [after if confidence < tau else before for confidence, before, after in counts]
        right, predicted, gold = map(sum, zip(*chosen, strict=True))
        looked_up = sum(confidence < tau for confidence, _, _ in counts) / len(counts)
        points.append(Point(tau, 2 * right / (predicted + gold), looked_up))
    return Tuned(max(points, key=lambda point: point.f1 - cost * point.looked_up), tuple(points))


def _counts(outcome: Outcome, predicted: Sequence[PredictedEntity], convention: str) -> tuple[int, int, int]:
    """Right, predicted and gold entities."""
    matched = match(outcome.gold, predicted, TASKS["MNER"], CONVENTIONS[convention])
    return len(matched.pairs), len(matched.predicted), len(matched.gold)

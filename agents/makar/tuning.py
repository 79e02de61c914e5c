"""The threshold of a correction agent, tuned on the development split by correcting that at every tau that differs.

    tau = argmax  F1(tau) - cost * looked_up(tau)

F1 is that of MNER (span and type) after correction, looked_up the share of tweets with a name below tau. Every tau
between the same two confidences does the same, so one of them is tried; where there are too many, as with marginals,
some with evenly many candidates between them. Of equal taus the lowest is taken, which looks up the least.

The paper names no value and no way to one; this is ours. One correction of everything could serve all taus, but it
also looks up the names that a lower tau leaves alone, and pages on these may mislead. It would save little, since what
is recorded is not asked again: a name is summarised once, and a tweet decided once for each set of its names in doubt.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from setaria.agents.makar.confidence import lowest
from setaria.agents.makar.correction import CorrectionAgent
from setaria.agents.makar.knowledge import Knowledge
from setaria.agents.makar.knowledge_prompts import Unlabelled
from setaria.rewards.entity_matching import CONVENTIONS, TASKS, match
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


EVERYTHING = 1.01  # above every confidence


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


def tune_correction(
    agent: CorrectionAgent,
    tweets: Sequence[tuple[Unlabelled, Knowledge]],
    gold: Sequence[tuple[GoldEntity, ...]],
    cost: float = 0.0,
    most: int = 20,
    convention: str = "index_keyed",
    watch: Callable[[Sequence[float]], Iterable[float]] = iter,
) -> Tuned:
    """The tau that is worth most, whatever tau the agent has. Raises what the model raises.

    Args:
        tweets: all of the development split.
        gold: their entities, which are compared with what the agent says and not shown to it.
        cost: F1 that looking all tweets up must gain to be worth it; 0: it is free.
        most: thresholds that are tried.
        convention: how F1 is counted, one of `CONVENTIONS`.
        watch: the thresholds again, one by one, as a progress bar gives them.

    Raises:
        ValueError: for no gold, gold of other tweets, a negative cost, fewer than 2 thresholds and another convention.
    """
    if not any(gold):
        raise ValueError("gold has no entity: there is no F1")
    if len(gold) != len(tweets):
        raise ValueError(f"gold is of {len(gold)} tweets, there are {len(tweets)}")
    if not cost >= 0:
        raise ValueError(f"cost={cost}: at least 0 is expected")
    if convention not in CONVENTIONS:
        raise ValueError(f"convention={convention!r}: one of {', '.join(CONVENTIONS)} is allowed")
    points = []
    for tau in watch(thresholds((knowledge for _, knowledge in tweets), most)):
        corrected = list(replace(agent, config=replace(agent.config, tau=tau)).corrections(tweets))
        looked_up = sum(bool(one.asked) for one in corrected) / len(corrected)
        points.append(Point(tau, _f1(gold, [one.entities for one in corrected], convention), looked_up))
    return Tuned(max(points, key=lambda point: point.f1 - cost * point.looked_up), tuple(points))


def thresholds(known: Iterable[Knowledge], most: int) -> list[float]:
    """What there is to try, at most so many: nothing, everything, and values between confidences of candidates.

    Raises:
        ValueError: for fewer than 2.
    """
    if most < 2:
        raise ValueError(f"most={most}: at least 2, for nothing and everything")
    confidences = sorted(lowest([candidate]) for one in known for candidate in one.candidates)
    between = [(low + high) / 2 for low, high in pairwise(confidences) if low < high]
    if len(between) > most - 2:
        chosen = (confidences[len(confidences) * part // (most - 1)] for part in range(1, most - 1))
        between = sorted({min(between, key=lambda tau: abs(tau - wanted)) for wanted in chosen})
    return [0.0, *between, EVERYTHING]


def _f1(
    gold: Sequence[Sequence[GoldEntity]], predicted: Sequence[Sequence[PredictedEntity]], convention: str
) -> float:
    matches = [match(*sides, TASKS["MNER"], CONVENTIONS[convention]) for sides in zip(gold, predicted, strict=True)]
    right = sum(len(one.pairs) for one in matches)
    return 2 * right / sum(len(one.predicted) + len(one.gold) for one in matches)

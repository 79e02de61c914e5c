"""What traces say about an agent, with bootstrap intervals over episodes.

success                           share of episodes that end on the goal page, by any way
task both, task iou, task text    share that also match gold in all steps (`setaria.rewards.gui.mobile3m`)
step iou, step text               mean over steps of the action that stood
detection precision, recall       of wrong first attempts, by Verifier and Judger together
right, repaired, unrepaired,
broken, false alarm, unnoticed    shares of steps (`trace_counts`)
reflections, seconds              per step
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from setaria.agents.backtrack.trace_counts import count_episode
from setaria.rewards.gui.actions import action_from_dict
from setaria.rewards.gui.mobile3m import StepScore, step_score


RESAMPLES = 2000
VERDICTS = ("right", "repaired", "unrepaired", "broken", "false alarm", "unnoticed")


@dataclass(frozen=True)
class Interval:
    """A metric and its 95 % bootstrap interval; NaN where nothing was counted."""

    value: float
    low: float
    high: float


def measure(
    episodes: Iterable[dict[str, Any]], seed: int = 0, names: Iterable[str] | None = None
) -> dict[str, Interval]:
    """Metrics of a run, all or those that are named; episodes are the units that are drawn again."""
    counted = [_counts(episode) for episode in episodes]
    return {name: _interval(counted, *METRICS[name], seed) for name in (METRICS if names is None else names)}


def success_gain(episodes: Iterable[dict[str, Any]], others: Iterable[dict[str, Any]], seed: int = 0) -> Interval:
    """Success of one run minus that of another on the episodes whose success both know, drawn in pairs.

    Raises:
        ValueError: if there is no such episode.
    """
    success, other = _successes(episodes), _successes(others)
    gains = np.array([float(success[name]) - float(other[name]) for name in sorted(set(success) & set(other))])
    if not len(gains):
        raise ValueError("the runs have no episode in common whose success is known")
    drawn = np.random.default_rng(seed).choice(gains, (RESAMPLES, len(gains))).mean(1)
    return Interval(float(gains.mean()), *map(float, np.percentile(drawn, (2.5, 97.5))))


def _successes(episodes: Iterable[dict[str, Any]]) -> dict[str, bool]:
    ends = {episode["episode"]: episode["end"]["success"] for episode in episodes}
    return {name: success for name, success in ends.items() if success is not None}


def _counts(episode: dict[str, Any]) -> dict[str, float]:
    """Sums of one episode."""
    counts: dict[str, float] = dict(count_episode(episode))
    scores = [score for step in episode["steps"] if (score := _score(step)) is not None]
    known = episode["end"]["success"] is not None
    counts["known"] = float(known)
    counts["scored"] = len(scores)
    counts["step iou"] = sum(score.iou for score in scores)
    counts["step text"] = sum(score.text for score in scores)
    judged = episode["end"]["success"] and len(scores) == len(episode["steps"])
    for name in ("both", "box", "text"):
        counts[f"task {name}"] = float(bool(judged) and all(getattr(score, name) for score in scores))
    counts["seconds"] = sum(attempt["seconds"] for step in episode["steps"] for attempt in step["attempts"])
    return counts


def _score(step: dict[str, Any]) -> StepScore | None:
    """Score of the action that stood, `None` where gold is not known."""
    if not step["gold"] or not step["attempts"]:
        return None
    stood = step["attempts"][step["accepted"]]["action"]
    return step_score(action_from_dict(step["gold"]), stood and action_from_dict(stood))


def _sum(*names: str) -> Callable[[dict[str, float]], float]:
    return lambda counts: sum(counts.get(name, 0.0) for name in names)


_FLAGGED_WRONG = _sum("repaired", "unrepaired")
_WITH_GOLD = _sum(*VERDICTS)
# Name of a metric: what is summed over episodes, and what it is divided by.
METRICS: dict[str, tuple[Callable, Callable]] = {
    "success": (_sum("succeeded"), _sum("known")),
    "task both": (_sum("task both"), _sum("known")),
    "task iou": (_sum("task box"), _sum("known")),
    "task text": (_sum("task text"), _sum("known")),
    "step iou": (_sum("step iou"), _sum("scored")),
    "step text": (_sum("step text"), _sum("scored")),
    "detection precision": (_FLAGGED_WRONG, _sum("repaired", "unrepaired", "broken", "false alarm")),
    "detection recall": (_FLAGGED_WRONG, _sum("repaired", "unrepaired", "unnoticed")),
    **{verdict: (_sum(verdict), _WITH_GOLD) for verdict in VERDICTS},
    "reflections": (_sum("reflections"), _sum("steps")),
    "seconds": (_sum("seconds"), _sum("steps")),
}


def _interval(counted: list[dict[str, float]], top: Callable, bottom: Callable, seed: int) -> Interval:
    tops, bottoms = np.array([top(counts) for counts in counted]), np.array([bottom(counts) for counts in counted])
    if not bottoms.sum():
        return Interval(*[float("nan")] * 3)
    drawn = np.random.default_rng(seed).integers(len(counted), size=(RESAMPLES, len(counted)))
    below = bottoms[drawn].sum(1)
    ratios = tops[drawn].sum(1)[below > 0] / below[below > 0]
    return Interval(float(tops.sum() / bottoms.sum()), *map(float, np.percentile(ratios, (2.5, 97.5))))

"""What the lab reads off a run's curve of checkpoints: peak, final, drop, gold at a matched KL, and the alarms' AUC.

A curve is a list of checkpoints, step 0 first, each a dict with at least `gold` and `kl`.
"""

import statistics
from collections.abc import Sequence
from itertools import pairwise


Curve = Sequence[dict[str, float]]


def summarize_curve(curve: Curve) -> dict[str, float]:
    """Peak and final gold and their difference, with the final checkpoint's other metrics.

    The peak is the best of several noisy checkpoints, so it and the drop are biased upwards, alike for every arm.
    """
    peak = max(point["gold"] for point in curve)
    final = curve[-1]
    return {**final, "peak": peak, "final": final["gold"], "drop": peak - final["gold"]}


def gold_at_kl(curve: Curve, level: float) -> float | None:
    """Gold where the run first reaches KL `level`, linear between checkpoints; None if it never does."""
    for before, after in pairwise(curve):
        if before["kl"] < level <= after["kl"]:
            share = (level - before["kl"]) / (after["kl"] - before["kl"])
            return before["gold"] + share * (after["gold"] - before["gold"])
    return None


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, 0 for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def over_optimized(curve: Curve, margin: float) -> list[bool]:
    """Whether each checkpoint has lost `margin` of gold against the best one before it."""
    best, verdicts = curve[0]["gold"], []
    for point in curve:
        verdicts.append(point["gold"] <= best - margin)
        best = max(best, point["gold"])
    return verdicts


def auc(scores: Sequence[float], bad: Sequence[bool]) -> float | None:
    """Probability that a bad checkpoint has the greater score than a good one; None without both kinds."""
    positives = [score for score, is_bad in zip(scores, bad, strict=True) if is_bad]
    negatives = [score for score, is_bad in zip(scores, bad, strict=True) if not is_bad]
    if not positives or not negatives:
        return None
    wins = sum(float(p > n) + 0.5 * float(p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


def best_threshold(scores: Sequence[float], bad: Sequence[bool]) -> tuple[float, float]:
    """The threshold with the best accuracy of `score >= threshold`, and that accuracy, on these very checkpoints."""

    def accuracy(threshold: float) -> float:
        return sum((score >= threshold) == is_bad for score, is_bad in zip(scores, bad, strict=True)) / len(scores)

    return max(((threshold, accuracy(threshold)) for threshold in sorted(set(scores))), key=lambda pair: pair[1])

"""What the lab found: accuracies and F1 of each arm over all seeds, and the differences that the experiment is about.

Intervals are 95 %: seeds are drawn again, and tweets within them, in pairs where two arms are compared, so that they
hold for other seeds and other tweets of this world. World, knowledge and the model that can see are the same for all.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from setaria.agents.backtrack.metrics import RESAMPLES, Interval
from setaria.recipes.makar.lab_config import LabConfig
from setaria.recipes.run_folder import write_atomically


# Metric: what is counted in a tweet above and below the line, see `lab_arms.Counts`.
METRICS = {
    "acc@0.5": ({"seen_right": 1}, {"seen": 1}),
    "acc@0.5 long tail": ({"rare_right": 1}, {"rare": 1}),
    "None": ({"none_right": 1}, {"none": 1}),
    "GMNER F1": ({"placed": 2}, {"found": 1, "gold": 1}),
    "MNER F1": ({"named": 2}, {"found": 1, "gold": 1}),
    "unreadable": ({"unreadable": 1}, {"seen": 1, "none": 1}),
}
# What must be better, and than what.
QUESTIONS = (
    ("reinforced", "continued"),
    ("reinforced", "continued_hard"),
    ("reinforced", "cold"),
    ("reinforced", "paper_exact"),
    ("reinforced", "no search"),
    ("reinforced", "no knowledge"),
    ("reinforced", "neither"),
    ("reinforced", "always search"),
)


def write_report(
    config: LabConfig, floors: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]], output: Path
) -> dict[str, Any]:
    """Write `results.json` and `report.md`; returns the results.

    Args:
        floors: counts of each floor for each tweet.
        seeds: of each seed its `minutes`, and the same counts of its `arms`.
    """
    runs = {name: [seed["arms"][name] for seed in seeds] for name in seeds[0]["arms"]}
    arms = {name: _means(counts) for name, counts in runs.items()}
    by_seed = {
        name: {metric: [_value(_table(one, metric)) for one in counts] for metric in METRICS}
        for name, counts in runs.items()
    }
    gains = {
        f"{one} - {other}": {metric: asdict(_gain(runs[one], runs[other], metric)) for metric in METRICS}
        for one, other in QUESTIONS
    }
    results = {
        "config": asdict(config),
        "minutes": [seed["minutes"] for seed in seeds],
        "floors": {name: _means([counts]) for name, counts in floors.items()},
        "arms": arms,
        "by seed": by_seed,
        "gains": gains,
    }
    write_atomically(output / "results.json", json.dumps(results, indent=1) + "\n")
    write_atomically(output / "report.md", _markdown(results))
    return results


def _means(runs: Sequence[Sequence[Mapping[str, int]]]) -> dict[str, dict[str, float]]:
    return {metric: asdict(_mean([_table(counts, metric) for counts in runs])) for metric in METRICS}


def _table(counts: Sequence[Mapping[str, int]], metric: str) -> np.ndarray:
    """Above and below the line, a row for each tweet."""
    sides = METRICS[metric]
    return np.array([[sum(weight * one[name] for name, weight in side.items()) for side in sides] for one in counts])


def _value(table: np.ndarray) -> float:
    return float(_ratio(table.sum(0)))


def _mean(runs: Sequence[np.ndarray]) -> Interval:
    return _interval(runs, _ratio)


def _gain(one: Sequence, other: Sequence, metric: str) -> Interval:
    pairs = [
        np.hstack((_table(first, metric), _table(second, metric))) for first, second in zip(one, other, strict=True)
    ]
    return _interval(pairs, lambda sums: _ratio(sums[..., :2]) - _ratio(sums[..., 2:]))


def _ratio(sums: np.ndarray) -> np.ndarray:
    """What is above the line by what is below it; NaN where nothing is."""
    right, of = sums[..., 0], sums[..., 1]
    return np.divide(right, of, out=np.full(np.shape(of), np.nan), where=of > 0)


def _interval(runs: Sequence[np.ndarray], measure: Callable[[np.ndarray], np.ndarray]) -> Interval:
    """The mean over runs of a measure of column sums, with runs drawn again and, in each, its rows."""
    rng = np.random.default_rng(0)
    values = []
    for _ in runs:
        chosen = rng.integers(len(runs), size=RESAMPLES)
        drawn = [measure(rng.multinomial(len(run), np.full(len(run), 1 / len(run)), RESAMPLES) @ run) for run in runs]
        values.append(np.array(drawn)[chosen, np.arange(RESAMPLES)])
    means = np.mean(values, 0)
    low, high = np.percentile(means[np.isfinite(means)], (2.5, 97.5)) if np.isfinite(means).any() else (np.nan, np.nan)
    return Interval(float(np.mean([measure(run.sum(0)) for run in runs])), float(low), float(high))


def _markdown(results: Mapping[str, Any]) -> str:
    head = [f"| {{}} | {' | '.join(METRICS)} |", "|---" * (len(METRICS) + 1) + "|"]
    lines = [head[0].format("arm"), head[1]]
    for name, metrics in {**results["floors"], **results["arms"]}.items():
        cells = (f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" for one in metrics.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", head[0].format("difference"), head[1]]
    for name, metrics in results["gains"].items():
        cells = (f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]" for one in metrics.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", head[0].format("by seed"), head[1]]
    for name, metrics in results["by seed"].items():
        cells = (", ".join(f"{value:.2f}" for value in values) for values in metrics.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"

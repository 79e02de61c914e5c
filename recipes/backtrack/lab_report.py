"""What the lab found: success of each arm over all seeds, and its gain over acting without going back."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from setaria.agents.backtrack.metrics import RESAMPLES, Interval
from setaria.recipes.backtrack.lab_arms import ARMS
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.run_folder import write_atomically


BASELINE = "none"
COLUMNS = ("step iou", "step text", "detection precision", "detection recall", "repaired", "unrepaired", "broken")
MORE = ("false alarm", "reflections", "seconds")
# Comparisons that the experiment is about: what must be better, and than what.
QUESTIONS = (
    ("full", "none"),
    ("full", "simulated"),
    ("full", "free"),
    ("random", "none"),
    ("reinforced", "full"),
    ("oracle", "full"),
)


def write_report(config: LabConfig, seeds: Sequence[dict[str, Any]], output: Path) -> dict[str, Any]:
    """Write `results.json` and `report.md`; returns the results."""
    arms = {name: _summary(name, seeds) for name in ARMS}
    gains = {f"{one} - {other}": asdict(_gain(one, other, seeds)) for one, other in QUESTIONS}
    results = {"config": asdict(config), "minutes": [seed["minutes"] for seed in seeds], "arms": arms, "gains": gains}
    write_atomically(output / "results.json", json.dumps(results, indent=1) + "\n")
    write_atomically(output / "report.md", _markdown(results))
    return results


def _summary(name: str, seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    metrics = [seed["arms"][name]["metrics"] for seed in seeds]
    return {
        "success": [metric["success"]["value"] for metric in metrics],
        "gain": asdict(_gain(name, BASELINE, seeds)),
        **{column: float(np.nanmean([metric[column]["value"] for metric in metrics])) for column in (*COLUMNS, *MORE)},
    }


def _gain(one: str, other: str, seeds: Sequence[dict[str, Any]]) -> Interval:
    """Success of one arm minus another's in points of a share.

    Seeds are drawn again, and tasks within them, in pairs: the interval holds for other seeds and other tasks.
    """
    gains = [
        np.array([seed["arms"][one]["success"][task] - seed["arms"][other]["success"][task] for task in tasks], float)
        for seed in seeds
        for tasks in [sorted(seed["arms"][one]["success"])]
    ]
    rng = np.random.default_rng(0)
    drawn = [
        np.mean(
            [rng.choice(gains[seed], len(gains[seed])).mean() for seed in rng.integers(len(gains), size=len(gains))]
        )
        for _ in range(RESAMPLES)
    ]
    return Interval(float(np.mean([gain.mean() for gain in gains])), *map(float, np.percentile(drawn, (2.5, 97.5))))


def _markdown(results: dict[str, Any]) -> str:
    names = ("success", "by seed", "gain over none [95 %]", *COLUMNS, *MORE)
    lines = [f"| arm | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for name, arm in results["arms"].items():
        cells = [f"{np.mean(arm['success']):.3f}", ", ".join(f"{value:.2f}" for value in arm["success"])]
        cells.append(_interval(arm["gain"]))
        cells += [f"{arm[column]:.3f}" for column in (*COLUMNS, *MORE)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| comparison | gain in success [95 %] |", "|---|---|"]
    lines += [f"| {name} | {_interval(gain)} |" for name, gain in results["gains"].items()]
    return "\n".join(lines) + "\n"


def _interval(gain: dict[str, float]) -> str:
    return f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"

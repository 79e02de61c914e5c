"""Bootstrap intervals of statistics of sums: units, such as tweets, are drawn again with what was counted in them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


RESAMPLES = 2000
BLOCK = 100  # resamples at a time, so that their weights fit into memory for many units


@dataclass(frozen=True)
class Interval:
    """A statistic and its 95 % bootstrap interval; NaN where nothing was counted."""

    value: float
    low: float
    high: float


def bootstrap(counts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> np.ndarray:
    """A statistic of the sums over all units, with percentile intervals.

    Args:
        counts: `[units, ...]`.
        statistic: of sums `[samples, ...]` to `[samples, ...]`; a sample in which it is NaN is left out.
        seed: of the draws.

    Returns:
        Value, low and high of the 95 % interval, `[3, ...]`.

    Raises:
        ValueError: if there are no units.
    """
    units = len(counts)
    if not units:
        raise ValueError("counts are empty: there is nothing to draw from")
    counts = counts.astype(float)
    random = np.random.default_rng(seed)
    chances = np.full(units, 1 / units)
    drawn = [
        statistic(np.tensordot(random.multinomial(units, chances, BLOCK).astype(float), counts, 1))
        for _ in range(RESAMPLES // BLOCK)
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        bounds = np.nanpercentile(np.concatenate(drawn), (2.5, 97.5), axis=0)
    return np.concatenate([statistic(counts.sum(0, keepdims=True)), bounds])

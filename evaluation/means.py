"""Means over items with their bootstrap intervals; the draws are seeded, so the same items give the same numbers.

Where all values are alike the interval has no width, which says nothing about items that were not tried.
"""

from collections.abc import Sequence

import numpy as np

from setaria.evaluation.items import Item
from setaria.rewards.intervals import bootstrap


def mean_score(items: Sequence[Item], metric: str, seed: int = 0) -> tuple[float, float | None, float | None, int]:
    """Mean of a metric over the items that have it, weighted by their weights: value, low, high, number of items.

    Items are sorted by id first, so their order does not matter.

    Raises:
        ValueError: if no item has the metric.
    """
    having = sorted((item for item in items if metric in item.scores), key=lambda item: item.id)
    if not having:
        raise ValueError(f"metric={metric!r}: none of {len(items)} items has it")
    scores, weights = [item.scores[metric] for item in having], [item.weight for item in having]
    return (*mean_interval(scores, weights, seed), len(having))


def mean_interval(
    values: Sequence[float] | np.ndarray, weights: Sequence[float] | None = None, seed: int = 0
) -> tuple[float, float | None, float | None]:
    """Mean of values and its 95 % bootstrap interval over them; no interval for a single value.

    Args:
        weights: of the values, such as tokens; equal if not given.

    Raises:
        ValueError: if there are no values, or weights of another number or not above 0.
    """
    if weights is not None and (len(weights) != len(values) or min(weights, default=1) <= 0):
        raise ValueError(f"{len(weights)} weights of {len(values)} values: as many and above 0 are expected")
    counts = np.ones((len(values), 2))
    counts[:, 0] = values
    if weights is not None:
        counts *= np.asarray(weights, float)[:, None]
    value, low, high = map(float, bootstrap(counts, _ratio, seed))
    return (value, low, high) if len(values) > 1 else (value, None, None)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]

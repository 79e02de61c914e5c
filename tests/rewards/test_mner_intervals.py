"""Bootstrap intervals: against the binomial's, of nothing, of what has no value, and the same for the same seed."""

import numpy as np
import pytest

from setaria.rewards.intervals import bootstrap


def share(sums):
    return np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)


def test_a_share_has_the_interval_of_the_binomial():
    """100 of 400: .25 +- 1.96 * sqrt(.25 * .75 / 400), which is .0424."""
    counts = np.stack([np.arange(400) < 100, np.ones(400)], 1)
    value, low, high = bootstrap(counts, share)
    assert value == 0.25
    assert (value - low, high - value) == pytest.approx((0.0424, 0.0424), abs=0.004)


def test_equal_units_leave_no_doubt():
    assert bootstrap(np.tile([1, 2], (30, 1)), share) == pytest.approx([0.5, 0.5, 0.5])


def test_samples_without_a_value_are_left_out():
    """Only the first of two units counts, and a quarter of the draws miss it."""
    assert bootstrap(np.array([[1, 1], [0, 0]]), share).tolist() == [1, 1, 1]
    assert np.isnan(bootstrap(np.zeros((2, 2)), share)).all()


def test_seeds():
    counts = np.stack([np.arange(50) % 3, np.ones(50)], 1)
    assert (bootstrap(counts, share, seed=1) == bootstrap(counts, share, seed=1)).all()
    assert (bootstrap(counts, share, seed=1) != bootstrap(counts, share, seed=2)).any()


def test_columns_are_drawn_together():
    counts = np.arange(60).reshape(20, 3)
    bounds = bootstrap(counts, lambda sums: np.stack([sums[:, 0], sums[:, 0], sums[:, 1] - sums[:, 0]], 1))
    assert bounds.shape == (3, 3)
    assert (bounds[:, 0] == bounds[:, 1]).all()
    # The second column is the first plus 1 in each of 20 units.
    assert bounds[:, 2].tolist() == [20, 20, 20]


def test_no_units_are_refused():
    with pytest.raises(ValueError, match="counts are empty"):
        bootstrap(np.zeros((0, 2)), share)

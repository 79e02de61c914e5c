"""What a forward costs and how many nodes it pays to verify."""

import pytest
import torch

from setaria.generation.ngram_trie.cost import FORGOTTEN_AFTER, REMEMBERED, VerifyCost


CPU, GPU = torch.device("cpu"), torch.device("cuda")


def measured(seconds: dict[int, float], device=CPU, rows=1) -> VerifyCost:
    cost = VerifyCost(device, rows)
    for queries, value in seconds.items():
        cost.observe(queries, value)
    return cost


def test_before_anything_is_measured():
    cpu, gpu = VerifyCost(CPU), VerifyCost(GPU)
    assert cpu.seconds(1) == gpu.seconds(1) == 1
    assert cpu.seconds(2) == pytest.approx(1.5)  # a matrix product instead of a matrix-vector one
    assert gpu.seconds(33) == pytest.approx(1.128)


def test_measurements_are_interpolated_and_then_follow_the_shape():
    cost = measured({1: 2.0, 2: 3.0, 6: 5.0})
    assert [cost.seconds(queries) for queries in (1, 2, 4, 6)] == pytest.approx([2.0, 3.0, 4.0, 5.0])
    assert cost.seconds(12) == pytest.approx(5.0 * 2.0 / 1.7)  # 1.4 + .05 * 12 over 1.4 + .05 * 6


def test_the_median_forgives_a_stall():
    cost = measured({1: 1.0})
    for seconds in [1.0] * (REMEMBERED // 2) + [50.0]:
        cost.observe(1, seconds)
    assert cost.seconds(1) == 1.0


def test_what_was_not_seen_for_long_is_tried_anew():
    cost = measured({1: 1.0, 8: 100.0})
    assert cost.seconds(8) == pytest.approx(100.0)
    for _ in range(FORGOTTEN_AFTER + 1):
        cost.observe(1, 1.0)
    assert cost.seconds(8) == pytest.approx(1.8)  # 1.4 + .05 * 8


def test_a_slow_spell_does_not_settle_the_width_for_good():
    """While single tokens were slow, wide forwards looked cheap, and single ones were not tried again."""
    cost = measured({1: 0.145, 8: 0.0075})
    widths = []
    for _ in range(2 * FORGOTTEN_AFTER):
        widths.append(cost.best_width([[0.01] * 7]))
        cost.observe(1 + widths[-1], 0.0027 if widths[-1] == 0 else 0.0075)
    assert widths[0] == 7
    assert widths[-1] == 0


def test_the_best_width_by_hand():
    cost = measured({1: 1.0, 2: 1.5, 3: 1.6, 4: 1.7})
    # tokens per second: 1; 1.3 / 1.5; 1.6 / 1.6; 1.85 / 1.7 = 1.09
    assert cost.best_width([[0.3, 0.3, 0.25]]) == 3  # although the first node alone does not pay
    assert cost.best_width([[0.3, 0.2, 0.1]]) == 0
    assert cost.best_width([[]]) == 0


def test_rows_share_a_width():
    cost = measured({1: 1.0, 2: 1.5}, rows=2)
    assert cost.best_width([[0.9], []]) == 0  # 2.9 / 1.5 < 2 / 1
    assert cost.best_width([[0.9], [0.9]]) == 1


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("rows", [1, 4, 16])
def test_costs_rise_with_the_width(device, rows):
    cost = VerifyCost(device, rows)
    seconds = [cost.seconds(queries) for queries in range(1, 100)]
    assert seconds == sorted(seconds)

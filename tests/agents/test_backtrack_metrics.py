"""Metrics of made-up traces, each number by hand, and the bootstrap over episodes."""

import math

import numpy as np
import pytest

from setaria.agents.backtrack.metrics import METRICS, Interval, measure, success_gain
from setaria.agents.backtrack.trace_counts import step_verdict


SAVE = {"type": "click", "box": [0, 0, 10, 10], "text": "Save"}
NEAR = {"type": "click", "box": [0, 0, 10, 8], "text": "Save now"}  # IoU .8, text is part of it
PART = {"type": "click", "box": [0, 0, 10, 4], "text": "Save"}  # IoU .4
OTHER = {"type": "click", "box": [0, 0, 10, 4], "text": "Cancel"}
UP = {"type": "scroll", "box": [0, 0, 10, 90], "direction": "up"}
DOWN = {"type": "scroll", "box": [0, 0, 10, 90], "direction": "down"}


def attempt(action, match, accepted, role="generator"):
    return {"role": role, "action": action, "accepted": accepted, "gold_match": match, "seconds": 0.5}


def again(action, match, accepted):
    return attempt(action, match, accepted, "reflector")


def step(gold, *attempts):
    return {"page": {}, "gold": gold, "attempts": list(attempts), "accepted": len(attempts) - 1}


def episode(name, success, *steps):
    return {"episode": name, "steps": list(steps), "end": {"reason": "", "page": {}, "success": success, "seconds": 9}}


RIGHT = step(SAVE, attempt(SAVE, True, True))
EPISODES = [
    # right, repaired; every step matches in box and text
    episode("a", True, RIGHT, step(SAVE, attempt(OTHER, False, False), again(SAVE, True, True))),
    # right with IoU .8, unnoticed; the scroll matches in its box only
    episode("b", True, step(SAVE, attempt(NEAR, True, True)), step(UP, attempt(DOWN, False, True))),
    # broken with IoU .4 and another text, false alarm, unrepaired by a reply that is no action
    episode(
        "c",
        False,
        step(SAVE, attempt(SAVE, True, False), again(OTHER, False, True)),
        step(SAVE, attempt(SAVE, True, False), again(SAVE, True, False)),
        step(SAVE, attempt(OTHER, False, False), again(OTHER, False, False), again(None, None, False)),
    ),
    # nothing is known
    episode("d", None, step(None, attempt(SAVE, None, True))),
    # right, with IoU .4 and the text
    episode("e", True, step(SAVE, attempt(PART, True, True))),
]
# 4 episodes with known success; 8 steps with gold of 9; 14 attempts of half a second, 5 of them reflections.
VALUES = {
    "success": 3 / 4,
    "task both": 1 / 4,  # a
    "task iou": 2 / 4,  # a, b
    "task text": 2 / 4,  # a, e
    "step iou": (1 + 1 + 0.8 + 1 + 0.4 + 1 + 0 + 0.4) / 8,
    "step text": (2 + 1 + 1 + 1) / 8,  # a, b, c, e
    "detection precision": 2 / 4,  # repaired and unrepaired, of these, the broken one and the false alarm
    "detection recall": 2 / 3,  # of the repaired, unrepaired and unnoticed
    "right": 3 / 8,
    **dict.fromkeys(("repaired", "unrepaired", "broken", "false alarm", "unnoticed"), 1 / 8),
    "reflections": 5 / 9,
    "seconds": 14 * 0.5 / 9,
}


def test_every_metric():
    measured = measure(EPISODES)
    assert set(VALUES) == set(METRICS) == set(measured)
    assert {name: interval.value for name, interval in measured.items()} == pytest.approx(VALUES)
    for interval in measured.values():
        assert interval.low <= interval.value <= interval.high
    assert measure(iter(EPISODES)) == measured


def test_success_without_matching_steps_is_no_task_accuracy():
    """Another way to the goal; a step without gold; an episode that failed with all steps right."""
    for one in (
        episode("a", True, RIGHT, step(SAVE, attempt(UP, True, True))),
        episode("a", True, RIGHT, step(None, attempt(SAVE, None, True))),
        episode("a", False, RIGHT),
    ):
        measured = measure([one])
        assert [measured[name].value for name in ("task both", "task iou", "task text")] == [0, 0, 0]


def test_what_is_not_known_is_not_counted():
    """A page from which the goal cannot be reached has no right action; a lost environment gives no outcome."""
    dead_end = step(None, attempt(SAVE, False, False), again(OTHER, False, True))
    lost = step(SAVE, attempt(OTHER, None, False))
    before = step(SAVE)
    assert [step_verdict(one) for one in (dead_end, lost, before)] == [None] * 3
    measured = measure([episode("a", None, dead_end, before), episode("b", False, RIGHT, lost)])
    assert [measured[name].value for name in ("success", "right", "step iou")] == [0.0, 1.0, (1 + 0.4) / 2]
    assert (measured["reflections"].value, measured["seconds"].value) == (1 / 4, 4 * 0.5 / 4)


def test_nothing_to_count_is_no_number():
    measured = measure([])
    assert set(measured) == set(METRICS)
    for interval in measured.values():
        assert all(map(math.isnan, (interval.value, interval.low, interval.high)))
    measured = measure([episode("a", True, RIGHT)])
    assert math.isnan(measured["detection precision"].value) and math.isnan(measured["detection recall"].low)
    assert measured["right"] == Interval(1.0, 1.0, 1.0)


def episodes(successes):
    return [episode(str(number), bool(success), RIGHT) for number, success in enumerate(successes)]


def test_the_interval_of_a_share():
    """100 episodes, half of them successes: 95 % of binomial draws lie from 40 to 60."""
    interval = measure(episodes([0, 1] * 50))["success"]
    assert (interval.low, interval.value, interval.high) == pytest.approx((0.4, 0.5, 0.6), abs=0.011)


def test_episodes_are_drawn_and_not_steps():
    """Two episodes of 50 steps, all right in one and all wrong in the other: one in four draws is all of one kind."""
    wrong = step(SAVE, attempt(OTHER, False, True))
    measured = measure([episode("a", True, *[RIGHT] * 50), episode("b", True, *[wrong] * 50)])
    assert measured["right"] == Interval(0.5, 0.0, 1.0)
    assert measured["success"] == Interval(1.0, 1.0, 1.0)


def test_draws_without_anything_to_divide_by_are_left_out():
    """Only one of two episodes has a flagged step; where it is drawn, precision is 1."""
    flagged = step(SAVE, attempt(OTHER, False, False), again(SAVE, True, True))
    measured = measure([episode("a", True, flagged), episode("b", True, RIGHT)])
    assert measured["detection precision"] == Interval(1, 1, 1)


def test_the_seed_decides_the_draws():
    some = episodes([0, 1, 1, 0, 1, 0, 0] * 5)
    drawn = [measure(some, seed)["success"] for seed in (1, 1, 2, 3, 4, 5)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1


def test_the_intervals_cover():
    """300 pairs of runs of 60 tasks whose true gain is .2; 95 % of intervals should hold it, give or take 4."""
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        plain = rng.random(60) < 0.5
        full = plain | (rng.random(60) < 0.4)  # half of .5 * .4 of the tasks are won
        gain = success_gain(episodes(full), episodes(plain), seed)
        held += gain.low <= 0.2 <= gain.high
    assert 0.91 <= held / 300 <= 0.99


def test_gains_are_drawn_in_pairs():
    """Runs that agree on every task differ by nothing, however much their success varies."""
    run = episodes([0, 1] * 20)
    assert success_gain(run, list(reversed(run))) == Interval(0.0, 0.0, 0.0)
    better = episodes([1, 1] * 10 + [0, 1] * 10)
    gain = success_gain(better, run)
    assert gain.value == 0.25 and 0.1 < gain.low < 0.15 and 0.35 < gain.high < 0.42
    worse = success_gain(run, better)
    assert (worse.value, worse.low, worse.high) == pytest.approx((-0.25, -gain.high, -gain.low), abs=0.03)
    assert success_gain(iter(better), iter(run)) == gain


def test_gains_on_the_episodes_that_both_know():
    """a: won; b: unknown in one, c: in the other; d and e: in one run only."""
    run = [episode("a", True), episode("b", None), episode("c", True), episode("d", True)]
    other = [episode("e", True), episode("c", None), episode("b", True), episode("a", False)]
    assert success_gain(run, other) == Interval(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="no episode in common"):
        success_gain(run[1:], other[:3])

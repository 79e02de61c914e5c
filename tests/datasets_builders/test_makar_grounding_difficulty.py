"""Pass rates, and the split into easy and hard rows: sizes, shares of None, what is dropped, the same for a seed."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from setaria.datasets_builders.mner.difficulty import FATES, SplitConfig, pass_rates, split_by_difficulty


def row(*boxes, name="x", family="qwen3_vl"):
    return {
        "prompt": [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": name}]}],
        "images": [Image.new("RGB", (32, 32))],
        "gold_boxes": [list(box) for box in boxes],
        "image_size": [100, 50],
        "processed_size": [32, 32],
        "family": family,
    }


def box(*numbers):
    return f"<think></think><answer>{list(numbers)}</answer>"


NONE = "<think></think><answer>None</answer>"


def test_pass_rates_are_shares_of_right_answers():
    """Gold is (10, 10, 30, 30) of 100 x 50: 100, 200, 300, 600 in thousandths; 3.2, 6.4, 9.6, 19.2 of 32 x 32."""
    replies = {
        "seen": [box(100, 200, 300, 600), box(100, 200, 300, 400), box(0, 0, 9, 9), NONE],  # the second has IoU .5
        "unseen": [NONE, NONE, "None", box(0, 0, 9, 9)],
        "pixels": [box(3, 6, 10, 19), box(100, 200, 300, 600), NONE, box(3, 6, 10, 19)],
        "never": ["?"] * 4,
    }
    rows = [
        row((10, 10, 30, 30), name="seen"),
        row(name="unseen"),
        row((10, 10, 30, 30), name="pixels", family="qwen2_5_vl"),
        row((10, 10, 30, 30), (50, 0, 60, 9), name="never"),
    ]
    asked = []

    def ask(conversations):
        asked.append([conversation[0]["content"][1]["text"] for conversation in conversations])
        assert all(isinstance(one[0]["content"][0]["image"], Image.Image) for one in conversations)
        names = dict.fromkeys(asked[-1])
        return list(chain.from_iterable(replies[name] for name in names))

    assert list(pass_rates(rows, ask, samples=4, at_once=3)) == [0.5, 0.5, 0.5, 0.0]
    assert asked == [["seen"] * 4 + ["unseen"] * 4 + ["pixels"] * 4, ["never"] * 4]


def test_one_sample_tells_nothing():
    with pytest.raises(ValueError, match="samples=1: at least 2"):
        list(pass_rates([], lambda conversations: [], samples=1))


def split(rows, **config):
    """Of rows written as (rate, kind)."""
    return split_by_difficulty([rate for rate, _ in rows], [kind == "None" for _, kind in rows], SplitConfig(**config))


def test_everything_that_fits_is_drawn():
    rows = [
        (1, "box"),
        (0.75, "box"),
        (0.5, "box"),
        (0.25, "box"),
        (0, "box"),
        (1, "None"),
        (0.5, "None"),
        (0, "None"),
    ]
    found = split(rows, none_share=0.4)
    assert found.easy == [0, 1, 5]  # of 2 boxes, .4 / .6 * 2 = 1.3 None
    assert found.hard == [2, 3, 6]
    assert found.counts == {
        "box": {"easy": 2, "hard": 2, "never right": 1},
        "None": {"easy": 1, "hard": 1, "never right": 1},
    }
    assert found.rates == {"box": {0: 1, 0.25: 1, 0.5: 1, 0.75: 1, 1: 1}, "None": {0: 1, 0.5: 1, 1: 1}}


def test_sizes_and_shares():
    """100 rows of each rate 0, .5 and 1, half of them None; 20 easy ones with 8 None, 30 hard ones with 12."""
    rows = [(rate, kind) for rate in (0, 0.5, 1) for kind in ("box", "None") for _ in range(50)]
    found = split(rows, easy=20, hard=30, none_share=0.4)
    assert [len(found.easy), len(found.hard)] == [20, 30]
    assert sum(rows[number] == (1, "None") for number in found.easy) == 8
    assert sum(rows[number] == (1, "box") for number in found.easy) == 12
    assert sum(rows[number] == (0.5, "None") for number in found.hard) == 12
    assert sum(rows[number] == (0.5, "box") for number in found.hard) == 18
    kept = {"easy": (12, 8), "hard": (18, 12), "never right": (50, 50), "sometimes right": (32, 38)}
    for fate, (boxes, nones) in (kept | {"always right": (38, 42)}).items():
        assert (found.counts["box"][fate], found.counts["None"][fate]) == (boxes, nones)


def test_hard_takes_solved_none_where_too_few_are_sometimes_right():
    """6 boxes ask for 4 None at .4: one is sometimes right, three always; the easy set has taken 2 of 6 such."""
    rows = [(0.5, "box")] * 6 + [(0.5, "None")] + [(1, "None")] * 6 + [(1, "box")] * 3
    found = split(rows, easy=5, none_share=0.4)
    assert found.counts["None"] == {"easy": 2, "hard": 4, "always right": 1}
    assert 6 in found.hard
    assert not set(found.easy) & set(found.hard)


def test_none_never_fills_up_for_missing_boxes():
    rows = [(0.5, "box")] * 3 + [(0.5, "None")] * 90
    assert split(rows, none_share=0.5).counts["None"]["hard"] == 3
    assert split(rows, none_share=0.0).hard == [0, 1, 2]
    assert split([(0.5, "None")] * 9).hard == []


def test_rows_between_the_two_go_to_the_easy_set_first_and_are_hard_otherwise():
    rows = [(0.75, "box")] * 10
    found = split(rows, easy=4, none_share=0, high=0.75)
    assert len(found.easy) == 4
    assert found.hard == sorted(set(range(10)) - set(found.easy))
    assert split(rows, easy=4, none_share=0, high=1).easy == []


cases = st.lists(st.tuples(st.sampled_from([0, 0.125, 0.5, 0.875, 1]), st.sampled_from(["box", "None"])), max_size=60)
configs = st.fixed_dictionaries(
    {
        "easy": st.integers(0, 12),
        "hard": st.integers(0, 12),
        "high": st.sampled_from([0.125, 0.75, 1]),
        "none_share": st.sampled_from([0, 0.3, 0.9]),
        "seed": st.integers(0, 3),
    }
)


@given(cases, configs)
def test_a_split_keeps_its_promises(rows, config):
    found = split(rows, **config)
    assert (found.easy, found.hard) == (split(rows, **config).easy, split(rows, **config).hard)
    assert not set(found.easy) & set(found.hard)
    assert len(found.easy) <= config["easy"] and len(found.hard) <= config["hard"]
    assert all(rows[number][0] >= config["high"] for number in found.easy)
    assert all(0 < rate < 1 or (rate, kind) == (1, "None") for rate, kind in (rows[number] for number in found.hard))
    for chosen in (found.easy, found.hard):
        nones = sum(rows[number][1] == "None" for number in chosen)
        assert nones <= len(chosen) * config["none_share"] + 0.5
    assert sum(map(sum, (counts.values() for counts in found.counts.values()))) == len(rows)
    assert {fate for counts in found.counts.values() for fate in counts} <= set(FATES)


def test_another_seed_draws_others():
    rows = [(0.5, "box")] * 50
    assert split(rows, hard=10, none_share=0, seed=1).hard != split(rows, hard=10, none_share=0, seed=2).hard


@pytest.mark.parametrize("changed", [{"easy": -1}, {"hard": -1}, {"high": 0}, {"high": 1.1}, {"none_share": 1}])
def test_settings_that_make_no_split(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}="):
        SplitConfig(**changed)

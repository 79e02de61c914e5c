"""Geometry of boxes: literal overlaps, what counts as nothing, and laws on random boxes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.rewards.boxes import FARTHEST, area, best_iou, center, clip, contains, iou


SQUARE = (0, 0, 10, 10)
OVERLAPS = {
    # box, its IoU with SQUARE, of area 100
    "itself": (SQUARE, 1.0),
    "right half": ((5, 0, 10, 10), 0.5),  # 50 / 100
    "shifted by half": ((5, 0, 15, 10), 1 / 3),  # 50 / (100 + 100 - 50)
    "corner": ((5, 5, 15, 15), 1 / 7),  # 25 / (100 + 100 - 25)
    "inside": ((2, 2, 4, 4), 0.04),  # 4 / 100
    "fractions": ((0.0, 0.0, 2.5, 4.0), 0.1),  # 10 / 100
    "touching: half-open boxes share no pixel": ((10, 0, 20, 10), 0.0),
    "apart": ((20, 20, 30, 30), 0.0),
    "empty": ((3, 3, 3, 8), 0.0),
    "inverted": ((10, 10, 0, 0), 0.0),
    "only x inverted": ((10, 0, 0, 10), 0.0),
    "NaN": ((math.nan, 0, 10, 10), 0.0),
    "infinite": ((0, 0, math.inf, 10), 0.0),
    "the whole plane": ((-math.inf, -math.inf, math.inf, math.inf), 0.0),
    "an integer no float holds": ((0, 0, 10**400, 10), 0.0),
    "a number whose square no float holds": ((0, 0, 1e200, 1e200), 0.0),
}


@pytest.mark.parametrize(("box", "overlap"), OVERLAPS.values(), ids=OVERLAPS)
def test_iou(box, overlap):
    assert iou(SQUARE, box) == pytest.approx(overlap, abs=1e-12)
    assert iou(box, SQUARE) == iou(SQUARE, box)


@pytest.mark.parametrize("box", [(3, 3, 3, 8), (10, 10, 0, 0), (math.nan, 0, 1, 1), (0, 0, 1, math.inf)])
def test_nothing_overlaps_itself_either(box):
    assert area(box) == iou(box, box) == best_iou(box, [box]) == 0.0


def test_area():
    assert area((2, 3, 7, 5)) == 10
    assert area((-FARTHEST, -FARTHEST, FARTHEST, FARTHEST)) == 4e18


def test_best_iou_takes_any_gold_box():
    golds = [(20, 20, 30, 30), (5, 0, 10, 10), (2, 2, 4, 4)]
    assert best_iou(SQUARE, golds) == 0.5
    assert best_iou(SQUARE, iter(golds)) == 0.5
    assert best_iou(SQUARE, []) == 0.0


def test_center():
    assert center((0, 10, 5, 30)) == (2.5, 20)


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [(0, 0, True), (9.5, 9.5, True), (10, 5, False), (5, 10, False), (-0.5, 5, False), (math.nan, 5, False)],
)
def test_contains_is_half_open(x, y, inside):
    assert contains(SQUARE, x, y) is inside


def test_empty_and_inverted_boxes_contain_nothing():
    assert not contains((3, 3, 3, 8), 3, 5)
    assert not contains((10, 10, 0, 0), 5, 5)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((2, 3, 7, 5), (2, 3, 7, 5)),
        ((-5, -5, 50, 50), (0, 0, 20, 10)),
        ((15, 5, math.inf, 8), (15, 5, 20, 8)),
        ((25, 2, 30, 5), (20, 2, 20, 5)),  # outside: empty
    ],
)
def test_clip(box, clipped):
    assert clip(box, (20, 10)) == clipped


def test_clip_keeps_what_is_wrong_wrong():
    assert area(clip((15, 5, 5, 8), (20, 10))) == 0
    assert area(clip((math.nan, 0, 5, 5), (20, 10))) == 0


NUMBERS = st.integers(-50, 50) | st.floats()


@given(st.tuples(*[NUMBERS] * 4), st.tuples(*[NUMBERS] * 4))
def test_iou_is_symmetric_and_bounded(a, b):
    assert 0 <= iou(a, b) == iou(b, a) <= 1
    assert iou(a, a) == (1 if area(a) else 0)


CORNERS = st.integers(0, 8)


@given(st.tuples(*[CORNERS] * 4), st.tuples(*[CORNERS] * 4))
def test_iou_counts_pixels(a, b):
    """Whole-pixel boxes are sets of pixels, and `contains` says which."""
    pixels_a, pixels_b = ({(x, y) for x in range(8) for y in range(8) if contains(box, x, y)} for box in (a, b))
    assert len(pixels_a) == area(a)
    shared, either = len(pixels_a & pixels_b), len(pixels_a | pixels_b)
    assert iou(a, b) == pytest.approx(shared / either if shared else 0)

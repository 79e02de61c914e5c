"""Geometry of boxes in pixels: overlap, centre, containment.

A box is (x1, y1, x2, y2), half-open: the pixel columns x1 to x2 - 1 and rows y1 to y2 - 1, so that a box of the whole
image ends at its width and height. Boxes that models write are data, and nothing here raises on their numbers: a box
that is empty, inverted or has a coordinate beyond `FARTHEST` (NaN and infinity among them) has area 0 and overlaps
nothing, itself included.
"""

from collections.abc import Iterable
from typing import TypeAlias


Box: TypeAlias = tuple[float, float, float, float]

# In pixels. No image is that large, and products of such numbers are still finite.
FARTHEST = 1e9


def area(box: Box) -> float:
    """Area in square pixels."""
    x1, y1, x2, y2 = box
    if not all(-FARTHEST <= coordinate <= FARTHEST for coordinate in box):
        return 0.0
    return max(x2 - x1, 0.0) * max(y2 - y1, 0.0)


def iou(a: Box, b: Box) -> float:
    """Intersection over union, from 0 (nothing in common) to 1 (the same box)."""
    if not area(a) or not area(b):
        return 0.0
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / (area(a) + area(b) - shared)


def best_iou(box: Box, golds: Iterable[Box]) -> float:
    """Largest IoU of `box` with any of the gold boxes, 0 if there are none."""
    return max((iou(box, gold) for gold in golds), default=0.0)


def center(box: Box) -> tuple[float, float]:
    """(x, y) of the middle."""
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2


def contains(box: Box, x: float, y: float) -> bool:
    """Whether the point lies in the box, the left and top edges included, the right and bottom ones not."""
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def clip(box: Box, size: tuple[int, int]) -> Box:
    """The part of `box` in an image of `size` (width, height); empty, at the border, if there is none."""
    x1, y1, x2, y2 = box
    width, height = size
    return _clamp(x1, width), _clamp(y1, height), _clamp(x2, width), _clamp(y2, height)


def _clamp(coordinate: float, length: int) -> float:
    return min(max(coordinate, 0.0), length)

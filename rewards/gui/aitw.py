"""Actions of Android in the Wild and the two published rules that compare them: AITW's own and Auto-UI's.

`aitw_match` is AITW's action matching (google-research, android_in_the_wild/action_matching.py). Its properties, kept
although some surprise:

- unless both actions are DUAL_POINT, equal types match, whatever was typed;
- a DUAL_POINT is a tap if touch and lift are at most 0.04 apart, else a swipe, and a tap never matches a swipe;
- taps match within a distance of 0.14, or if one annotation box, enlarged to 240 %, holds both;
- the enlarged box is clamped at the top left corner but its size is not cut with it, so that near the left and upper
  edge of the screen it reaches further right and down than 240 % would;
- swipes match if they move along the same axis: up matches down, and a diagonal counts as vertical.

Distances are Euclidean in fractions of height and width, not pixels, and every limit is inclusive. All is computed in
single precision, as it is there: in double precision a tap from 0.10 to 0.14 would be a swipe. Our choice: without
annotations the distance decides, where the original raises; Auto-UI's script catches that and counts the step wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np


Point: TypeAlias = tuple[float, float]
AnnotationBox: TypeAlias = tuple[float, float, float, float]

TAP_TRAVEL = 0.04
TAP_DISTANCE = 0.14
BOX_GROWTH = 1.4
NOWHERE = (-1.0, -1.0)  # what AITW stores as touch and lift of actions that touch nothing


class AitwActionType(IntEnum):
    """AITW's action types with its numbers."""

    TYPE = 3
    DUAL_POINT = 4
    PRESS_BACK = 5
    PRESS_HOME = 6
    PRESS_ENTER = 7
    STATUS_TASK_COMPLETE = 10
    STATUS_TASK_IMPOSSIBLE = 11


@dataclass(frozen=True)
class AitwAction:
    """One action: points are (y, x) in fractions of the screen, from the upper left; `text` is what is typed."""

    type: AitwActionType
    touch: Point = NOWHERE
    lift: Point = NOWHERE
    text: str = ""

    @property
    def is_tap(self) -> bool:
        """Whether this is a DUAL_POINT that stays within 0.04; one that does not is a swipe."""
        return self.type == AitwActionType.DUAL_POINT and _within(TAP_TRAVEL, self.touch, self.lift)

    @property
    def main_axis(self) -> int:
        """The axis along which touch and lift are farther apart: 0 is y, also in a tie, 1 is x."""
        return int(np.argmax(np.abs(_point(self.lift) - _point(self.touch))))


def aitw_match(gold: AitwAction, predicted: AitwAction | None, annotation_boxes: Sequence[AnnotationBox] = ()) -> bool:
    """AITW's action matching, the rule of this file's first paragraph.

    Args:
        gold: the demonstrated action.
        predicted: the model's action, None for a reply that is none, which matches nothing.
        annotation_boxes: (y, x, height, width) of the screen's annotated elements, in fractions of the screen.
    """
    if predicted is None:
        return False
    if gold.type != AitwActionType.DUAL_POINT or predicted.type != AitwActionType.DUAL_POINT:
        return gold.type == predicted.type
    if gold.is_tap != predicted.is_tap:
        return False
    if not gold.is_tap:
        return gold.main_axis == predicted.main_axis
    near = _within(TAP_DISTANCE, gold.touch, predicted.touch)
    return near or _share_a_box(gold.touch, predicted.touch, annotation_boxes)


@dataclass(frozen=True)
class AutoUiScores:
    """What Auto-UI reports of one step; its table shows the means in percent.

    Attributes:
        accuracy: AITW's action matching.
        text_acc: accuracy, and one of the two typed texts contains the other.
        type_acc: equal action types.
    """

    accuracy: bool
    text_acc: bool
    type_acc: bool


def auto_ui_scores(
    gold: AitwAction, predicted: AitwAction | None, annotation_boxes: Sequence[AnnotationBox] = ()
) -> AutoUiScores:
    """The three scores of Auto-UI's script (cooelf/Auto-GUI, main.py); arguments as of `aitw_match`.

    Texts are compared in lower case, of any action, and the empty text is contained in every other. Gold loses its
    quotes and backslashes first, as it does in Auto-UI's targets. A reply that is no action is wrong three times;
    the script would score it with the action of the example before.
    """
    if predicted is None:
        return AutoUiScores(accuracy=False, text_acc=False, type_acc=False)
    accuracy = aitw_match(gold, predicted, annotation_boxes)
    wanted, typed = without_quotes(gold.text).lower(), predicted.text.lower().strip()
    return AutoUiScores(accuracy, accuracy and (typed in wanted or wanted in typed), gold.type == predicted.type)


def without_quotes(text: str) -> str:
    """`text` without backslashes and quotes of both kinds, which Auto-UI's target form has no place for."""
    return text.translate(dict.fromkeys(map(ord, "\\\"'")))


def _share_a_box(first: Point, second: Point, boxes: Sequence[AnnotationBox]) -> bool:
    corners_and_sizes = np.asarray(boxes, np.float32).reshape(-1, 4)
    corner, size = corners_and_sizes[:, :2], corners_and_sizes[:, 2:]
    growth = BOX_GROWTH * size
    start = np.maximum(0, corner - growth / 2)
    end = start + np.minimum(1, size + growth)
    inside = [((start <= point) & (point <= end)).all(axis=1) for point in (_point(first), _point(second))]
    return bool((inside[0] & inside[1]).any())


def _within(limit: float, first: Point, second: Point) -> bool:
    return bool(np.linalg.norm(_point(first) - _point(second)) <= np.float32(limit))


def _point(point: Point) -> np.ndarray:
    return np.asarray(point, np.float32)

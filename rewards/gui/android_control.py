"""Scores of a step of AndroidControl by three published rules, which differ, and by ours.

`ui_s1` is UI-S1's evaluation (X-PLUG/MobileAgent, UI-S1/evaluation/qwenvl_utils.py, after Qwen2.5-VL's):

- a click or a long press is right in a candidate box enlarged to 120 % about its middle, edges included, or at most
  0.04 from the gold point;
- of the typed texts and of the apps' names one must contain the other, in lower case, so that "" is always right;
- swipes are not compared: any swipe is right where gold is one;
- an app may also be opened by a click, type included, where its icon is on the screen: in an enlarged box, or at most
  0.04 from the middle of the first.

`ui_s1_reward` is the same group's training reward (UI-S1/verl/utils/reward_score/gui_utils/utils.py): swipes must have
the same direction and a click opens nothing. Its code brings boxes to fractions only where there is one without a list
around it, not as the evaluation file has them; we read the boxes as the evaluation does.

`os_atlas` is OS-Atlas's evaluation (eval/eval_scripts/android_control/evaluation_unify.py), which UI-TARS and UI-R1
say they follow: boxes are not looked at, points match at a distance of 0.14; texts and apps match if they are equal or
if their first words are, whatever comes after them (the F1 of words there gets no more than one, and a text of one
word has its bracket with it); different keys are different types. It has points in whole thousandths, this does not.

Distances are Euclidean in fractions of the screen's width and height, limits are inclusive, and a predicted box counts
by its middle. The elements of an input are not compared: the data name none. All directions are those of the finger.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple, TypeAlias

from setaria.rewards.boxes import Box, center, contains
from setaria.rewards.gui.actions import Action, Click, Input, LongPress, Open, Scroll


Point: TypeAlias = tuple[float, float]

BOX_GROWTH = 1.2
NEAR = 0.04
NEAR_OS_ATLAS = 0.14


@dataclass(frozen=True)
class AndroidControlGold:
    """What is right at a step.

    Attributes:
        action: the demonstrated action, its point a box of no size.
        boxes: candidate boxes in pixels: around the point, or of an icon that opens the app. They may reach over the
            edges of the screen.
        size: width and height of the screen in pixels.
    """

    action: Action
    boxes: tuple[Box, ...]
    size: tuple[int, int]


class RuleScores(NamedTuple):
    """What a published rule says of a step: right type, and right altogether."""

    type: bool
    step: bool


@dataclass(frozen=True)
class AndroidControlScores:
    """Our scores; None where gold has nothing of the kind, False or 0 where the type is wrong.

    Attributes:
        type: the same kind of action.
        step: the type and what belongs to it: grounding, direction, exact text, or all of the action.
        grounding: the point of a click or long press lies in a candidate box, which is not enlarged; where there is
            none, at most 0.04 from the gold point.
        direction: the same direction of a swipe.
        text_exact: equal typed texts or apps, but for case and white space around them.
        text_f1: F1 of the sets of their lower-case words.
    """

    type: bool
    step: bool
    grounding: bool | None = None
    direction: bool | None = None
    text_exact: bool | None = None
    text_f1: float | None = None


def ui_s1(gold: AndroidControlGold, predicted: Action | None) -> RuleScores:
    """UI-S1's evaluation, the rule of this file's second paragraph; None stands for a reply that is no action."""
    if isinstance(gold.action, Scroll) and isinstance(predicted, Scroll):
        return RuleScores(type=True, step=True)
    if isinstance(gold.action, Open) and isinstance(predicted, Click) and gold.boxes:
        return RuleScores(type=True, step=_near_a_box(gold, center(gold.boxes[0]), center(predicted.box)))
    return ui_s1_reward(gold, predicted)


def ui_s1_reward(gold: AndroidControlGold, predicted: Action | None) -> RuleScores:
    """UI-S1's training reward, without its share for the format; arguments as of `ui_s1`."""
    if type(gold.action) is not type(predicted):
        return RuleScores(type=False, step=False)
    match gold.action, predicted:
        case Click(box) | LongPress(box), Click(other) | LongPress(other):
            return RuleScores(type=True, step=_near_a_box(gold, center(box), center(other)))
        case Input(value=text) | Open(text), Input(value=other) | Open(other):
            wanted, written = text.lower().strip(), other.lower().strip()
            return RuleScores(type=True, step=wanted in written or written in wanted)
        case Scroll(_, direction), Scroll(_, other):
            return RuleScores(type=True, step=direction == other)
    return RuleScores(type=True, step=gold.action == predicted)


def os_atlas(gold: AndroidControlGold, predicted: Action | None) -> RuleScores:
    """OS-Atlas's evaluation; arguments as of `ui_s1`.

    Its grounding accuracy is the mean of `step` over the clicks whose `type` is right.
    """
    if type(gold.action) is not type(predicted):
        return RuleScores(type=False, step=False)
    match gold.action, predicted:
        case Click(box) | LongPress(box), Click(other) | LongPress(other):
            near = _distance(center(box), center(other), gold.size) <= NEAR_OS_ATLAS
            return RuleScores(type=True, step=near)
        case Input(value=text) | Open(text), Input(value=other) | Open(other):
            first, other_first = (f"[{words}]".split()[0].lower() for words in (text, other))
            return RuleScores(type=True, step=first == other_first or text == other)
        case Scroll(_, direction), Scroll(_, other):
            return RuleScores(type=True, step=direction == other)
    return RuleScores(type=gold.action == predicted, step=gold.action == predicted)


def android_control_scores(gold: AndroidControlGold, predicted: Action | None) -> AndroidControlScores:
    """Our scores; arguments as of `ui_s1`."""
    if type(gold.action) is not type(predicted):
        touches, swipes, writes = (
            isinstance(gold.action, kinds) for kinds in (Click | LongPress, Scroll, Input | Open)
        )
        return AndroidControlScores(
            type=False,
            step=False,
            grounding=False if touches else None,
            direction=False if swipes else None,
            text_exact=False if writes else None,
            text_f1=0.0 if writes else None,
        )
    match gold.action, predicted:
        case Click(box) | LongPress(box), Click(other) | LongPress(other):
            point = center(other)
            inside = any(contains(candidate, *point) for candidate in gold.boxes)
            hit = inside if gold.boxes else _distance(center(box), point, gold.size) <= NEAR
            return AndroidControlScores(type=True, step=hit, grounding=hit)
        case Scroll(_, direction), Scroll(_, other):
            return AndroidControlScores(type=True, step=direction == other, direction=direction == other)
        case Input(value=text) | Open(text), Input(value=other) | Open(other):
            exact = text.lower().strip() == other.lower().strip()
            return AndroidControlScores(type=True, step=exact, text_exact=exact, text_f1=words_f1(text, other))
    return AndroidControlScores(type=True, step=gold.action == predicted)


def mean_scores(steps: Iterable[tuple[AndroidControlGold, Action | None]]) -> dict[str, float]:
    """Means of all scores of gold and predicted actions: ours by name, the rules' as `ui_s1.type` and so on.

    A score counts where it applies; one that applies nowhere is left out.
    """
    values = defaultdict(list)
    for gold, predicted in steps:
        for name, value in asdict(android_control_scores(gold, predicted)).items():
            values[name].append(value)
        for rule in (ui_s1, ui_s1_reward, os_atlas):
            for name, value in rule(gold, predicted)._asdict().items():
                values[f"{rule.__name__}.{name}"].append(value)
        if isinstance(gold.action, Click) and isinstance(predicted, Click):
            values["os_atlas.grounding"].append(os_atlas(gold, predicted).step)
    counted = {name: [value for value in column if value is not None] for name, column in values.items()}
    return {name: sum(column) / len(column) for name, column in counted.items() if column}


def words_f1(wanted: str, written: str) -> float:
    """F1 of two sets of lower-case words, 1 for two texts without any."""
    words, others = set(wanted.lower().split()), set(written.lower().split())
    return 2 * len(words & others) / (len(words) + len(others)) if words | others else 1.0


def _near_a_box(gold: AndroidControlGold, reference: Point, point: Point) -> bool:
    x, y = point
    enlarged = (_enlarged(box) for box in gold.boxes)
    inside = any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in enlarged)
    return inside or _distance(reference, point, gold.size) <= NEAR


def _enlarged(box: Box) -> Box:
    x, y = center(box)
    across, down = BOX_GROWTH * (box[2] - box[0]) / 2, BOX_GROWTH * (box[3] - box[1]) / 2
    return x - across, y - down, x + across, y + down


def _distance(point: Point, other: Point, size: tuple[int, int]) -> float:
    return math.hypot((point[0] - other[0]) / size[0], (point[1] - other[1]) / size[1])

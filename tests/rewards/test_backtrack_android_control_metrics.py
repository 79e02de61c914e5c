"""AndroidControl's steps scored by UI-S1's, OS-Atlas's and our rules: by hand, and over the real episodes."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from setaria.datasets_builders.gui.android_control import read_android_control
from setaria.rewards.gui.actions import Action, Click, Complete, Input, LongPress, Open, Press, Scroll, Wait
from setaria.rewards.gui.android_control import (
    AndroidControlGold,
    android_control_scores,
    mean_scores,
    os_atlas,
    ui_s1,
    ui_s1_reward,
    words_f1,
)


SIZE = (1000, 2000)
SCREEN = (0.0, 0.0, 1000.0, 2000.0)
BOX = (400.0, 900.0, 600.0, 1100.0)  # enlarged to 120 %: 380 to 620, 880 to 1120
FAR = (0.0, 0.0, 10.0, 10.0)
ICON = (100.0, 100.0, 200.0, 300.0)  # enlarged: 90 to 210, 80 to 320


def tap(x: float, y: float) -> Click:
    return Click((x, y, x, y))


def typed(text: str) -> Input:
    return Input(SCREEN, "", text)


def swipe(direction) -> Scroll:
    return Scroll(SCREEN, direction)


MIDDLE = tap(500, 1000)


class Case(NamedTuple):
    gold: Action
    predicted: Action | None
    # (type, step) by each rule
    ours: tuple[bool, bool]
    ui_s1: tuple[bool, bool]
    ui_s1_reward: tuple[bool, bool]
    os_atlas: tuple[bool, bool]
    boxes: tuple = (BOX,)


NO, TYPE, YES = (False, False), (True, False), (True, True)
CASES = {
    # --- points: our box is half-open and not enlarged, UI-S1's enlarged one has its edges, OS-Atlas has no boxes
    "same point": Case(MIDDLE, MIDDLE, YES, YES, YES, YES),
    "middle of a box counts": Case(MIDDLE, Click((450, 950, 550, 1050)), YES, YES, YES, YES),
    "in the box": Case(MIDDLE, tap(599, 1099), YES, YES, YES, YES),  # hypot(0.099, 0.0495) = 0.111
    "on its right edge": Case(MIDDLE, tap(600, 1000), TYPE, YES, YES, YES),
    "on the enlarged edge": Case(MIDDLE, tap(620, 1000), TYPE, YES, YES, YES),
    "beyond it": Case(MIDDLE, tap(621, 1000), TYPE, TYPE, TYPE, YES),
    "0.14 right": Case(MIDDLE, tap(640, 1000), TYPE, TYPE, TYPE, YES),
    "0.141 right": Case(MIDDLE, tap(641, 1000), TYPE, TYPE, TYPE, TYPE),
    "0.14 down": Case(MIDDLE, tap(500, 1280), TYPE, TYPE, TYPE, YES),  # 280 / 2000
    "0.10 in both directions": Case(MIDDLE, tap(600, 1200), TYPE, TYPE, TYPE, TYPE),  # 0.1414
    "in the second box": Case(MIDDLE, tap(599, 1099), YES, YES, YES, YES, (FAR, BOX)),
    "in another box": Case(MIDDLE, tap(5, 5), YES, YES, YES, TYPE, (BOX, FAR)),
    # --- near the point: UI-S1 also beside boxes, ours only without any
    "0.04 right, a box elsewhere": Case(MIDDLE, tap(540, 1000), TYPE, YES, YES, YES, (FAR,)),
    "0.04 right, no boxes": Case(MIDDLE, tap(540, 1000), YES, YES, YES, YES, ()),
    "0.041 right, no boxes": Case(MIDDLE, tap(541, 1000), TYPE, TYPE, TYPE, YES, ()),
    # hypot(0.028, 0.028) = 0.0396; hypot(0.029, 0.03) = 0.0417
    "oblique, no boxes": Case(MIDDLE, tap(528, 1056), YES, YES, YES, YES, ()),
    "oblique and too far": Case(MIDDLE, tap(529, 1060), TYPE, TYPE, TYPE, YES, ()),
    # --- types
    "long press": Case(LongPress(MIDDLE.box), LongPress(MIDDLE.box), YES, YES, YES, YES),
    "long press far away": Case(LongPress(MIDDLE.box), LongPress((5, 5, 5, 5)), TYPE, TYPE, TYPE, TYPE),
    "click for a long press": Case(LongPress(MIDDLE.box), MIDDLE, NO, NO, NO, NO),
    "long press for a click": Case(MIDDLE, LongPress(MIDDLE.box), NO, NO, NO, NO),
    "wait for a click": Case(MIDDLE, Wait(), NO, NO, NO, NO),
    "no action for a click": Case(MIDDLE, None, NO, NO, NO, NO),
    "no action for a wait": Case(Wait(), None, NO, NO, NO, NO),
    "wait": Case(Wait(), Wait(), YES, YES, YES, YES),
    # --- swipes
    "same direction": Case(swipe("up"), swipe("up"), YES, YES, YES, YES),
    "elsewhere": Case(swipe("up"), Scroll(FAR, "up"), YES, YES, YES, YES),
    "opposite": Case(swipe("up"), swipe("down"), TYPE, YES, TYPE, TYPE),
    "other axis": Case(swipe("up"), swipe("left"), TYPE, YES, TYPE, TYPE),
    "swipe for a click": Case(MIDDLE, swipe("up"), NO, NO, NO, NO),
    # --- keys: two keys are two types for OS-Atlas
    "key": Case(Press("back"), Press("back"), YES, YES, YES, YES),
    "other key": Case(Press("back"), Press("home"), TYPE, TYPE, TYPE, NO),
    "complete": Case(Complete(), Complete(), YES, YES, YES, YES),
    "impossible": Case(Complete(), Complete(False), TYPE, TYPE, TYPE, NO),
    # --- texts: OS-Atlas compares "[best" of "[best coffee maker]"
    "same text": Case(typed("best coffee maker"), typed("best coffee maker"), YES, YES, YES, YES),
    "other element": Case(typed("tea"), Input(FAR, "Search", "tea"), YES, YES, YES, YES),
    "case and blanks": Case(typed("best coffee maker"), typed("Best Coffee Maker "), YES, YES, YES, YES),
    "part of gold": Case(typed("best coffee maker"), typed("coffee"), TYPE, YES, YES, TYPE),
    "first word alone, [best]": Case(typed("best coffee maker"), typed("best"), TYPE, YES, YES, TYPE),
    "same first word": Case(typed("best coffee maker"), typed("best tea"), TYPE, TYPE, TYPE, YES),
    "more than gold, [coffee] and [coffee": Case(typed("coffee"), typed("coffee maker"), TYPE, YES, YES, TYPE),
    "empty": Case(typed("coffee"), typed(""), TYPE, YES, YES, TYPE),
    "other text": Case(typed("coffee"), typed("tea"), TYPE, TYPE, TYPE, TYPE),
    # --- apps
    "same app": Case(Open("Clock"), Open("clock"), YES, YES, YES, YES),
    "longer name": Case(Open("Clock"), Open("Clock App"), TYPE, YES, YES, TYPE),
    "its icon": Case(Open("Clock"), tap(150, 200), NO, YES, NO, NO, (ICON,)),
    "beside its icon": Case(Open("Clock"), tap(210, 200), NO, YES, NO, NO, (ICON,)),
    "away from its icon": Case(Open("Clock"), tap(250, 200), NO, TYPE, NO, NO, (ICON,)),  # 0.1 from the middle
    "icon unknown": Case(Open("Clock"), tap(150, 200), NO, NO, NO, NO, ()),
    "typed instead of opened": Case(Open("Clock"), typed("Clock"), NO, NO, NO, NO),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rules(case):
    gold = AndroidControlGold(case.gold, case.boxes, SIZE)
    ours = android_control_scores(gold, case.predicted)
    assert (ours.type, ours.step) == case.ours
    for rule in (ui_s1, ui_s1_reward, os_atlas):
        assert rule(gold, case.predicted) == getattr(case, rule.__name__), rule.__name__


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        (MIDDLE, tap(401, 901), {"grounding": True}),
        (MIDDLE, Wait(), {"grounding": False}),
        (swipe("up"), swipe("down"), {"direction": False}),
        (swipe("up"), None, {"direction": False}),
        # words {best, coffee, maker} and {coffee, sale}: 2 * 1 / (3 + 2)
        (typed("best coffee maker"), typed("Coffee sale"), {"text_exact": False, "text_f1": 0.4}),
        (Open("Clock"), Open(" clock"), {"text_exact": True, "text_f1": 1.0}),
        (Open("Clock"), Wait(), {"text_exact": False, "text_f1": 0.0}),
        (Wait(), Wait(), {}),
    ],
)
def test_only_what_gold_has_is_scored(gold, predicted, expected):
    scores = android_control_scores(AndroidControlGold(gold, (BOX,), SIZE), predicted)
    names = ("grounding", "direction", "text_exact", "text_f1")
    assert {name: getattr(scores, name) for name in names if getattr(scores, name) is not None} == expected


def test_f1_of_texts_without_words():
    assert words_f1(" ", "") == 1.0
    assert words_f1("", "tea") == 0.0


def test_means_are_over_the_steps_that_a_score_applies_to():
    gold = AndroidControlGold(MIDDLE, (BOX,), SIZE)
    wait = AndroidControlGold(Wait(), (), SIZE)
    means = mean_scores([(gold, tap(5, 5)), (gold, MIDDLE), (gold, Wait()), (wait, Wait())])
    assert means["type"] == 0.75
    assert means["grounding"] == pytest.approx(1 / 3)
    assert means["os_atlas.step"] == 0.5
    assert means["os_atlas.grounding"] == 0.5  # of two clicks; the third is no click
    assert not {"direction", "text_exact", "text_f1"} & means.keys()


# --- the real episodes: 2604 clicks, 7 long presses, 619 swipes, 314 texts, 295 apps, 288 waits, 174 keys of 4301

OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}


def moved(gold: AndroidControlGold) -> Action:
    if not isinstance(gold.action, Click | LongPress):
        return gold.action
    x, y = gold.size[0] - gold.action.box[0], gold.size[1] - gold.action.box[1]
    return replace(gold.action, box=(x, y, x, y))


def turned(gold: AndroidControlGold) -> Action:
    action = gold.action
    return replace(action, direction=OPPOSITE[action.direction]) if isinstance(action, Scroll) else action


def rewritten(gold: AndroidControlGold) -> Action:
    action = gold.action
    if isinstance(action, Input):
        return replace(action, value="zzz")
    return Open("zzz") if isinstance(action, Open) else action


def retyped(gold: AndroidControlGold) -> Action:
    return Press("home") if isinstance(gold.action, Wait) else Wait()


@pytest.fixture(scope="module")
def golds(data) -> list[AndroidControlGold]:
    return [step.gold for step in read_android_control(data / "android_control" / "eval_dev.jsonl")]


def test_gold_scores_one_by_every_rule(golds):
    means = mean_scores((gold, gold.action) for gold in golds)
    assert len(means) == 13
    assert set(means.values()) == {1.0}


def test_moved_clicks(golds):
    means = mean_scores((gold, moved(gold)) for gold in golds)
    assert means["type"] == means["ui_s1.type"] == means["os_atlas.type"] == 1
    for name in ("grounding", "step", "ui_s1.step", "ui_s1_reward.step", "os_atlas.step", "os_atlas.grounding"):
        assert means[name] < 0.65, name
    # OS-Atlas alone looks at the distance only, so that boxes of the whole screen do not help
    assert means["os_atlas.grounding"] < means["grounding"]


def test_other_directions(golds):
    means = mean_scores((gold, turned(gold)) for gold in golds)
    assert means["direction"] == 0
    assert means["ui_s1.step"] == 1  # which does not compare them
    for name in ("step", "ui_s1_reward.step", "os_atlas.step"):
        assert means[name] == pytest.approx(1 - 619 / 4301), name


def test_other_texts(golds):
    means = mean_scores((gold, rewritten(gold)) for gold in golds)
    assert means["text_exact"] == means["text_f1"] == 0
    for name in ("step", "ui_s1.step", "ui_s1_reward.step", "os_atlas.step"):
        assert means[name] == pytest.approx(1 - (314 + 295) / 4301), name


def test_other_types(golds):
    means = mean_scores((gold, retyped(gold)) for gold in golds)
    assert set(means.values()) == {0.0}
    assert set(mean_scores((gold, None) for gold in golds).values()) == {0.0}

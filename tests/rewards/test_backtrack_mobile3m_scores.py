"""Mobile3M's step scores: gold scores 1, and each way in which an action can miss."""

import pytest

from setaria.rewards.gui.actions import (
    Click,
    Complete,
    Input,
    LongPress,
    Open,
    Press,
    Scroll,
    Wait,
)
from setaria.rewards.gui.mobile3m import WRONG, StepScore, step_score


BOX = (0.0, 0.0, 100.0, 40.0)
ACTIONS = [
    Click(BOX, "Save"),
    Click(BOX),
    Click((5.0, 5.0, 5.0, 5.0), "Save"),  # a point, as AndroidControl's gold
    Click((0.0, 5.0, 9.0, 5.0)),  # no height
    LongPress(BOX, "Save"),
    Input(BOX, "Name", "Ann"),
    Scroll(BOX, "up"),
    Press("back"),
    Open("Clock"),
    Wait(),
    Complete(),
    Complete(success=False),
]


@pytest.mark.parametrize("action", ACTIONS, ids=str)
def test_gold_scores_one(action):
    score = step_score(action, action)
    assert score == StepScore(1.0, True)
    assert score.box and score.both


@pytest.mark.parametrize("gold", ACTIONS, ids=str)
def test_a_reply_without_an_action_scores_nothing(gold):
    assert step_score(gold, None) == WRONG
    assert not WRONG.box and not WRONG.both


SCORES = {
    # gold, predicted: IoU, text
    # 100 x 40 = 4000 and 50 x 40 = 2000 share 2000: 2000 / 4000
    "half of the box": (Click(BOX, "Save"), Click((0, 0, 50, 40), "Save"), 0.5, True),
    # shifted by 50: share 2000, together 6000
    "shifted box": (Click(BOX, "Save"), Click((50, 0, 150, 40), "Save"), 1 / 3, True),
    "elsewhere": (Click(BOX, "Save"), Click((200, 0, 300, 40), "Save"), 0.0, True),
    "point in the box": (Click(BOX, "Save"), Click((99, 39, 99, 39), "Save"), 1.0, True),
    "point on the right edge": (Click(BOX, "Save"), Click((100, 39, 100, 39), "Save"), 0.0, True),
    "flat box in the box": (Click(BOX, "Save"), Click((10, 10, 90, 10), "Save"), 0.0, True),
    "box around a gold point": (Click((5, 5, 5, 5)), Click(BOX), 0.0, True),
    "longer text": (Click(BOX, "Save"), Click(BOX, "Save all"), 1.0, True),
    "shorter text": (Click(BOX, "Save all"), Click(BOX, "Save"), 1.0, False),
    "other case": (Click(BOX, "Save"), Click(BOX, "save"), 1.0, False),
    "gold without text": (Click(BOX), Click(BOX, "Save"), 1.0, True),
    "longer text of a long press": (LongPress(BOX, "Save"), LongPress(BOX, "Save all"), 1.0, True),
    "press instead of click": (Click(BOX, "Save"), LongPress(BOX, "Save"), 0.0, False),
    "click instead of input": (Input(BOX, "Name", "Ann"), Click(BOX, "Name"), 0.0, False),
    "other value": (Input(BOX, "Name", "Ann"), Input(BOX, "Name", "Anna"), 1.0, False),
    "other input": (Input(BOX, "Name", "Ann"), Input(BOX, "City", "Ann"), 1.0, False),
    "other direction": (Scroll(BOX, "up"), Scroll(BOX, "down"), 1.0, False),
    "other container": (Scroll(BOX, "up"), Scroll((0, 0, 50, 40), "up"), 0.5, True),
    "other key": (Press("back"), Press("home"), 0.0, False),
    "other app": (Open("Clock"), Open("Clocks"), 0.0, False),
    "wait instead of complete": (Complete(), Wait(), 0.0, False),
    "impossible instead of done": (Complete(), Complete(success=False), 0.0, False),
}


@pytest.mark.parametrize(("gold", "predicted", "overlap", "text"), SCORES.values(), ids=SCORES)
def test_scores(gold, predicted, overlap, text):
    assert step_score(gold, predicted) == StepScore(pytest.approx(overlap), text)


def test_a_box_is_right_from_an_iou_of_a_half():
    assert StepScore(0.5, False).box
    assert not StepScore(0.499, True).box
    assert not StepScore(0.5, False).both
    assert not StepScore(0.4, True).both
    assert StepScore(0.5, True).both

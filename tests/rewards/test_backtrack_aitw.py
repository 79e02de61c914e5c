"""AITW's, Auto-UI's and MobileVLM's scores of the same predictions, worked out by hand."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.rewards.gui.aitw import AitwAction, AitwActionType, AutoUiScores, aitw_match, auto_ui_scores
from setaria.rewards.gui.mobilevlm_auto_ui import mobilevlm_auto_ui_score, mobilevlm_text, score_reply


BACK = AitwAction(AitwActionType.PRESS_BACK)
HOME = AitwAction(AitwActionType.PRESS_HOME)
ENTER = AitwAction(AitwActionType.PRESS_ENTER)
COMPLETE = AitwAction(AitwActionType.STATUS_TASK_COMPLETE)
IMPOSSIBLE = AitwAction(AitwActionType.STATUS_TASK_IMPOSSIBLE)


def typed(text: str) -> AitwAction:
    return AitwAction(AitwActionType.TYPE, text=text)


def swipe(from_y: float, from_x: float, to_y: float, to_x: float) -> AitwAction:
    return AitwAction(AitwActionType.DUAL_POINT, (from_y, from_x), (to_y, to_x))


def tap(y: float, x: float) -> AitwAction:
    return swipe(y, x, y, x)


UP, DOWN = swipe(0.8, 0.5, 0.2, 0.5), swipe(0.2, 0.5, 0.8, 0.5)
LEFT, RIGHT = swipe(0.5, 0.8, 0.5, 0.2), swipe(0.5, 0.2, 0.5, 0.8)
MIDDLE = tap(0.5, 0.5)  # pixel [206, 366] for MobileVLM


class Case(NamedTuple):
    gold: AitwAction
    predicted: AitwAction | None
    # AITW's match, Auto-UI's text_acc and type_acc (its accuracy is AITW's match), MobileVLM's score
    aitw: bool
    text: bool
    type: bool
    mobilevlm: float | None
    boxes: tuple = ()


# Enlarged to 240 %, a box from y with height h goes from max(0, y - 0.7 h) on, min(1, 2.4 h) far; x likewise.
IN_THE_MIDDLE = (0.4, 0.4, 0.2, 0.2)  # 0.26 to 0.74 in both directions
IN_THE_CORNER = (0.0, 0.0, 0.1, 0.1)  # 0 to 0.24; without the clamp it would be -0.07 to 0.17
AT_THE_END = (0.9, 0.9, 0.1, 0.1)  # 0.83 to 1.07
WIDE = (0.5, 0.1, 0.05, 0.8)  # y 0.465 to 0.585; x 0 to min(1, 1.92) = 1
HALF = (0.25, 0.25, 0.5, 0.5)  # 0 to min(1, 1.2) = 1: the screen
SMALL, OTHER = (0.1, 0.1, 0.1, 0.1), (0.6, 0.6, 0.1, 0.1)  # 0.03 to 0.27 and 0.53 to 0.77

CASES = {
    # --- only types count unless both are DUAL_POINT
    "same key": Case(BACK, BACK, True, True, True, 1.0),
    "home": Case(HOME, HOME, True, True, True, 1.0),
    "enter": Case(ENTER, ENTER, True, True, True, 1.0),
    "other key": Case(BACK, HOME, False, False, False, 0.0),
    "tap for a key": Case(BACK, MIDDLE, False, False, False, 0.0),
    "key for a tap": Case(MIDDLE, BACK, False, False, False, 0.0),
    "typing for a tap": Case(MIDDLE, typed("news"), False, False, False, 0.0),
    "points of keys are ignored": Case(
        AitwAction(AitwActionType.PRESS_BACK, (0.1, 0.1), (0.9, 0.9)), BACK, True, True, True, 1.0
    ),
    # --- typed text: not compared by AITW; by Auto-UI either contains the other; MobileVLM: in gold, else F1 of words
    "same text": Case(typed("weather"), typed("weather"), True, True, True, 1.0),
    "other text": Case(typed("weather"), typed("news"), True, False, True, 0.0),
    "part of gold": Case(typed("best coffee maker"), typed("coffee"), True, True, True, 1.0),
    # words {coffee} and {coffee, maker}: 2 * 1 / (1 + 2)
    "more than gold": Case(typed("coffee"), typed("coffee maker"), True, True, True, 2 / 3),
    # two of three words each: 2 * 2 / (3 + 3)
    "words in common": Case(typed("best coffee maker"), typed("coffee maker sale"), True, False, True, 2 / 3),
    "upper case": Case(typed("Weather"), typed("wEATHER"), True, True, True, 1.0),
    "empty text": Case(typed("weather"), typed(""), True, True, True, 1.0),
    "empty gold": Case(typed(""), typed("news"), True, True, True, 0.0),  # gold has no words: F1 0
    # Auto-UI strips what was predicted; MobileVLM finds "  news " not in "news", but the same word
    "blanks around": Case(typed("news"), typed("  news "), True, True, True, 1.0),
    "blanks around gold": Case(typed(" news  "), typed("news"), True, True, True, 1.0),
    "gold loses quotes": Case(typed('"Macy\'s"\\'), typed("macys"), True, True, True, 1.0),
    # Auto-UI: macy's is not in macys, nor macys in it. MobileVLM's form of an action has no quotes
    "predicted quotes stay": Case(typed("macy's"), typed("macy's"), True, False, True, 1.0),
    "typing 'click'": Case(
        typed("click here"), typed("click here"), True, True, True, 0.0
    ),  # taken for clicks, no box
    "typing 'scroll'": Case(typed("scroll bar"), typed("scroll bar"), True, True, True, 0.0),  # likewise
    # --- the end: MobileVLM gives 1 whenever gold is complete and leaves out impossible
    "complete": Case(COMPLETE, COMPLETE, True, True, True, 1.0),
    "tap instead of complete": Case(COMPLETE, MIDDLE, False, False, False, 1.0),
    "impossible instead of complete": Case(COMPLETE, IMPOSSIBLE, False, False, False, 1.0),
    "complete too early": Case(MIDDLE, COMPLETE, False, False, False, 0.0),
    "impossible": Case(IMPOSSIBLE, IMPOSSIBLE, True, True, True, None),
    "complete instead of impossible": Case(IMPOSSIBLE, COMPLETE, False, False, False, None),
    "impossible instead of a tap": Case(MIDDLE, IMPOSSIBLE, False, False, False, 0.0),
    # --- a reply that is no action is wrong, whatever the example before was
    "unparsable for a tap": Case(MIDDLE, None, False, False, False, 0.0),
    "unparsable for a key": Case(BACK, None, False, False, False, 0.0),
    "unparsable for text": Case(typed("news"), None, False, False, False, 0.0),
    "unparsable for complete": Case(COMPLETE, None, False, False, False, 1.0),
    # --- taps: distance in fractions; MobileVLM's in whole pixels of 412 x 732, where [y, x] is [x, y]
    "same tap": Case(MIDDLE, MIDDLE, True, True, True, 1.0),
    "0.14 down": Case(MIDDLE, tap(0.64, 0.5), True, True, True, 1.0),  # int(263.68) - 206 = 57; 57 / 412 = 0.138
    "0.14 right": Case(MIDDLE, tap(0.5, 0.64), True, True, True, 1.0),  # int(468.48) - 366 = 102; 102 / 732 = 0.139
    "0.15 down": Case(MIDDLE, tap(0.65, 0.5), False, False, True, 0.0),  # int(267.8) - 206 = 61; 61 / 412 = 0.148
    # 0.1 * sqrt(2) = 0.1414; hypot(41 / 412, 73 / 732) = 0.1409
    "0.10 in both directions": Case(MIDDLE, tap(0.6, 0.6), False, False, True, 0.0),
    # hypot(0.09, 0.10) = 0.1345; hypot(37 / 412, 73 / 732) = 0.1342
    "0.09 and 0.10": Case(MIDDLE, tap(0.59, 0.6), True, True, True, 1.0),
    "0.1405, in pixels less": Case(MIDDLE, tap(0.6405, 0.5), False, False, True, 1.0),  # int(263.9) - 206 = 57
    # a distance of 0.10; MobileVLM's pattern has no minus sign
    "off the screen": Case(tap(0.05, 0.05), tap(-0.05, 0.05), True, True, True, 0.0),
    # 206.0 and int(206.4): one pixel, a click
    "lift beside touch": Case(MIDDLE, swipe(0.5, 0.5, 0.501, 0.5), True, True, True, 1.0),
    # --- taps in one enlarged box; MobileVLM knows no boxes
    "both in the box": Case(tap(0.28, 0.5), tap(0.72, 0.5), True, True, True, 0.0, (IN_THE_MIDDLE,)),
    "gold alone in the box": Case(tap(0.28, 0.5), tap(0.76, 0.5), False, False, True, 0.0, (IN_THE_MIDDLE,)),
    "predicted alone in the box": Case(tap(0.24, 0.5), tap(0.72, 0.5), False, False, True, 0.0, (IN_THE_MIDDLE,)),
    "near, one outside": Case(tap(0.70, 0.5), tap(0.76, 0.5), True, True, True, 1.0, (IN_THE_MIDDLE,)),
    "in two boxes": Case(tap(0.1, 0.1), tap(0.6, 0.6), False, False, True, 0.0, (SMALL, OTHER)),
    "in the second box": Case(tap(0.54, 0.54), tap(0.76, 0.76), True, True, True, 0.0, (SMALL, OTHER)),
    "no boxes": Case(tap(0.28, 0.5), tap(0.72, 0.5), False, False, True, 0.0),
    "clamped box reaches further down": Case(tap(0.01, 0.01), tap(0.2, 0.01), True, True, True, 0.0, (IN_THE_CORNER,)),
    "clamped box reaches further right": Case(
        tap(0.01, 0.01), tap(0.01, 0.2), True, True, True, 0.0, (IN_THE_CORNER,)
    ),
    "behind the clamped box": Case(tap(0.01, 0.01), tap(0.25, 0.01), False, False, True, 0.0, (IN_THE_CORNER,)),
    "box at the end": Case(tap(0.84, 0.95), tap(1.0, 0.95), True, True, True, 0.0, (AT_THE_END,)),
    "before the box at the end": Case(tap(0.82, 0.95), tap(1.0, 0.95), False, False, True, 0.0, (AT_THE_END,)),
    "across a wide box": Case(tap(0.55, 0.02), tap(0.55, 0.98), True, True, True, 0.0, (WIDE,)),
    "below a wide box": Case(tap(0.6, 0.02), tap(0.6, 0.98), False, False, True, 0.0, (WIDE,)),
    "edges belong to a box": Case(tap(0.0, 0.0), tap(1.0, 1.0), True, True, True, 0.0, (HALF,)),
    # --- tap or swipe: at most 0.04 from touch to lift, in single precision; in double 0.14 - 0.10 is more than 0.04
    # MobileVLM: pixels 41 and 57, a scroll
    "travel of 0.04 is a tap": Case(swipe(0.10, 0.5, 0.14, 0.5), tap(0.10, 0.5), True, True, True, 0.0),
    "travel of 0.05 is a swipe": Case(swipe(0.10, 0.5, 0.15, 0.5), tap(0.10, 0.5), False, False, True, 0.0),
    "swipe for a tap": Case(MIDDLE, UP, False, False, True, 0.0),
    "swipe for a tap in one box": Case(MIDDLE, UP, False, False, True, 0.0, (HALF,)),
    "tap for a swipe": Case(UP, tap(0.8, 0.5), False, False, True, 0.0),
    # --- swipes: AITW by axis, MobileVLM by direction
    "same swipe": Case(UP, UP, True, True, True, 1.0),
    "same direction elsewhere": Case(UP, swipe(0.6, 0.2, 0.5, 0.2), True, True, True, 1.0),
    "up and down": Case(UP, DOWN, True, True, True, 0.0),
    "left and right": Case(LEFT, RIGHT, True, True, True, 0.0),
    "up and left": Case(UP, LEFT, False, False, True, 0.0),
    "swipes ignore boxes": Case(UP, LEFT, False, False, True, 0.0, (HALF,)),
    # equal changes of 0.5: y. MobileVLM: the second number grows, "down"; UP, whose first one falls, is "left"
    "diagonal is vertical": Case(UP, swipe(0.25, 0.25, 0.75, 0.75), True, True, True, 0.0),
    "diagonal is not horizontal": Case(LEFT, swipe(0.25, 0.25, 0.75, 0.75), False, False, True, 0.0),
    # second numbers 366 and 358 decide for MobileVLM: "up", which is what it calls LEFT
    "slightly oblique swipe up": Case(UP, swipe(0.8, 0.5, 0.2, 0.49), True, True, True, 0.0),
    "slightly oblique swipe up, gold left": Case(LEFT, swipe(0.8, 0.5, 0.2, 0.49), False, False, True, 1.0),
}


def test_there_are_enough_cases():
    assert len(CASES) >= 40


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_scores(case):
    assert aitw_match(case.gold, case.predicted, case.boxes) is case.aitw
    assert auto_ui_scores(case.gold, case.predicted, case.boxes) == AutoUiScores(case.aitw, case.text, case.type)
    assert mobilevlm_auto_ui_score(case.gold, case.predicted) == pytest.approx(case.mobilevlm)


def test_boxes_near_the_upper_left_corner_differ_from_those_elsewhere():
    """The same two taps relative to the same box, 0.19 apart: 0.01 and 0.20 below its upper edge."""
    assert aitw_match(tap(0.01, 0.01), tap(0.20, 0.01), [(0.0, 0.0, 0.1, 0.1)])  # 0.00 to 0.24
    assert not aitw_match(tap(0.41, 0.41), tap(0.60, 0.41), [(0.4, 0.4, 0.1, 0.1)])  # 0.33 to 0.57


ACTIONS = st.builds(
    AitwAction,
    st.sampled_from(AitwActionType),
    *[st.tuples(*[st.floats(0, 1, width=32)] * 2)] * 2,
    st.text("aB 'c", max_size=4),
)
BOXES = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=3)


@given(ACTIONS, ACTIONS, BOXES)
def test_matching_is_symmetric_and_scores_imply_each_other(gold, predicted, boxes):
    scores = auto_ui_scores(gold, predicted, boxes)
    assert scores.accuracy == aitw_match(gold, predicted, boxes) == aitw_match(predicted, gold, boxes)
    assert scores.type_acc >= scores.accuracy >= scores.text_acc


@given(ACTIONS, BOXES)
def test_gold_scores_one(gold, boxes):
    assert aitw_match(gold, gold, boxes)
    assert mobilevlm_auto_ui_score(gold, gold) in (1.0, None)


MOBILEVLM_TEXTS = {
    # 0.5 * 412 = 206 and 0.25 * 732 = 183
    "click(<ref></ref><box>[206,183][206,183]</box>)": tap(0.5, 0.25),
    # int(0.8 * 412) = 329, int(0.2 * 412) = 82; the first number, meant as x, falls
    "scroll(<box>[329,366][82,366]</box>, left)": UP,
    "scroll(<box>[82,366][329,366]</box>, right)": DOWN,
    # int(0.8 * 732) = 585, int(0.2 * 732) = 146
    "scroll(<box>[206,585][206,146]</box>, up)": LEFT,
    "scroll(<box>[206,146][206,585]</box>, down)": RIGHT,
    "type(macys news)": typed("macy's news"),
    "special_action(PRESS_ENTER)": ENTER,
    "STATUS_TASK_COMPLETE": COMPLETE,
}


@pytest.mark.parametrize(("text", "action"), MOBILEVLM_TEXTS.items())
def test_mobilevlm_text(text, action):
    assert mobilevlm_text(action) == text


REPLIES = {
    "words around": (MIDDLE, "Now click(<ref>OK</ref><box>[206,366][300,400]</box>).", 1.0),  # first corner only
    "blank in the box": (MIDDLE, "click(<box>[206, 366][206, 366]</box>)", 0.0),
    "no box": (MIDDLE, "click(OK)", 0.0),
    "a point is no box": (MIDDLE, "click([206,366])", 0.0),
    "direction without blank": (UP, "scroll(<box>[329,366][82,366]</box>,left)", 0.0),
    "direction elsewhere": (UP, "scroll(<box>[0,0][9,9]</box>, left)", 1.0),
    "no closing parenthesis": (typed("news"), "type(news", 0.0),
    "outermost parentheses": (typed("f(x)"), "type(f(x))", 1.0),
    "blank after the key": (BACK, "special_action(PRESS_BACK) ", 0.0),
    "nothing": (BACK, "", 0.0),
    "anything for complete": (COMPLETE, "rubbish", 1.0),
}


@pytest.mark.parametrize(("gold", "reply", "score"), REPLIES.values(), ids=REPLIES)
def test_score_of_a_written_reply(gold, reply, score):
    assert score_reply(gold, reply) == score


def test_words_are_the_callers():
    """{the, news} and {news, today}: 2 * 1 / 4; without "the" {news} and {news, today}: 2 * 1 / 3."""
    gold, reply = typed("the news"), "type(news today)"
    assert score_reply(gold, reply) == 0.5
    assert score_reply(gold, reply, lambda text: [word for word in text.split() if word != "the"]) == pytest.approx(
        2 / 3
    )

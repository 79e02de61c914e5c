"""Auto-UI's text form: what is written, what is read, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.rewards.gui.aitw import NOWHERE, AitwAction, AitwActionType, without_quotes
from setaria.rewards.gui.auto_ui import (
    MOST_CHARACTERS,
    PLANNED_ACTIONS,
    format_auto_ui,
    format_decision,
    parse_auto_ui,
    snap_swipe,
)


TAP = AitwAction(AitwActionType.DUAL_POINT, (0.7761, 0.7089), (0.7761, 0.7089))
TYPED = AitwAction(AitwActionType.TYPE, text="coffee maker")
BACK = AitwAction(AitwActionType.PRESS_BACK)
TAP_FIELDS = (
    '"action_type": "DUAL_POINT", "touch_point": "[0.7761, 0.7089]", '
    '"lift_point": "[0.7761, 0.7089]", "typed_text": ""'
)


def test_target_text():
    assert format_auto_ui(TAP, [AitwActionType.TYPE, AitwActionType.STATUS_TASK_COMPLETE]) == (
        "Action Plan: [DUAL_POINT,TYPE,STATUS_TASK_COMPLETE]\n; Action Decision: " + TAP_FIELDS
    )


def test_plan_is_of_16_actions_at_most():
    assert PLANNED_ACTIONS == 16
    assert format_auto_ui(BACK, [AitwActionType.TYPE] * 20).startswith(f"Action Plan: [PRESS_BACK{',TYPE' * 15}]\n")


def test_decision_of_an_action_that_touches_nothing():
    assert format_decision(AitwAction(AitwActionType.TYPE, text='"Macy\'s" \\ news')) == (
        '"action_type": "TYPE", "touch_point": "[-1.0, -1.0]", "lift_point": "[-1.0, -1.0]", '
        '"typed_text": "Macys  news"'
    )


def test_whole_numbers_are_written_as_fractions():
    assert '"touch_point": "[0.0, 1.0]"' in format_decision(AitwAction(AitwActionType.DUAL_POINT, (0, 1), (0, 1)))


SWIPES = {
    # touch and lift as recorded, as snapped: 0.8 to 0.2 along the axis of the larger change
    "up": ((0.9, 0.3), (0.1, 0.4), (0.8, 0.5), (0.2, 0.5)),
    "down": ((0.3, 0.5), (0.4, 0.5), (0.2, 0.5), (0.8, 0.5)),
    "left": ((0.4, 0.9), (0.6, 0.1), (0.5, 0.8), (0.5, 0.2)),
    "right": ((0.6, 0.1), (0.6, 0.9), (0.5, 0.2), (0.5, 0.8)),
    "tie": ((0.75, 0.25), (0.25, 0.75), (0.8, 0.5), (0.2, 0.5)),
    "tap": ((0.12345, 0.5), (0.13, 0.52), (0.1235, 0.5), (0.1235, 0.5)),  # 0.0211 apart; 0.12345 in binary is above
}


@pytest.mark.parametrize(("touch", "lift", "snapped_touch", "snapped_lift"), SWIPES.values(), ids=SWIPES)
def test_snap_swipe(touch, lift, snapped_touch, snapped_lift):
    snapped = snap_swipe(AitwAction(AitwActionType.DUAL_POINT, touch, lift))
    assert snapped == AitwAction(AitwActionType.DUAL_POINT, snapped_touch, snapped_lift)
    assert snap_swipe(snapped) == snapped


def test_other_actions_are_not_snapped():
    assert snap_swipe(TYPED) is TYPED


READ = {
    "target": (format_auto_ui(TAP), TAP),
    "white space joined": (" ".join(format_auto_ui(TYPED).split()), TYPED),
    "decision alone": (TAP_FIELDS, TAP),
    "json": (
        '```json\n{"action_type": "DUAL_POINT", "touch_point": [0.7761, 0.7089], "lift_point": [0.7761, 0.7089]}\n```',
        TAP,
    ),
    "single quotes": ("Action Decision: {'action_type': 'TYPE', 'typed_text': 'coffee maker'}", TYPED),
    "key alone": ('"action_type": "PRESS_BACK"', BACK),
    "parentheses, one blank": ('"action_type":"DUAL_POINT","touch_point":"(1,.5)","lift_point":"(1,5e-1)"', None),
    "points of the decision, not of the plan": ("touch_point: [0, 0] Action Decision: " + TAP_FIELDS, TAP),
    "escapes of json": (
        r'"action_type": "TYPE", "typed_text": "\u00e9 \"x\""',
        AitwAction(AitwActionType.TYPE, text='é "x"'),
    ),
    "escape of nothing": (r'"action_type": "TYPE", "typed_text": "a\d"', AitwAction(AitwActionType.TYPE, text=r"a\d")),
    "an apostrophe": ('"action_type": "TYPE", "typed_text": "it\'s"', AitwAction(AitwActionType.TYPE, text="it's")),
    "field names typed": (
        '"action_type": "TYPE", "touch_point": "[-1.0, -1.0]", "typed_text": "lift_point: "',
        AitwAction(AitwActionType.TYPE, text="lift_point: "),
    ),
}


@pytest.mark.parametrize(("text", "action"), READ.values(), ids=READ)
def test_parse(text, action):
    assert parse_auto_ui(text) == (action or AitwAction(AitwActionType.DUAL_POINT, (1.0, 0.5), (1.0, 0.5)))


REFUSED = {
    "nothing": ("", "no action_type in ''"),
    "rubbish": ("I would tap the button.", "no action_type in 'I would tap"),
    "plan alone": ("Action Plan: [DUAL_POINT]\n; Action Decision:", "no action_type"),
    "unknown type": ('"action_type": "CLICK"', "action_type 'CLICK' is none of TYPE, DUAL_POINT"),
    "unused type": ('"action_type": "UNUSED_8"', "action_type 'UNUSED_8' is none of"),
    "no touch": ('"action_type": "DUAL_POINT", "lift_point": "[0.1, 0.1]"', "DUAL_POINT without touch_point"),
    "no lift": ('"action_type": "DUAL_POINT", "touch_point": "[0.1, 0.1]"', "DUAL_POINT without lift_point"),
    "one number": ('"action_type": "DUAL_POINT", "touch_point": "[0.1]"', "DUAL_POINT without touch_point"),
    "three numbers": ('"action_type": "DUAL_POINT", "touch_point": "[0.1, 0.1, 0.1]"', "without touch_point"),
    "code": (
        '"action_type": "DUAL_POINT", "touch_point": "__import__(\'os\').getcwd()", "lift_point": "[0.1, 0.1]"',
        "DUAL_POINT without touch_point",
    ),
    "infinite": ('"action_type": "DUAL_POINT", "touch_point": "[1e999, 0]"', "is not finite"),
    "not a number": ('"action_type": "DUAL_POINT", "touch_point": "[nan, nan]"', "without touch_point"),
    "no text": ('"action_type": "TYPE"', "TYPE without a quoted typed_text"),
    "cut off": ('"action_type": "TYPE", "typed_text": "coff', "TYPE without a quoted typed_text"),
    "long": ("x" * (MOST_CHARACTERS + 1), "a reply of 8001 characters, more than 8000"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(text, message):
    with pytest.raises(ValueError) as error:
        parse_auto_ui(text)
    assert message in str(error.value)


POINTS = st.tuples(st.floats(0, 1), st.floats(0, 1)) | st.just(NOWHERE)


@given(st.builds(AitwAction, st.sampled_from(AitwActionType), POINTS, POINTS, st.text().map(without_quotes)))
def test_round_trip(action):
    assert parse_auto_ui(format_auto_ui(action)) == action
    assert parse_auto_ui(format_decision(action)) == action


@given(st.text(st.sampled_from("action_typetouch_point\"': [0.1,]DUAL_POINT\\"), max_size=200) | st.text())
def test_any_text_is_an_action_or_a_value_error(text):
    for reply in (
        text,
        f'"action_type": "DUAL_POINT", "touch_point": {text}',
        f'"action_type": "TYPE", "typed_text": {text}',
    ):
        try:
            assert isinstance(parse_auto_ui(reply), AitwAction)
        except ValueError as error:
            assert str(error)

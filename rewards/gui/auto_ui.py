r"""Auto-UI's text form of AITW actions: what its models are trained to write, and reading it back.

    Action Plan: [DUAL_POINT,TYPE,STATUS_TASK_COMPLETE]
    ; Action Decision: "action_type": "DUAL_POINT", "touch_point": "[0.7761, 0.7089]",
      "lift_point": "[0.7761, 0.7089]", "typed_text": ""

(in two lines; here the second is broken). The plan lists the types of this and the following actions. In the targets
taps and swipes are snapped, see `snap_swipe`, and typed text has lost its quotes (cooelf/Auto-GUI, utils_data.py).
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from setaria.rewards.gui.aitw import NOWHERE, AitwAction, AitwActionType, Point, without_quotes


PLANNED_ACTIONS = 16
MOST_CHARACTERS = 8000
# (main axis, whether the coordinate grows) -> touch, lift
SNAPPED = {
    (0, False): ((0.8, 0.5), (0.2, 0.5)),  # up
    (0, True): ((0.2, 0.5), (0.8, 0.5)),  # down
    (1, False): ((0.5, 0.8), (0.5, 0.2)),  # left
    (1, True): ((0.5, 0.2), (0.5, 0.8)),  # right
}
DECISION = "Action Decision:"
NUMBER = r"([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)"
POINT = rf"""\s*:\s*["']?\s*[\[(]\s*{NUMBER}\s*,\s*{NUMBER}\s*[\])]"""
ACTION_TYPE = re.compile(r"""\baction_type["']?\s*:\s*["']?(\w+)""")
TOUCH_POINT = re.compile(rf"""\btouch_point["']?{POINT}""")
LIFT_POINT = re.compile(rf"""\blift_point["']?{POINT}""")
TYPED_TEXT = re.compile(r"""\btyped_text["']?\s*:\s*((["'])(?:\\.|(?!\2)[^\\])*\2)""", re.DOTALL)


def snap_swipe(action: AitwAction) -> AitwAction:
    """`action` as Auto-UI's targets hold it.

    A tap is rounded to 4 decimals and lifts where it touches. A swipe becomes the one of its direction through the
    middle of the screen: from 0.8 to 0.2 or back along its main axis. Other actions stay as they are.
    """
    if action.type != AitwActionType.DUAL_POINT:
        return action
    if action.is_tap:
        touch = (round(action.touch[0], 4), round(action.touch[1], 4))
        return replace(action, touch=touch, lift=touch)
    axis = action.main_axis
    touch, lift = SNAPPED[axis, action.lift[axis] > action.touch[axis]]
    return replace(action, touch=touch, lift=lift)


def format_auto_ui(action: AitwAction, following: Sequence[AitwActionType] = ()) -> str:
    """The target text: the types of `action` and of those `following` it, at most 16 in all, and the decision."""
    plan = ",".join(step.name for step in [action.type, *following][:PLANNED_ACTIONS])
    return f"Action Plan: [{plan}]\n; {DECISION} {format_decision(action)}"


def format_decision(action: AitwAction) -> str:
    """The fields of `action` alone, the form in which Auto-UI's prompts list the previous 8 actions."""
    fields = {
        "action_type": action.type.name,
        "touch_point": _written(action.touch),
        "lift_point": _written(action.lift),
        "typed_text": without_quotes(action.text),
    }
    return ", ".join(f'"{name}": "{value}"' for name, value in fields.items())


def parse_auto_ui(text: str) -> AitwAction:
    """The action that a reply decides on, with or without the plan before it.

    Quotes may be single, points may stand in parentheses and without quotes, and the fields that an action of the type
    does not use may be missing. Points are not checked to lie on the screen.

    Raises:
        ValueError: saying what is missing or wrong.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a reply of {len(text)} characters, more than {MOST_CHARACTERS}")
    decision = text.partition(DECISION)[2] or text
    named = ACTION_TYPE.search(decision)
    if named is None:
        raise ValueError(f"no action_type in {text[:80]!r}")
    if named[1] not in AitwActionType.__members__:
        raise ValueError(f"action_type {named[1][:80]!r} is none of {', '.join(AitwActionType.__members__)}")
    action_type = AitwActionType[named[1]]
    typed = TYPED_TEXT.search(decision)
    if action_type == AitwActionType.TYPE and typed is None:
        raise ValueError("TYPE without a quoted typed_text")
    touch, lift = _read(TOUCH_POINT, decision), _read(LIFT_POINT, decision)
    if action_type == AitwActionType.DUAL_POINT and (touch is None or lift is None):
        raise ValueError(f"DUAL_POINT without {'touch_point' if touch is None else 'lift_point'} [y, x]")
    return AitwAction(action_type, touch or NOWHERE, lift or NOWHERE, "" if typed is None else _unquoted(typed[1]))


def _written(point: Point) -> str:
    return f"[{float(point[0])}, {float(point[1])}]"


def _read(field: re.Pattern, decision: str) -> Point | None:
    found = field.search(decision)
    if found is None:
        return None
    point = (float(found[1]), float(found[2]))
    if not all(map(math.isfinite, point)):
        raise ValueError(f"a coordinate of {found[0][:80]!r} is not finite")
    return point


def _unquoted(literal: str) -> str:
    try:
        return json.loads(literal, strict=False)
    except ValueError:  # in single quotes, or with a backslash that escapes nothing
        return literal[1:-1]

"""The actions of a GUI agent and the text in which a model reads and writes them.

The paper's action space is click, scroll, input and complete (section 3, after Mobile3M); the others are what AITW and
AndroidControl add. The text is Mobile3M's model-side form:

    click(<ref>Save</ref><box>[24,300][336,348]</box>)
    input(<ref>Name</ref><box>[24,120][336,168]</box>, "Ann")
    scroll(<box>[0,60][360,640]</box>,up)
    complete()

Actions hold boxes in pixels of the screen. A model's own units come in only here, by `encode` and `decode`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

from setaria.rewards.boxes import FARTHEST, Box


Direction: TypeAlias = Literal["up", "down", "left", "right"]
Key: TypeAlias = Literal["back", "home", "enter"]
DIRECTIONS = get_args(Direction)
KEYS = get_args(Key)
MOST_CHARACTERS = 4000


class ActionError(ValueError):
    """Text or data that is no action; the message says why."""


@dataclass(frozen=True)
class Click:
    """Tap an element: its box in pixels (a point is a box of no size) and its text, or description."""

    box: Box
    text: str = ""


@dataclass(frozen=True)
class LongPress:
    """Press an element for long."""

    box: Box
    text: str = ""


@dataclass(frozen=True)
class Input:
    """Type `value` into the input element that shows `text`."""

    box: Box
    text: str
    value: str


@dataclass(frozen=True)
class Scroll:
    """Swipe over a container; `direction` is where the finger moves, so `up` shows what is below."""

    box: Box
    direction: Direction


@dataclass(frozen=True)
class Press:
    """Press a key of the device."""

    key: Key


@dataclass(frozen=True)
class Open:
    """Open an app by name."""

    app: str


@dataclass(frozen=True)
class Wait:
    """Do nothing until the screen has settled."""


@dataclass(frozen=True)
class Complete:
    """Say that the task is done, or with `success=False` that it cannot be done."""

    success: bool = True


Action: TypeAlias = Click | LongPress | Input | Scroll | Press | Open | Wait | Complete
Encode: TypeAlias = Callable[[Box], tuple[int, int, int, int]]
Decode: TypeAlias = Callable[[tuple[float, float, float, float]], Box]

_NUMBER = r"-?\d{1,6}(?:\.\d+)?"
_START = rf"\[\s*(?P<x1>{_NUMBER})\s*,\s*(?P<y1>{_NUMBER})\s*\]"
_END = rf"\[\s*(?P<x2>{_NUMBER})\s*,\s*(?P<y2>{_NUMBER})\s*\]"
_BOX = rf"<box>\s*{_START}\s*,?\s*{_END}\s*</box>"
_REF = r"<ref>(?P<text>(?:(?!</ref>).)*)</ref>"
# Name of an action: its class and the form of its arguments. Mobile3M names the element of an input in a phrase around
# the reference, "input box with text <ref>T</ref>,", or without one, "the N-th blank input box,".
_FORMS: dict[str, tuple[type, str]] = {
    "click": (Click, rf"(?:{_REF})?\s*{_BOX}"),
    "long_press": (LongPress, rf"(?:{_REF})?\s*{_BOX}"),
    "input": (Input, rf"[^<]*(?:{_REF})?[^<]*{_BOX}\s*,(?P<value>.*)"),
    "scroll": (Scroll, rf"{_BOX}\s*,\s*(?P<direction>\w+)"),
    "press": (Press, r"(?P<key>\w+)"),
    "open": (Open, r"(?P<app>.+)"),
    "wait": (Wait, ""),
    "complete": (Complete, r"(?P<impossible>impossible)?"),
}
_NAME_OF = {kind: name for name, (kind, _) in _FORMS.items()}
_CALL = r"(?:\s*```\w*\s)?[\s`]*(\w+)\s*\((.*)\)[\s`.]*"
_NEXT_CALL = rf"\)\W{{0,20}}(?:{'|'.join(_FORMS)})\s*\("  # after the end of another


def format_action(action: Action, encode: Encode | None = None) -> str:
    """The action as a model writes it; `parse_action` is its exact inverse, up to the rounding of boxes.

    So that a reference ends where it should, a text that holds `</ref>` is written with a backslash in it, `<\\/ref>`.

    Args:
        encode: pixels to the model's units, default: rounded pixels.
    """
    encode = encode or _rounded
    match action:
        case Click(box, text):
            return f"click({_reference(text)}{_box(box, encode)})"
        case LongPress(box, text):
            return f"long_press({_reference(text)}{_box(box, encode)})"
        case Input(box, text, value):
            return f"input({_reference(text)}{_box(box, encode)}, {json.dumps(value, ensure_ascii=False)})"
        case Scroll(box, direction):
            return f"scroll({_box(box, encode)},{direction})"
        case Press(key):
            return f"press({key})"
        case Open(app):
            return f"open({json.dumps(app, ensure_ascii=False)})"
        case Wait():
            return "wait()"
        case Complete(success):
            return "complete()" if success else "complete(impossible)"


def parse_action(reply: str, decode: Decode | None = None) -> Action:
    """The action that a model's reply names.

    White space, a full stop or a code fence around the action, a missing `<ref>` and Mobile3M's phrases around the
    element of an input are accepted. More than one action, an unknown name, a missing argument or an inverted box are
    not.

    Args:
        decode: the model's units to pixels, default: numbers are pixels.

    Raises:
        ActionError: saying what is wrong with the reply.
    """
    if len(reply) > MOST_CHARACTERS:
        raise ActionError(f"a reply of {len(reply)} characters is no action")
    called = re.fullmatch(_CALL, reply, re.DOTALL)
    if not called:
        raise ActionError(f"no action in {_shown(reply)}: expected name(arguments)")
    name, arguments = called[1].lower(), called[2].strip()
    if name not in _FORMS:
        raise ActionError(f"unknown action {_shown(str(name))}, known: {', '.join(_FORMS)}")
    kind, form = _FORMS[name]
    parts = re.fullmatch(form, arguments, re.DOTALL)
    if not parts:
        raise ActionError(f"arguments of {name} not understood: {_shown(arguments)}")
    given = {key: value for key, value in parts.groupdict().items() if value is not None}
    if "x1" in given:
        x1, y1, x2, y2 = (float(given.pop(corner)) for corner in ("x1", "y1", "x2", "y2"))
        given["box"] = decode((x1, y1, x2, y2)) if decode else (x1, y1, x2, y2)
    if kind is Complete:
        return Complete(success=not given)
    if kind is Input:
        given = {"text": "", **given}
    if "text" in given:
        given["text"] = re.sub(r"<\\(\\*/ref>)", r"<\1", given["text"])
    for quoted in {"value", "app"} & set(given):
        given[quoted] = _unquoted(given[quoted].strip())
    return action_from_dict({"type": name, **given})


def action_to_dict(action: Action) -> dict[str, Any]:
    """The action as JSON: `type` and its fields."""
    return {"type": _NAME_OF[type(action)], **asdict(action)}


def action_from_dict(fields: dict[str, Any]) -> Action:
    """The inverse of `action_to_dict`.

    Raises:
        ActionError: for an unknown type, missing, superfluous or wrong fields.
    """
    if not isinstance(fields, dict):
        raise ActionError(f"{_shown(str(fields))} is no action: expected a mapping")
    given = dict(fields)
    name = given.pop("type", None)
    if not isinstance(name, str) or name not in _FORMS:
        raise ActionError(f"unknown action {_shown(str(name))}, known: {', '.join(_FORMS)}")
    if "box" in given:
        given["box"] = _checked_box(given["box"])
    for field, allowed in (("direction", DIRECTIONS), ("key", KEYS)):
        if field in given and given[field] not in allowed:
            raise ActionError(f"{name}: {field} {_shown(str(given[field]))} is none of {', '.join(allowed)}")
    for field in {"text", "value", "app"} & set(given):
        if not isinstance(given[field], str) or re.search(r"[\ud800-\udfff]", given[field]):
            raise ActionError(f"{name}: {field} {_shown(str(given[field]))} is no text")
    if not isinstance(given.get("success", True), bool):
        raise ActionError(f"{name}: success {_shown(str(given['success']))} is neither true nor false")
    try:
        return _FORMS[name][0](**given)
    except TypeError as error:
        raise ActionError(f"{name}: {error}") from None


def _checked_box(box: Any) -> Box:
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(isinstance(number, Real) for number in box):
        raise ActionError(f"{_shown(str(box))} is no box: expected four numbers")
    x1, y1, x2, y2 = box
    if not all(-FARTHEST <= number <= FARTHEST for number in box) or x2 < x1 or y2 < y1:
        raise ActionError(f"box {_shown(str(box))} is inverted or has no place on a screen")
    return float(x1), float(y1), float(x2), float(y2)


def _reference(text: str) -> str:
    escaped = re.sub(r"<(\\*/ref>)", r"<\\\1", text)
    return f"<ref>{escaped}</ref>"


def _box(box: Box, encode: Encode) -> str:
    x1, y1, x2, y2 = encode(box)
    return f"<box>[{x1},{y1}][{x2},{y2}]</box>"


def _rounded(box: Box) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = map(round, box)
    return x1, y1, x2, y2


def _unquoted(text: str) -> str:
    """The string inside quotes, JSON's escapes resolved; text without quotes as it is."""
    if text.startswith('"'):
        try:
            return json.loads(text, strict=False)
        except ValueError:
            if len(text) == 1 or not text.endswith('"'):
                raise ActionError(f"the quote is not closed in {_shown(text)}") from None
    if re.search(_NEXT_CALL, text, re.IGNORECASE):
        raise ActionError(f"more than one action in {_shown(text)}")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")

"""Mobile3M's raw action strings: `click(<html line>)`, `input(<html line>, 'text')`, `scroll(([x, y], [x, y]))`.

An element is known by its html line. Two generations of lines exist, with and without bounds, and execution in
Mobile3M's walks looked at id, text, class and description only, so that elements equal in these are one action.
"""

import re
from dataclasses import dataclass

from setaria.datasets_builders.gui.elements import Element
from setaria.rewards.boxes import Box
from setaria.rewards.gui.actions import Action, Click, Direction, Input, Scroll


# Texts may hold anything. Attributes end at the first `"> ` that does not open a value, as in `id="> "`; a text ends
# with a click, and in an input at the first closing tag with a value after it.
_LINE = r'<(?P<tag>\w{1,20}) ?(?P<attributes>(?>.*?(?<!=)"(?=> ))|)> (?P<text>.*?) </(?P=tag)>'
_ATTRIBUTE = re.compile(r'(\w[\w ]{0,30})="(.*?)"(?= \w[\w ]{0,30}="|\Z)', re.DOTALL)
_ENDS = re.compile(r"scroll\(\(\[(-?\d{1,6}), (-?\d{1,6})\], \[(-?\d{1,6}), (-?\d{1,6})\]\)\)")
_CLICK = re.compile(rf"click\({_LINE}\)", re.DOTALL)
_INPUT = re.compile(rf"input\({_LINE}, '(?P<value>.*)'\)", re.DOTALL)


@dataclass(frozen=True)
class RawAction:
    """What a raw string says: its kind, the identity of its element, the typed value, the swipe's ends."""

    kind: str
    element: tuple[str, str, str, str] | None = None
    value: str | None = None
    swipe: tuple[int, int, int, int] | None = None


def write_raw_action(action: Action, element: Element) -> str:
    """The raw string of an action on `element`.

    Raises:
        ValueError: for an action that Mobile3M does not have.
    """
    match action:
        case Click():
            return f"click({element.html})"
        case Input(value=value):
            return f"input({element.html}, '{value}')"
        case Scroll(direction=direction):
            x1, y1, x2, y2 = swipe_ends(element.box, direction)
            return f"scroll(([{x1}, {y1}], [{x2}, {y2}]))"
    raise ValueError(f"{action} is no action of Mobile3M: click, input or scroll")


def read_raw_action(raw: str) -> RawAction:
    """Parse a raw string of either generation.

    Raises:
        ValueError: for anything else.
    """
    if ends := _ENDS.fullmatch(raw):
        x1, y1, x2, y2 = map(int, ends.groups())
        return RawAction("scroll", swipe=(x1, y1, x2, y2))
    if line := _CLICK.fullmatch(raw):
        return RawAction("click", _identity_of(line))
    if raw.endswith("')") and (line := _INPUT.fullmatch(raw)):
        return RawAction("input", _identity_of(line), value=line["value"])
    raise ValueError(f"{raw[:120]!r} is no action of Mobile3M")


def raw_form(action: Action, element: Element) -> RawAction:
    """The action as it is read from its raw string, for comparison.

    Raises:
        ValueError: for an action that Mobile3M does not have.
    """
    return read_raw_action(write_raw_action(action, element))


def swipe_ends(box: Box, direction: Direction) -> tuple[int, int, int, int]:
    """Start and end (x, y, x, y) of a swipe over a box: a quarter of its side around the middle.

    `up` and `left` go from beyond the middle to before it, `down` and `right` the reverse.
    """
    x1, y1, x2, y2 = map(int, box)
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    across, down = (x2 - x1) // 4, (y2 - y1) // 4
    match direction:
        case "up":
            return x, y + down, x, y - down
        case "down":
            return x, y - down, x, y + down
        case "left":
            return x + across, y, x - across, y
        case "right":
            return x - across, y, x + across, y


def _identity_of(line: re.Match) -> tuple[str, str, str, str]:
    attributes = {name.replace(" ", ""): value for name, value in _ATTRIBUTE.findall(line["attributes"])}
    return attributes.get("id", ""), line["text"], attributes.get("class", ""), attributes.get("description", "")

"""The elements of a screen, read from its view hierarchy, and the actions they offer.

A hierarchy is Appium's page source (the tag is the class) or the dump of Android's uiautomator (tags are `node`, the
class is an attribute). Mobile3M keeps one line of HTML per visible leaf that has text, a description or is a button or
an input box, and one per scrollable container; those lines are its identity of an element.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element as Node
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from setaria.rewards.boxes import Box, area, center, contains, iou
from setaria.rewards.gui.actions import DIRECTIONS, Action, Click, Input, LongPress, Scroll


MOST_BYTES = 8_000_000
MOST_DEPTH = 200
SAME_ELEMENT_IOU = 0.5
# Html tag of a class, by the first of these that its name contains (MobileVLM's converter).
HTML_TAGS = {
    "ImageView": "img",
    "IconView": "img",
    "Button": "button",
    "Image": "img",
    "MenuItemView": "button",
    "EditText": "input",
    "TextView": "p",
}


@dataclass(frozen=True)
class Element:
    """A leaf or a scrollable container of a screen; `box` in pixels, `clickable` also if an ancestor is."""

    box: Box
    text: str = ""
    description: str = ""
    id: str = ""
    package: str = ""
    class_name: str = ""
    clickable: bool = False
    scrollable: bool = False

    @property
    def tag(self) -> str:
        """Html tag: img, button, input, p or div."""
        return next((tag for part, tag in HTML_TAGS.items() if part in self.class_name), "div")

    @property
    def name(self) -> str:
        """What the element is called: its text, or its description."""
        return self.text or self.description

    @property
    def html(self) -> str:
        """Mobile3M's line; empty attributes are left out, and a container has no package."""
        x1, y1, x2, y2 = map(int, self.box)
        attributes = {
            "id": self.id,
            "package": "" if self.scrollable else self.package,
            "class": self.class_name,
            "descript  ion" if self.scrollable else "description": self.description,  # sic
            "clickable": str(self.clickable).lower(),
            "scrollable": "true" if self.scrollable else "",
            "bounds": f"[{x1},{y1}][{x2},{y2}]",
        }
        written = " ".join(f'{name}="{value}"' for name, value in attributes.items() if value)
        return f"<{self.tag} {written}> {self.text} </{self.tag}>"


def read_elements(xml: str) -> list[Element]:
    """The elements of a view hierarchy in document order.

    Raises:
        ValueError: for a hierarchy that is too large, no XML, has entities, or a box that cannot be read.
    """
    if len(xml) > MOST_BYTES:
        raise ValueError(f"a view hierarchy of {len(xml)} characters, at most {MOST_BYTES} are read")
    try:
        root = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(f"no view hierarchy: {error!r}") from None
    return list(_elements(root, clickable=False, depth=0))


def candidate_actions(elements: list[Element]) -> list[Action]:
    """A(P): what the elements offer, inputs with an empty value.

    Elements without a name offer no click, those whose box is empty or inverted, which cannot be touched, nothing.
    """
    actions: list[Action] = []
    for element in elements:
        if not area(element.box):
            continue
        if element.scrollable:
            actions += [Scroll(element.box, direction) for direction in DIRECTIONS]
            continue
        if element.clickable and element.name:
            actions.append(Click(element.box, element.name))
        if element.tag == "input":
            actions.append(Input(element.box, element.name, ""))
    return actions


def find_element(elements: list[Element], action: Action) -> Element | None:
    """The element that an action with a box is about, `None` if there is none.

    A point belongs to the smallest element around it; a box to the element that it overlaps by an IoU of at least .5,
    the one with the action's text where several do, else to the only element with that text.
    """
    if not isinstance(action, Click | LongPress | Input | Scroll):
        return None
    fitting = [element for element in elements if _offers(element, action)]
    text = "" if isinstance(action, Scroll) else action.text
    if action.box[:2] == action.box[2:]:
        around = [element for element in fitting if contains(element.box, *center(action.box))]
        return min(around, key=lambda element: area(element.box), default=None)
    overlap = {element: iou(element.box, action.box) for element in fitting}
    near = [element for element in fitting if overlap[element] >= SAME_ELEMENT_IOU]
    if near:
        return max(near, key=lambda element: (element.name == text, overlap[element]))
    named = [element for element in fitting if text and element.name == text]
    return named[0] if len(named) == 1 else None


def _offers(element: Element, action: Action) -> bool:
    if not area(element.box):
        return False
    if isinstance(action, Scroll):
        return element.scrollable
    if isinstance(action, Input):
        return element.tag == "input"
    return not element.scrollable and (element.clickable or isinstance(action, LongPress))


def _elements(node: Node, clickable: bool, depth: int) -> Iterator[Element]:
    if depth > MOST_DEPTH:
        raise ValueError(f"a view hierarchy deeper than {MOST_DEPTH}")
    clickable = clickable or node.get("clickable") == "true"
    scrollable = node.get("scrollable") == "true"
    element = _element(node, clickable, scrollable) if node.get("displayed") != "false" else None
    if element and (scrollable or (len(node) == 0 and (element.name or element.tag in ("button", "input")))):
        yield element
    for child in node:
        yield from _elements(child, clickable, depth + 1)


def _element(node: Node, clickable: bool, scrollable: bool) -> Element | None:
    bounds = node.get("bounds")
    if bounds is None:
        return None
    corners = re.fullmatch(r"\[(-?\d{1,6}),(-?\d{1,6})\]\[(-?\d{1,6}),(-?\d{1,6})\]", bounds)
    if not corners:
        raise ValueError(f"bounds={bounds[:80]!r} of <{node.tag}> is not [x1,y1][x2,y2]")
    x1, y1, x2, y2 = (float(number) for number in corners.groups())
    return Element(
        box=(x1, y1, x2, y2),
        text=_one_line(node.get("text", "")),
        description=_one_line(node.get("content-desc", "")),
        id=node.get("resource-id", ""),
        package=node.get("package", ""),
        class_name=node.get("class") or str(node.tag),
        clickable=clickable,
        scrollable=scrollable,
    )


def _one_line(text: str) -> str:
    return text.replace("\n", "")

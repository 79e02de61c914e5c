"""The Verifier: rules that need no model (paper, section 3.2).

    p_v = VALID * EFFECTIVE
    VALID       a known, well-formed action whose element is on the page and that could be executed
    EFFECTIVE   P' is another page than P, unless the action is `complete`

What is known of the outcome is taken from the environment; an action whose outcome is unknown, as an edge that no walk
tried, has no effect that could be seen and fails.
"""

from dataclasses import dataclass

from setaria.agents.backtrack.environment import Outcome
from setaria.datasets_builders.gui.elements import find_element
from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.boxes import contains
from setaria.rewards.gui.actions import Action, Click, Complete, Input, LongPress, Scroll, Wait


@dataclass(frozen=True)
class Verdict:
    """p_v of an attempt, and in words why it failed."""

    passed: bool
    reason: str = ""


def element_problem(page: Page, action: Action) -> str:
    """Why an action has no element on a page; empty if it has one, or needs none.

    An action whose box is one element's and whose text says something else has none (our choice: it is not well
    formed, and who looks at it later is misled). One text may be part of the other: "Search" is "Search box". On a
    page without a hierarchy it is enough that the action is on the screen.
    """
    if not isinstance(action, Click | LongPress | Input | Scroll):
        return ""
    (x1, y1, x2, y2), (width, height) = action.box, page.size
    if not contains((0, 0, width, height), (x1 + x2) / 2, (y1 + y2) / 2):
        return f"the middle of {action.box} is outside the screen of {width} x {height}"
    if not page.elements:
        return ""
    element = find_element(page.elements, action)
    if element is None:
        return "no such element on the page"
    text = "" if isinstance(action, Scroll) else action.text
    others = {other.name for other in page.elements} - {element.name}
    if text and (text in others or not _alike(text, element.name)):
        return f"the box is that of {element.name!r}, the text is {text!r}"
    return ""


def _alike(text: str, name: str) -> bool:
    """Whether one is in the other, in any case and spacing; nothing is known of an element without a name."""
    one, other = (" ".join(words.casefold().split()) for words in (text, name))
    return one in other or other in one


def verify(page: Page, action: Action, outcome: Outcome) -> Verdict:
    """p_v of an action that was executed on `page`."""
    if isinstance(action, Complete | Wait):
        return Verdict(True)
    if problem := element_problem(page, action):
        return Verdict(False, f"not valid: {problem}")
    if not outcome.valid:
        return Verdict(False, f"{'unknown' if outcome.valid is None else 'not valid'}: {outcome.reason}")
    if not outcome.changed:
        return Verdict(False, "not effective: the page did not change")
    return Verdict(True)

"""The rules that need no model: where an action is, whether its element is there, and whether anything happened."""

import pytest
from PIL import Image

from setaria.agents.backtrack.environment import Outcome
from setaria.agents.backtrack.verifier import element_problem, verify
from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Open, Press, Scroll, Wait


XML = """<a>
<Button class="Button" clickable="true" text="Save" bounds="[4,10][36,20]"/>
<TextView class="TextView" text="Title" bounds="[0,0][40,8]"/>
<EditText class="EditText" clickable="true" text="" bounds="[4,24][36,34]"/>
<ListView class="ListView" scrollable="true" bounds="[0,36][40,60]"/>
</a>"""
SCREEN = Image.new("RGB", (40, 60), "white")
PAGE = Page("home", SCREEN, XML)
BARE = Page("bare", SCREEN)
AFTER = Page("after", SCREEN)
SAVE, FIELD, LIST = (4.0, 10.0, 36.0, 20.0), (4.0, 24.0, 36.0, 34.0), (0.0, 36.0, 40.0, 60.0)
NO_ELEMENT = "no such element on the page"


def outside(box):
    return f"the middle of {box} is outside the screen of 40 x 60"


def of_another(name, text):
    return f"the box is that of {name!r}, the text is {text!r}"


# Where an action is: on a page with a hierarchy, and on one without.
PLACES = {
    "button": (Click(SAVE, "Save"), "", ""),
    "button by another name": (Click(SAVE, "Store"), of_another("Save", "Store"), ""),
    "button by a longer name": (Click(SAVE, "SAVE  all"), "", ""),
    "button by a part of its name": (LongPress(SAVE, "av"), "", ""),
    "button elsewhere": (Click((4.0, 44.0, 36.0, 54.0), "Save"), "", ""),  # the only one with that text
    "button by the name of the title": (Click(SAVE, "Title"), of_another("Save", "Title"), ""),
    "point on it by the name of the title": (
        LongPress((20.0, 15.0, 20.0, 15.0), "Title"),
        of_another("Save", "Title"),
        "",
    ),
    "input by the name of the button": (Input(FIELD, "Save", "Ann"), of_another("", "Save"), ""),
    "input by a name that it does not show": (Input(FIELD, "First name", "Ann"), "", ""),
    "point on the button": (Click((20.0, 15.0, 20.0, 15.0)), "", ""),
    "point beside it": (Click((2.0, 15.0, 2.0, 15.0)), NO_ELEMENT, ""),
    "title, which cannot be clicked": (Click((0.0, 0.0, 40.0, 8.0), "Title"), NO_ELEMENT, ""),
    "title, pressed for long": (LongPress((0.0, 0.0, 40.0, 8.0), "Title"), "", ""),
    "nothing there": (Click((4.0, 44.0, 36.0, 54.0), "Send"), NO_ELEMENT, ""),
    "input": (Input(FIELD, "", "Ann"), "", ""),
    "input into a button": (Input(SAVE, "Save", "Ann"), NO_ELEMENT, ""),
    "scroll": (Scroll(LIST, "up"), "", ""),
    "scroll over a button": (Scroll(SAVE, "up"), NO_ELEMENT, ""),
    "first pixel": (Click((0.0, 0.0, 0.0, 0.0)), NO_ELEMENT, ""),
    "right edge": (Click((40.0, 15.0, 40.0, 15.0)), *[outside((40.0, 15.0, 40.0, 15.0))] * 2),
    "bottom edge": (Click((20.0, 60.0, 20.0, 60.0)), *[outside((20.0, 60.0, 20.0, 60.0))] * 2),
    "left of the screen": (Click((-9.0, 10.0, 5.0, 20.0), "Save"), *[outside((-9.0, 10.0, 5.0, 20.0))] * 2),
    "far away": (Scroll((4e5, 0.0, 5e5, 9.0), "up"), *[outside((4e5, 0.0, 5e5, 9.0))] * 2),
    "half outside": (Click((4.0, 10.0, 48.0, 20.0), "Save"), "", ""),
    **{str(action): (action, "", "") for action in (Press("back"), Open("Mail"), Wait(), Complete(), Complete(False))},
}


@pytest.mark.parametrize("name", PLACES)
def test_elements(name):
    action, problem, without_hierarchy = PLACES[name]
    assert element_problem(PAGE, action) == problem
    assert element_problem(BARE, action) == without_hierarchy


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(AFTER, True, True), ""),
        (Outcome(PAGE, True, False), "not effective: the page did not change"),
        (Outcome(PAGE, False, False, "its execution failed"), "not valid: its execution failed"),
        (Outcome(AFTER, False, True, "half of it"), "not valid: half of it"),
        (Outcome(PAGE, None, False, "no walk tried it"), "unknown: no walk tried it"),
        (Outcome(AFTER, None, True, "no walk tried it"), "unknown: no walk tried it"),
    ],
)
@pytest.mark.parametrize("action", [Click(SAVE, "Save"), Press("back")])
def test_outcomes(action, outcome, reason):
    verdict = verify(PAGE, action, outcome)
    assert (verdict.passed, verdict.reason) == (not reason, reason)


@pytest.mark.parametrize("action", [Complete(), Complete(False), Wait()])
@pytest.mark.parametrize("valid", [True, False, None])
def test_complete_and_wait_have_no_effect_to_be_seen(action, valid):
    assert verify(PAGE, action, Outcome(PAGE, valid, False)).passed


def test_the_element_comes_before_the_outcome():
    """Whatever is said to have happened."""
    verdict = verify(PAGE, Click((4.0, 44.0, 36.0, 54.0), "Send"), Outcome(AFTER, True, True))
    assert (verdict.passed, verdict.reason) == (False, f"not valid: {NO_ELEMENT}")
    verdict = verify(PAGE, Click((40.0, 0.0, 50.0, 9.0), "Save"), Outcome(AFTER, True, True))
    assert verdict.reason == f"not valid: {outside((40.0, 0.0, 50.0, 9.0))}"

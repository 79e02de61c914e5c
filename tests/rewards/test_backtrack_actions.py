"""Actions as text and as JSON: what is written, what is read in spite of its form, what is refused."""

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from setaria.rewards.gui.actions import (
    MOST_CHARACTERS,
    ActionError,
    Click,
    Complete,
    Input,
    LongPress,
    Open,
    Press,
    Scroll,
    Wait,
    action_from_dict,
    action_to_dict,
    format_action,
    parse_action,
)


BOX = (24.0, 300.0, 336.0, 348.0)
WRITTEN = {
    "click(<ref>Save</ref><box>[24,300][336,348]</box>)": Click(BOX, "Save"),
    "click(<ref></ref><box>[5,6][5,6]</box>)": Click((5, 6, 5, 6)),
    "long_press(<ref>Save</ref><box>[24,300][336,348]</box>)": LongPress(BOX, "Save"),
    'input(<ref>Name</ref><box>[24,300][336,348]</box>, "Ann")': Input(BOX, "Name", "Ann"),
    'input(<ref>姓名</ref><box>[24,300][336,348]</box>, "a \\"b\\"\\n安")': Input(BOX, "姓名", 'a "b"\n安'),
    "scroll(<box>[24,300][336,348]</box>,up)": Scroll(BOX, "up"),
    "press(back)": Press("back"),
    'open("Clock, (new)")': Open("Clock, (new)"),
    "wait()": Wait(),
    "complete()": Complete(),
    "complete(impossible)": Complete(success=False),
}


@pytest.mark.parametrize(("text", "action"), WRITTEN.items(), ids=WRITTEN)
def test_the_form_of_each_action(text, action):
    assert format_action(action) == text
    assert parse_action(text) == action


def test_boxes_are_rounded_or_in_the_numbers_of_a_model():
    assert format_action(Click((0.4, 0.6, 9.5, 10.2))) == "click(<ref></ref><box>[0,1][10,10]</box>)"
    tenfold = format_action(Click(BOX, "Save"), lambda box: tuple(int(10 * number) for number in box))
    assert tenfold == "click(<ref>Save</ref><box>[240,3000][3360,3480]</box>)"
    assert parse_action(tenfold, lambda numbers: tuple(number / 10 for number in numbers)) == Click(BOX, "Save")


TOLERATED = {
    "white space": ("  click ( <box> [24, 300] , [ 336 ,348 ] </box> ) \n", Click(BOX)),
    "full stop": ("complete().", Complete()),
    "capitals": ("CLICK(<box>[24,300][336,348]</box>)", Click(BOX)),
    "quoted as code": ("`wait()`", Wait()),
    "code fence": ("```\nwait()\n```", Wait()),
    "code fence of a language": ("\n```python\nwait()\n```\n", Wait()),
    "fractions": ("click(<box>[24.0,300.00][336.0,348.0]</box>)", Click(BOX)),
    "negative": ("click(<box>[-24,300][336,348]</box>)", Click((-24, 300, 336, 348))),
    "no reference": ('input(<box>[24,300][336,348]</box>, "Ann")', Input(BOX, "", "Ann")),
    "apostrophes": ("input(<ref>Name</ref><box>[24,300][336,348]</box>, 'Ann')", Input(BOX, "Name", "Ann")),
    "no quotes": (
        "input(<ref>Name</ref><box>[24,300][336,348]</box>, it's 5 o'clock )",
        Input(BOX, "Name", "it's 5 o'clock"),
    ),
    "quotes within quotes": ('input(<box>[24,300][336,348]</box>, "a "b" c")', Input(BOX, "", 'a "b" c')),
    "newline within quotes": ('input(<box>[24,300][336,348]</box>, "a\nb")', Input(BOX, "", "a\nb")),
    "nothing typed": ("input(<box>[24,300][336,348]</box>,)", Input(BOX, "", "")),
    # Mobile3M: "input box with text <ref>T</ref>", "the 1st blank input box"; the typed value comes last.
    "Mobile3M's input": (
        "input(带有文本<ref>搜索</ref>的输入框, <box>[24,300][336,348]</box>, '北京')",
        Input(BOX, "搜索", "北京"),
    ),
    "Mobile3M's blank input": ("input(第1个空白输入框, <box>[24,300][336,348]</box>, 北京)", Input(BOX, "", "北京")),
    "Mobile3M's scroll": ("scroll(<box>[24,300][336,348]</box>, left)", Scroll(BOX, "left")),
    "an action as a name": ("click(<ref>click(me)</ref><box>[24,300][336,348]</box>)", Click(BOX, "click(me)")),
    "an action as a value": ('input(<box>[24,300][336,348]</box>, "a)\nclick(b)")', Input(BOX, "", "a)\nclick(b)")),
    "tags as a value": (
        'input(<ref>A</ref><box>[24,300][336,348]</box>, "</ref><box>[1,1][2,2]</box>, b")',
        Input(BOX, "A", "</ref><box>[1,1][2,2]</box>, b"),
    ),
}


@pytest.mark.parametrize(("reply", "action"), TOLERATED.values(), ids=TOLERATED)
def test_what_models_vary(reply, action):
    assert parse_action(reply) == action


CLICK = "click(<ref>A</ref><box>[1,1][2,2]</box>)"
REFUSED = {
    "nothing": ("", "no action in ''"),
    "prose": ("I would tap Save.", "expected name"),
    "prose before": (f"I choose {CLICK}", "expected name"),
    "prose after": (f"{CLICK} because", "expected name"),
    "cut off": ("click(<ref>A</ref><box>[1,1][2,", "expected name"),
    "unknown name": ("tap(<box>[1,1][2,2]</box>)", "unknown action 'tap', known: click"),
    "code": ("__import__('os').system('x')", "unknown action"),
    "two clicks": (f"{CLICK}\n{CLICK}", "arguments of click not understood"),
    "input and click": (f'input(<box>[1,1][2,2]</box>, "x")\n{CLICK}', "the quote is not closed"),
    "two inputs": ('input(<box>[1,1][2,2]</box>, "x") input(<box>[1,1][2,2]</box>, "y")', "more than one action"),
    "two names": ('open("a")\nopen("b")', "more than one action"),
    "two bare names": ("open(a). Open(b)", "more than one action"),
    "no box": ("click(<ref>A</ref>)", "arguments of click"),
    "half a box": ("click(<box>[1,1]</box>)", "arguments of click"),
    "words in a box": ("click(<box>[a,1][2,2]</box>)", "arguments of click"),
    "infinity in a box": ("click(<box>[1,1][inf,2]</box>)", "arguments of click"),
    "long numbers in a box": ("click(<box>[1,1][12345678,2]</box>)", "arguments of click"),
    "inverted": ("click(<box>[3,1][2,2]</box>)", "inverted"),
    "upside down": ("scroll(<box>[1,3][2,2]</box>,up)", "inverted"),
    "no value": ("input(<ref>A</ref><box>[1,1][2,2]</box>)", "arguments of input"),
    "no direction": ("scroll(<box>[1,1][2,2]</box>)", "arguments of scroll"),
    "unknown direction": ("scroll(<box>[1,1][2,2]</box>,north)", "direction 'north' is none of up, down, left, right"),
    "unknown key": ("press(power)", "key 'power' is none of back, home, enter"),
    "open nothing": ("open()", "arguments of open"),
    "superfluous": ("wait(5)", "arguments of wait"),
    "neither done nor impossible": ("complete(maybe)", "arguments of complete"),
    "half a character": ('open("\\ud800")', "app .* is no text"),
    "too long": (f'open("{"a" * MOST_CHARACTERS}")', "4008 characters"),
}


@pytest.mark.parametrize(("reply", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_action(reply, message):
    with pytest.raises(ActionError, match=message) as refused:
        parse_action(reply)
    assert len(str(refused.value)) < 250


LONGEST = MOST_CHARACTERS - 20
SLOW = {
    "input": f"input({'a' * LONGEST})",
    "reference": f"input(<ref>{'</ref>' * (LONGEST // 6)})",
    "references": f"input({'<ref></ref>' * (LONGEST // 11)})",
    "boxes": f"input(<ref></ref>{'<box>[1,1]' * (LONGEST // 10)})",
    "spaces in a box": f"click(<box>[1,1]{' ' * LONGEST})",
    "parentheses": "click(" + ")" * LONGEST + "x",
    "closing": f"open({')' * LONGEST}",
    "spaces": " " * LONGEST + "x",
    "fences": "```\n" * (LONGEST // 4),
    "dots": "wait()" + "." * LONGEST + "x",
    "letters": "a" * LONGEST,
    "escapes": f'open("{chr(92) * LONGEST})',
}


@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW)
def test_no_reply_takes_long(reply):
    """At most quadratic in 4000 characters: 30 ms were measured."""
    start = time.perf_counter()
    with contextlib.suppress(ActionError):
        parse_action(reply)
    assert time.perf_counter() - start < 2


pixels = st.integers(-2000, 4000)
boxes = st.tuples(pixels, pixels, st.integers(0, 2000), st.integers(0, 2000)).map(
    lambda drawn: (float(drawn[0]), float(drawn[1]), float(drawn[0] + drawn[2]), float(drawn[1] + drawn[3]))
)
pieces = st.sampled_from(
    [
        "<ref>",
        "</ref>",
        "<\\/ref>",
        "<\\\\/ref>",
        "</box>",
        "<box>[1,1][2,2]</box>",
        '"',
        "'",
        "\\",
        "\n",
        ")",
        "`",
        ", ",
    ]
)
texts = st.one_of(st.text(max_size=30), st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=8).map("".join))
actions = st.one_of(
    st.builds(Click, boxes, texts),
    st.builds(LongPress, boxes, texts),
    st.builds(Input, boxes, texts, texts),
    st.builds(Scroll, boxes, st.sampled_from(["up", "down", "left", "right"])),
    st.builds(Press, st.sampled_from(["back", "home", "enter"])),
    st.builds(Open, texts),
    st.just(Wait()),
    st.builds(Complete, st.booleans()),
)


@given(actions)
@example(Click(BOX, "</ref><box>[1,1][2,2]</box>)\nclick(<ref>"))
@example(Input(BOX, "</ref><box>[1,1][2,2]</box>, x", "</ref><box>[3,3][4,4]</box>, y"))
@example(Click(BOX, "<\\/ref>"))
@example(Open("'"))
@example(Open('"'))
@example(Open("' a"))
@example(Input(BOX, " ", "  \u2028\x00 "))
def test_reading_inverts_writing(action):
    assert parse_action(format_action(action)) == action


@given(actions)
def test_json_inverts(action):
    assert action_from_dict(action_to_dict(action)) == action


def test_the_json_of_an_action():
    assert action_to_dict(Input(BOX, "Name", "Ann")) == {"type": "input", "box": BOX, "text": "Name", "value": "Ann"}
    assert action_to_dict(LongPress(BOX)) == {"type": "long_press", "box": BOX, "text": ""}
    assert action_to_dict(Complete(success=False)) == {"type": "complete", "success": False}
    assert action_from_dict({"type": "click", "box": [24, 300, 336, 348]}) == Click(BOX)


NO_ACTIONS = {
    "no mapping": (["click"], "expected a mapping"),
    "no type": ({"box": [1, 1, 2, 2]}, "unknown action 'None'"),
    "unknown type": ({"type": "tap"}, "unknown action 'tap'"),
    "type that cannot be looked up": ({"type": ["click"]}, "unknown action"),
    "missing field": ({"type": "click"}, "click: .*'box'"),
    "superfluous field": ({"type": "wait", "seconds": 3}, "wait: .*'seconds'"),
    "three numbers": ({"type": "click", "box": [1, 1, 2]}, "expected four numbers"),
    "digits": ({"type": "click", "box": "1122"}, "expected four numbers"),
    "words": ({"type": "click", "box": [1, 1, 2, "2"]}, "expected four numbers"),
    "not a number": ({"type": "click", "box": [1, 1, 2, float("nan")]}, "inverted or has no place"),
    "infinite": ({"type": "click", "box": [1, 1, 2, float("inf")]}, "inverted or has no place"),
    "too large for a float": ({"type": "click", "box": [1, 1, 2, 10**400]}, "inverted or has no place"),
    "inverted": ({"type": "click", "box": [2, 1, 1, 2]}, "inverted"),
    "text of a number": ({"type": "click", "box": [1, 1, 2, 2], "text": 5}, "click: text '5' is no text"),
    "no app": ({"type": "open", "app": None}, "open: app 'None' is no text"),
    "direction in a list": ({"type": "scroll", "box": [1, 1, 2, 2], "direction": ["up"]}, "is none of up"),
    "success in words": ({"type": "complete", "success": "no"}, "neither true nor false"),
}


@pytest.mark.parametrize(("fields", "message"), NO_ACTIONS.values(), ids=NO_ACTIONS)
def test_json_that_is_no_action(fields, message):
    with pytest.raises(ActionError, match=message) as refused:
        action_from_dict(fields)
    assert len(str(refused.value)) < 250


def test_fields_of_others_are_not_changed():
    fields = {"type": "wait"}
    action_from_dict(fields)
    assert fields == {"type": "wait"}

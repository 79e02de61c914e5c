"""View hierarchies and raw actions: both dialects, what is refused, which element an action means."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from setaria.datasets_builders.gui.elements import (
    MOST_BYTES,
    MOST_DEPTH,
    Element,
    candidate_actions,
    find_element,
    read_elements,
)
from setaria.datasets_builders.gui.mobile3m_actions import (
    RawAction,
    raw_form,
    read_raw_action,
    swipe_ends,
    write_raw_action,
)
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Press, Scroll


APPIUM = """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>
<hierarchy index="0" class="hierarchy" rotation="0" width="720" height="1184">
  <android.widget.FrameLayout class="android.widget.FrameLayout" package="ctrip" clickable="false" displayed="true"
      bounds="[0,0][720,1184]">
    <android.widget.TextView class="android.widget.TextView" package="ctrip" text="Hotels&#10;here" content-desc=""
        resource-id="ctrip:id/title" clickable="false" displayed="true" bounds="[0,0][720,80]"/>
    <android.view.ViewGroup class="android.view.ViewGroup" clickable="true" displayed="true" bounds="[0,80][720,160]">
      <android.widget.ImageView class="android.widget.ImageView" package="ctrip" content-desc="Map" text=""
          clickable="false" displayed="true" bounds="[0,80][80,160]"/>
      <android.widget.ImageView class="android.widget.ImageView" content-desc="" text="" bounds="[80,80][160,160]"/>
      <android.widget.TextView class="android.widget.TextView" text="Hidden" displayed="false" bounds="[0,80][9,90]"/>
    </android.view.ViewGroup>
    <android.widget.EditText class="android.widget.EditText" text="" clickable="true" bounds="[0,160][720,240]"/>
    <androidx.recyclerview.widget.RecyclerView class="androidx.recyclerview.widget.RecyclerView" content-desc="List"
        package="ctrip" scrollable="true" clickable="false" displayed="true" bounds="[0,240][720,1184]">
      <android.widget.Button class="android.widget.Button" text="" clickable="true" bounds="[0,240][720,320]"/>
    </androidx.recyclerview.widget.RecyclerView>
  </android.widget.FrameLayout>
</hierarchy>"""


def test_appium():
    title, picture, box, container, button = read_elements(APPIUM)
    assert title == Element(
        (0, 0, 720, 80), "Hotelshere", "", "ctrip:id/title", "ctrip", "android.widget.TextView", clickable=False
    )
    # A leaf without a name is left out unless it is a button or an input box; clickable is inherited.
    assert picture == Element((0, 80, 80, 160), "", "Map", "", "ctrip", "android.widget.ImageView", clickable=True)
    assert (box.tag, box.name, box.clickable) == ("input", "", True)
    assert (container.tag, container.scrollable, container.clickable) == ("div", True, False)
    assert (button.tag, button.name) == ("button", "")


def test_lines_of_html():
    title, picture, box, container, _ = (element.html for element in read_elements(APPIUM))
    assert title == (
        '<p id="ctrip:id/title" package="ctrip" class="android.widget.TextView" clickable="false" '
        'bounds="[0,0][720,80]"> Hotelshere </p>'
    )
    assert picture == (
        '<img package="ctrip" class="android.widget.ImageView" description="Map" clickable="true" '
        'bounds="[0,80][80,160]">  </img>'
    )
    assert box == '<input class="android.widget.EditText" clickable="true" bounds="[0,160][720,240]">  </input>'
    assert container == (
        '<div class="androidx.recyclerview.widget.RecyclerView" descript  ion="List" clickable="false" '
        'scrollable="true" bounds="[0,240][720,1184]">  </div>'
    )


def test_uiautomator():
    elements = read_elements(
        """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation="0">
        <node index="0" text="" class="android.widget.LinearLayout" clickable="true" bounds="[0,0][1080,200]">
          <node index="0" text="Network" class="android.widget.TextView" clickable="false" bounds="[10,-20][500,90]"/>
          <node index="1" text="" class="android.widget.ImageButton" content-desc="More" bounds="[900,0][1080,90]"/>
        </node></hierarchy>"""
    )
    assert [(one.tag, one.name, one.clickable, one.box) for one in elements] == [
        ("p", "Network", True, (10, -20, 500, 90)),
        ("button", "More", True, (900, 0, 1080, 90)),
    ]


TAGS = {
    "android.widget.ImageButton": "button",  # "Button" comes before "Image"
    "android.widget.ImageView": "img",
    "com.app.IconView": "img",
    "android.widget.Image": "img",
    "com.android.internal.view.menu.ActionMenuItemView": "button",
    "android.widget.EditText": "input",
    "android.widget.TextView": "p",
    "android.widget.CheckedTextView": "p",
    "android.view.View": "div",
    "": "div",
}


@pytest.mark.parametrize(("class_name", "tag"), TAGS.items(), ids=TAGS)
def test_tag_of_a_class(class_name, tag):
    assert Element((0, 0, 1, 1), class_name=class_name).tag == tag


BILLION_LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a text="&c;&c;&c;"/>'
NO_HIERARCHIES = {
    "empty": ("", "no view hierarchy"),
    "no xml": ("adb: no devices", "no view hierarchy"),
    "cut off": ("<hierarchy><node", "no view hierarchy"),
    "entities": (BILLION_LAUGHS, "DTDForbidden"),
    "a file": ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a text="x">&b;</a>', "DTDForbidden"),
    "bare doctype": ("<!DOCTYPE a><a/>", "DTDForbidden"),
    "unknown entity": ('<a text="&b;"/>', "no view hierarchy"),
    "null byte": ('<a text="\0"/>', "no view hierarchy"),
    "half a character": ('<a text="\ud800"/>', "surrogates"),
    "too deep": ("<a>" * (MOST_DEPTH + 2) + "</a>" * (MOST_DEPTH + 2), "deeper than 200"),
    "very deep": ("<a>" * 100_000 + "</a>" * 100_000, "deeper than 200"),
    "too large": (" " * (MOST_BYTES + 1), "8000001 characters"),
    "no bounds": ('<a bounds=""/>', r"bounds='' of <a> is not \[x1,y1\]\[x2,y2\]"),
    "half of the bounds": ('<a bounds="[0,0]"/>', "bounds="),
    "bounds in words": ('<a bounds="[a,0][1,1]"/>', "bounds="),
    "bounds of fractions": ('<a bounds="[0.5,0][1,1]"/>', "bounds="),
    "bounds of long numbers": ('<a bounds="[0,0][12345678,1]"/>', "bounds="),
    "long bounds": (f'<a bounds="{"1" * 100_000}"/>', "bounds="),
}


@pytest.mark.parametrize(("xml", "message"), NO_HIERARCHIES.values(), ids=NO_HIERARCHIES)
def test_refused(xml, message):
    with pytest.raises(ValueError, match=message) as refused:
        read_elements(xml)
    assert len(str(refused.value)) < 250


def test_as_deep_as_allowed():
    deep = "<a>" * MOST_DEPTH + '<a text="x" bounds="[0,0][1,1]"/>' + "</a>" * MOST_DEPTH
    assert [element.text for element in read_elements(deep)] == ["x"]


def test_what_has_no_bounds_is_left_out_and_its_children_are_not():
    assert [one.text for one in read_elements('<a text="a"><b text="b" bounds="[0,0][1,1]"/></a>')] == ["b"]


def element(name, box, **fields):
    return Element(box, name, **({"class_name": "TextView", "clickable": True} | fields))


LIST = element("", (0, 100, 100, 400), class_name="ListView", scrollable=True, clickable=False)
CARD = element("Card", (0, 100, 100, 200))
ICON = element("Icon", (10, 110, 30, 130), class_name="ImageView")
LABEL = element("Label", (0, 0, 100, 50), clickable=False)
FIELD = element("Field", (0, 50, 100, 100), class_name="EditText")
SCREEN = [LABEL, FIELD, LIST, CARD, ICON]


def test_candidate_actions():
    hidden = [element("Flat", (0, 0, 0, 50)), element("Inverted", (50, 50, 20, 20)), element("", (0, 0, 9, 9))]
    assert candidate_actions([*SCREEN, *hidden]) == [
        Click((0, 50, 100, 100), "Field"),
        Input((0, 50, 100, 100), "Field", ""),
        *(Scroll((0, 100, 100, 400), direction) for direction in ("up", "down", "left", "right")),
        Click((0, 100, 100, 200), "Card"),
        Click((10, 110, 30, 130), "Icon"),
    ]


FOUND = {
    "same box": (Click((0, 100, 100, 200), "Card"), CARD),
    "wrong text in the same box": (Click((0, 100, 100, 200), "Icon"), CARD),
    "most of the box": (Click((0, 100, 100, 180), "?"), CARD),  # 80 of 100 rows
    "half of the box": (Click((0, 100, 100, 150), "?"), CARD),  # IoU is .5
    "less than half of the box": (Click((0, 100, 100, 149), "?"), None),
    "text elsewhere": (Click((500, 500, 600, 600), "Card"), CARD),
    "no text elsewhere": (Click((500, 500, 600, 600)), None),
    "point in one": (Click((90, 190, 90, 190)), CARD),
    "point in two, the smaller one": (Click((20, 120, 20, 120)), ICON),
    "point in none": (Click((500, 500, 500, 500), "Card"), None),
    "point on the right edge": (Click((100, 150, 100, 150)), None),
    "not clickable": (Click((0, 0, 100, 50), "Label"), None),
    "not clickable, pressed long": (LongPress((0, 0, 100, 50), "Label"), LABEL),
    "input": (Input((0, 50, 100, 100), "Field", "x"), FIELD),
    "input elsewhere": (Input((0, 100, 100, 200), "Card", "x"), None),
    "scroll": (Scroll((0, 100, 100, 400), "up"), LIST),
    "scroll of what does not": (Scroll((0, 50, 100, 100), "up"), None),
    "point in a container": (Scroll((50, 300, 50, 300), "up"), LIST),
    "key": (Press("back"), None),
    "complete": (Complete(), None),
}


@pytest.mark.parametrize(("action", "found"), FOUND.values(), ids=FOUND)
def test_find_element(action, found):
    assert find_element(SCREEN, action) == found


def test_of_elements_at_one_place_the_one_with_the_text_is_meant():
    below, above = element("Below", (0, 0, 100, 100)), element("Above", (0, 0, 100, 90))
    for box in ((0, 0, 100, 100), (0, 0, 100, 90)):
        assert find_element([below, above], Click(box, "Above")) == above
        assert find_element([below, above], Click(box, "Below")) == below
    assert find_element([below, above], Click((0, 0, 100, 90), "?")) == above


def test_a_text_that_two_elements_have_names_neither():
    twins = [element("Add", (0, 0, 50, 50)), element("Add", (0, 50, 50, 100))]
    assert find_element(twins, Click((500, 500, 600, 600), "Add")) is None
    assert find_element(twins, Click((0, 50, 50, 100), "Add")) == twins[1]


@pytest.mark.parametrize("box", [(50.0, 50.0, 20.0, 20.0), (0.0, 0.0, 0.0, 50.0)], ids=["inverted", "flat"])
def test_what_cannot_be_touched_is_not_found(box):
    assert find_element([element("Gone", box)], Click((0, 0, 100, 100), "Gone")) is None


def test_raw_strings():
    field = Element((0, 50, 100, 100), "Field", id="a:id/f", package="a", class_name="EditText", clickable=True)
    line = '<input id="a:id/f" package="a" class="EditText" clickable="true" bounds="[0,50][100,100]"> Field </input>'
    assert write_raw_action(Click(field.box, "Field"), field) == f"click({line})"
    assert write_raw_action(Input(field.box, "Field", "Ann"), field) == f"input({line}, 'Ann')"
    # middle (50, 250), a quarter of 300 is 75
    assert write_raw_action(Scroll(LIST.box, "up"), LIST) == "scroll(([50, 325], [50, 175]))"
    for action in (Press("back"), Complete(), LongPress(field.box)):
        with pytest.raises(ValueError, match="no action of Mobile3M"):
            write_raw_action(action, field)


def test_both_generations_of_lines_name_one_element():
    late = read_raw_action(
        'click(<p id="a" package="b" class="c" description="d" clickable="true" bounds="[0,0][9,9]"> e </p>)'
    )
    early = read_raw_action('click(<p id="a" package="b" class="c" description="d" clickable="true"> e </p>)')
    assert early == late == RawAction("click", ("a", "e", "c", "d"))
    assert read_raw_action('click(<div class="c" descript  ion="d" scrollable="true">  </div>)').element == (
        "",
        "",
        "c",
        "d",
    )
    assert read_raw_action("click(<p > e </p>)").element == ("", "e", "", "")


SWIPES = {
    # Sides of 101 x 403: a quarter is 25 and 100 (floor); the middle is (50, 301).
    "up": (50, 401, 50, 201),
    "down": (50, 201, 50, 401),
    "left": (75, 301, 25, 301),
    "right": (25, 301, 75, 301),
}


@pytest.mark.parametrize(("direction", "ends"), SWIPES.items(), ids=SWIPES)
def test_swipe_over_odd_sides(direction, ends):
    assert swipe_ends((0, 100, 101, 503), direction) == ends


def test_swipes_of_a_container_that_starts_off_the_screen():
    shifted = element("", (-100, -50, 40, 100), scrollable=True)  # middle (-30, 25), quarters 35 and 37
    assert raw_form(Scroll(shifted.box, "left"), shifted) == RawAction("scroll", swipe=(5, 25, -65, 25))


def test_a_flat_container_has_swipes_without_length():
    assert swipe_ends((0, 0, 3, 2), "left") == (1, 1, 1, 1)


NO_RAW_ACTIONS = [
    "",
    "click",
    "click()",
    "click(Save)",
    "press(<p > a </p>)",
    "click(<p > a </p>",
    "click(<p > a </div>)",
    "click(<p > a </p>x",
    "click(<p > a </p>, 'b')",
    "input(<input > a </input>)",
    "input(<input > a </input>, b)",
    "input(<input > a </input>, 'b'",
    "scroll([1, 2], [3, 4])",
    "scroll(([1, 2], [3, 4]))x",
    "scroll(([1, 2], [3, 99999999999]))",
    "scroll((['a', 2], [3, 4]))",
]


@pytest.mark.parametrize("raw", NO_RAW_ACTIONS)
def test_no_raw_action(raw):
    with pytest.raises(ValueError, match="no action of Mobile3M"):
        read_raw_action(raw)


pieces = st.sampled_from(
    [
        "</p>",
        " </input>, '",
        '"> ',
        '" class="x',
        "', 'b",
        ", ",
        ")",
        '"',
        "<",
        ">",
        "'",
        'id="',
        "descript  ion",
        "\n",
        "安",
    ]
)
awkward = st.lists(st.one_of(pieces, st.text(max_size=2)), max_size=6).map("".join)


@given(text=awkward, description=awkward, identifier=awkward, value=awkward, scrollable=st.booleans())
def test_no_text_makes_a_raw_string_unreadable(text, description, identifier, value, scrollable):
    one = Element((0, 0, 9, 9), text, description, identifier, "p", "EditText", True, scrollable)
    for action in (Click(one.box, text), Input(one.box, text, value), Scroll(one.box, "up")):
        raw = write_raw_action(action, one)
        assert raw_form(action, one) == read_raw_action(raw)
        assert read_raw_action(raw).kind == raw.partition("(")[0]


plain = st.text(st.sampled_from("ab <>,')(/安\n=:_ "), max_size=12)


@given(text=plain, description=plain, identifier=plain, value=plain)
@example(text="", description="", identifier="> ", value="")
def test_texts_without_double_quotes_are_read_as_they_were(text, description, identifier, value):
    one = Element((0, 0, 9, 9), text, description, identifier, "p", "EditText", True)
    assert raw_form(Click(one.box), one).element == (identifier, text, "EditText", description)
    if " </input>, '" not in text:
        typed = raw_form(Input(one.box, text, value), one)
        assert (typed.element, typed.value) == ((identifier, text, "EditText", description), value)


MANY = 30_000
LONG = {
    "ends of attributes": "click(<p " + '"> ' * MANY + ")",
    "closing tags": 'click(<p "> ' + " </p" * MANY + ")",
    "attributes": "click(<p " + ' id="' * MANY + '"> x </p>)',
    "words": "click(<p " + "a " * MANY + '"> x </p>)',
    "values": 'input(<p "> ' + " </p>, '" * MANY + ")",
    "tags": "click(<" + "p" * MANY + "> x </p>)",
    "names": "click(<p " + "a" * MANY + '"> x </p>)',
}


@pytest.mark.parametrize("raw", LONG.values(), ids=LONG)
def test_no_raw_string_takes_long(raw):
    start = time.perf_counter()
    try:
        read_raw_action(raw)
    except ValueError as error:
        assert len(str(error)) < 200
    assert time.perf_counter() - start < 1

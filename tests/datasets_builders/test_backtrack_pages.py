"""Pages: when two are the same one, and that nothing is read before it is looked at."""

import numpy as np
import pytest
from PIL import Image

from setaria.datasets_builders.gui import pages as pages_module
from setaria.datasets_builders.gui.drawing import COLOUR, draw_action
from setaria.datasets_builders.gui.pages import Page, line_overlap, pixel_difference, same_page
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Press, Scroll


SIZE = (20, 10)


def page(texts="", changed=0, size=SIZE):
    """A black page with one label per letter; the first `changed` of its 200 pixels are white."""
    labels = "".join(f'<TextView class="TextView" text="{text}" bounds="[0,0][9,9]"/>' for text in texts)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels.reshape(-1, 3)[:changed] = 255
    return Page(texts, Image.fromarray(pixels), f"<hierarchy>{labels}</hierarchy>" if texts else "")


SAME = {
    # lines of one, of the other, changed pixels of 200: overlap of lines, difference of pixels, same page
    "equal": ("abcd", "abcd", 0, 1.0, 0.0, True),
    "order and repetition do not count": ("abcd", "dcbaa", 0, 1.0, 0.0, True),
    "another label": ("abcd", "abcx", 0, 3 / 5, 0.0, True),
    "two other labels": ("abcd", "abxy", 0, 2 / 6, 0.0, False),
    "half of the lines": ("ab", "a", 0, 1 / 2, 0.0, False),
    "no line": ("abcd", "", 0, 0.0, 0.0, False),
    "just few enough pixels": ("abcd", "abcd", 59, 1.0, 0.295, True),
    "too many pixels": ("abcd", "abcd", 60, 1.0, 0.3, False),
    "both at the limit": ("abcd", "abcx", 59, 3 / 5, 0.295, True),
    "all pixels": ("abcd", "abcd", 200, 1.0, 1.0, False),
    "no hierarchy, few pixels": ("", "", 59, 1.0, 0.295, True),
    "no hierarchy, many pixels": ("", "", 60, 1.0, 0.3, False),
}


@pytest.mark.parametrize(("one", "other", "changed", "overlap", "difference", "same"), SAME.values(), ids=SAME)
def test_both_halves_of_the_rule(one, other, changed, overlap, difference, same):
    a, b = page(one), page(other, changed)
    assert line_overlap(a, b) == line_overlap(b, a) == pytest.approx(overlap)
    assert pixel_difference(a, b) == pixel_difference(b, a) == pytest.approx(difference)
    assert same_page(a, b) is same_page(b, a) is same


def test_pixels_are_compared_by_channel():
    black, red = Image.new("RGB", SIZE), Image.new("RGB", SIZE, "red")
    assert pixel_difference(Page("a", black), Page("b", red)) == pytest.approx(1 / 3)


def test_a_faint_change_counts_as_much_as_a_strong_one():
    assert pixel_difference(Page("a", Image.new("RGB", SIZE)), Page("b", Image.new("RGB", SIZE, (1, 1, 1)))) == 1.0


@pytest.mark.parametrize("size", [(10, 20), (20, 11), (1, 1)], ids=str)
def test_pages_of_other_sizes_differ(size):
    assert pixel_difference(page("abcd"), page("abcd", size=size)) == 1.0
    assert not same_page(page("abcd"), page("abcd", size=size))


def test_transparency_is_dropped():
    clear = Page("a", Image.new("RGBA", SIZE, (10, 20, 30, 0)))
    assert clear.image.mode == "RGB"
    assert same_page(clear, Page("b", Image.new("RGB", SIZE, (10, 20, 30))))


def test_a_page_is_the_same_as_itself_without_a_look_at_it(tmp_path):
    absent = Page("a", tmp_path / "absent.png", "no xml")
    assert same_page(absent, absent)


def test_nothing_is_read_before_it_is_looked_at(tmp_path):
    file = tmp_path / "later.png"
    lazy = Page("a", file, "<a")
    Image.new("RGB", SIZE, "blue").save(file)
    assert lazy.size == SIZE
    file.unlink()
    assert lazy.image.getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(ValueError, match="xml of page a: no view hierarchy"):
        lazy.elements  # noqa: B018


def test_a_page_without_hierarchy():
    bare = Page("a", Image.new("RGB", SIZE))
    assert (bare.elements, bare.html, bare.actions) == ([], [], [])


def test_lines_and_candidates_come_from_the_hierarchy():
    one = Page("a", Image.new("RGB", SIZE), '<Button text="Go" clickable="true" bounds="[0,0][9,9]"/>')
    assert one.html == ['<button class="Button" clickable="true" bounds="[0,0][9,9]"> Go </button>']
    assert one.actions == [Click((0, 0, 9, 9), "Go")]


def png(tmp_path):
    file = tmp_path / "whole.png"
    Image.effect_noise((50, 50), 99).save(file)
    return file.read_bytes()


BROKEN = {
    "absent": lambda folder: None,
    "empty": lambda folder: b"",
    "text": lambda folder: b"not an image",
    "cut off": lambda folder: png(folder)[:-500],
    "only a head": lambda folder: png(folder)[:40],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_screenshot_is_named(tmp_path, content):
    file = tmp_path / "a-screen.png"
    if (written := content(tmp_path)) is not None:
        file.write_bytes(written)
    with pytest.raises(ValueError, match=r"a-screen\.png: no screenshot"):
        Page("a", file).image  # noqa: B018


def test_a_screenshot_of_too_many_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(pages_module, "MOST_PIXELS", 199)
    file = tmp_path / "a-screen.png"
    Image.new("RGB", SIZE).save(file)
    with pytest.raises(ValueError, match=r"a-screen\.png: .*\(20, 10\) pixels, at most 199"):
        Page("a", file).image  # noqa: B018


def test_a_decompression_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # twice that raises
    file = tmp_path / "a-screen.png"
    Image.new("RGB", SIZE).save(file)
    with pytest.raises(ValueError, match=r"a-screen\.png: no screenshot"):
        Page("a", file).image  # noqa: B018


TOUCHING = [
    Click((10, 10, 60, 40), "a"),
    Click((30, 30, 30, 30)),
    LongPress((-50, -50, 150, 150)),
    Input((10, 10, 60, 40), "a", "two\nlines 北京"),
    Scroll((0, 0, 100, 100), "up"),
    Scroll((0, 0, 3, 3), "left"),
]


@pytest.mark.parametrize("action", TOUCHING, ids=str)
def test_a_simulated_outcome_shows_the_touch_and_leaves_the_page_alone(action):
    before = Page("a", Image.new("RGB", (100, 100)), "<a/>")
    simulated = draw_action(before, action)
    assert before.image.getcolors() == [(10_000, (0, 0, 0))]
    assert (255, 0, 255) in [colour for _, colour in simulated.image.getcolors(10_000)]
    assert COLOUR == "#ff00ff"
    assert (simulated.id, simulated.size, simulated.xml) == ("a simulated", before.size, before.xml)


@pytest.mark.parametrize("action", [Press("back"), Complete()], ids=str)
def test_a_simulated_outcome_of_what_touches_nothing_is_the_page(action):
    before = page("ab", changed=7)
    assert same_page(draw_action(before, action), before)
    assert pixel_difference(draw_action(before, action), before) == 0


def test_where_it_is_drawn():
    black = Page("a", Image.new("RGB", (100, 100)))
    pink = (255, 0, 255)
    clicked = draw_action(black, Click((10, 20, 60, 40))).image
    assert [clicked.getpixel(at) for at in ((10, 20), (60, 40), (35, 30), (5, 5))] == [pink, pink, pink, (0, 0, 0)]
    # a swipe up over 100 x 100 goes from (50, 75) to (50, 25), where it ends in a dot of radius 4
    swiped = draw_action(black, Scroll((0, 0, 100, 100), "up")).image
    assert [swiped.getpixel((50, y)) for y in (22, 50, 74, 80)] == [pink, pink, pink, (0, 0, 0)]
    assert swiped.getpixel((53, 25)) == pink
    assert swiped.getpixel((54, 74)) == (0, 0, 0)

"""Text of HTML pages by the built-in way."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.page_text import decoded, text_of, title_of


PAGE = """<!DOCTYPE html>
<html><head><title>Mirolda Vex
 &amp; band</title><style>p { color: red }</style><script>if (a < b) document.write("<p>no</p>")</script></head>
<body onload="go()"><!-- <p>not shown</p> --><h1>Mirolda <b>V</b>ex</h1>
<p>A singer from   Sankt&nbsp;Olm,
born 1 &lt; 2.<br>Plays the <em>zirk</em>.</p><ul><li>One<li>Two</ul><SCRIPT>x</SCRIPT
>end &copy; <3 a < b</body></html>"""


def test_a_page():
    assert title_of(PAGE) == "Mirolda Vex & band"
    assert text_of(PAGE).split("\n") == [
        "Mirolda Vex",
        "A singer from Sankt Olm, born 1 < 2.",
        "Plays the zirk.",
        "One",
        "Two",
        "end \u00a9 <3 a < b",
    ]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("", ""),
        ("no tags", "no tags"),
        ("a<!-- b", "a"),
        ("a<script>b", "a"),
        ("a<p", "a"),
        ("a<?php b ?>c<![CDATA[d]]>e</ f>g", "aceg"),
        ("<titlebar>a</titlebar>b", "a\nb"),
        ("&lt;script&gt;a&lt;/script&gt;", "<script>a</script>"),
        ("a<", "a<"),
    ],
)
def test_odd_pages(page, text):
    assert text_of(page) == text
    assert title_of(page) == ""


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("Zo\u00eb".encode(), None, "Zo\u00eb"),
        ("Zo\u00eb".encode("cp1252"), "windows-1252", "Zo\u00eb"),
        (b'<META http-equiv=x content="text/html; charset=iso-8859-1">Zo\xeb', None, None),
        ("Zo\u00eb".encode("utf-8-sig"), "cp1252", "Zo\u00eb"),  # the mark says more than the header
        ("Zo\u00eb".encode("utf-16"), None, "Zo\u00eb"),
        ("\u65e5\u672c".encode("shift_jis"), "Shift_JIS", "\u65e5\u672c"),
        ("\u65e5\u672c".encode("euc_jp"), "EUC-JP", "\u65e5\u672c"),
        (b"Zo\xeb", None, "Zo\ufffd"),
        (b"abc", "no-such", "abc"),
        (b"abc", "\u00e9\x00", "abc"),
        (b"616263", "hex", "616263"),  # no encoding of text
        (b"abc", "unicode_escape", "abc"),
        (b"xn--a", "idna", "xn--a"),
    ],
)
def test_encodings(content, charset, text):
    assert decoded(content, charset) == (text or content.decode("cp1252"))


PIECES = st.sampled_from(
    ["<", ">", "</", "<!--", "-->", "<script", "<p ", "<title>", "&lt;", "&#", '"', "a", " ", "\n"]
)


@given(st.lists(PIECES).map("".join) | st.text())
def test_any_page_gives_lines(page):
    lines = text_of(page).splitlines()
    assert all(line == line.strip() != "" for line in lines)
    assert "\n" not in title_of(page)


@given(st.binary(), st.none() | st.text())
def test_any_bytes_are_decoded(content, charset):
    assert isinstance(decoded(content, charset), str)


@pytest.mark.parametrize("unit", ["<a ", "<!--", '<a b="', "<script>", "</script ", "<title", "&#", "<"])
def test_unclosed_tags_take_no_time(unit):
    page = unit * (200_000 // len(unit))
    start = time.process_time()
    text_of(page)
    title_of(page)
    decoded(page.encode(), None)
    assert time.process_time() - start < 2  # html.parser of Python 3.11 takes 12 s for 30,000 bytes of "<a "

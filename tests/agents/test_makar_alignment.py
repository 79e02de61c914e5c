"""Names that a model wrote, at their tokens: exact, unescaped, without spaces, n-th occurrence."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.alignment import align


@pytest.mark.parametrize(
    ("names", "tweet", "places"),
    [
        (["Lena Okoye", "Brno"], "Lena Okoye in Brno", [(0, 2), (3, 4)]),
        (["Lena  Okoye\n"], "Lena Okoye", [(0, 2)]),
        (["Mux & Vex"], "Mux &amp Vex", [(0, 3)]),
        (["Mux &amp; Vex"], "Mux &amp Vex", [(0, 3)]),
        (["AT&T"], "AT&ampT", [(0, 1)]),
        (["@daily_pics"], "via @ daily_pics", [(1, 3)]),
        (["http://t.co/x7Kq2"], "http://t. co/x7Kq2", [(0, 2)]),
        (["Okoye's"], "Lena Okoye 's", [(1, 3)]),
        (["LenaOkoye"], "Lena Okoye", [(0, 2)]),
        (["Lena Okoye"], "#LenaOkoye LenaOkoye", [(1, 2)]),
        (["\U0001f3a4"], "go \U0001f3a4", [(1, 2)]),
        # the n-th time it is written, the n-th occurrence
        (["Brno", "Brno"], "Brno or Brno", [(0, 1), (2, 3)]),
        (["Brno", "Brno", "Brno"], "Brno or Brno", [(0, 1), (2, 3), None]),
        (["Brno"], "Br no Brno", [(2, 3)]),  # the exact one first, although it comes second
        (["Brno", "Brno"], "Br no Brno", [(2, 3), (0, 2)]),
        # longer names choose first
        (["New York", "New York Times"], "New York Times in New York", [(4, 6), (0, 3)]),
        (["New York", "New York Times"], "New York Times", [None, (0, 3)]),
        # what does not occur
        (["Mars"], "Lena Okoye", [None]),
        (["Oko"], "Lena Okoye", [None]),
        (["US"], "between us", [None]),
        (["", "  "], "Lena", [None, None]),
        (["Lena"], "", [None]),
        ([], "Lena", []),
    ],
)
def test_names_at_their_tokens(names, tweet, places):
    assert align(names, tweet.split()) == places


TOKENS = st.lists(st.sampled_from(["a", "b", "ab", "&amp", "&", "a b", "\u2028", "ba", "\U0001f3a4"]), max_size=8)


@given(TOKENS, st.lists(st.text("ab &\u2028;", max_size=5), max_size=6))
def test_places_are_the_names_and_do_not_overlap(tokens, names):
    places = align(names, tokens)
    used = [position for place in places if place for position in range(*place)]
    assert len(set(used)) == len(used)
    for name, place in zip(names, places, strict=True):
        if place:
            assert 0 <= place[0] < place[1] <= len(tokens)
            written = html.unescape("".join(map(html.unescape, tokens[slice(*place)])))
            assert "".join(written.split()) == "".join(html.unescape(name).split())


@given(st.lists(st.sampled_from(["Brno", "Lena", "&amp", "@"]), min_size=1, max_size=8), st.data())
def test_every_run_of_tokens_is_found(tokens, data):
    start = data.draw(st.integers(0, len(tokens) - 1))
    end = data.draw(st.integers(start + 1, len(tokens)))
    (place,) = align([" ".join(tokens[start:end])], tokens)
    assert tokens[slice(*place)] == tokens[start:end] and place[0] <= start

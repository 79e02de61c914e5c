"""What all searches share: queries, hits from outside, and manners towards servers."""

import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.exchange import Refused, TryAgain
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import PLAIN_MARKS, Hit, is_web_address, normal_query, plain_words, web_hit


def test_queries_get_single_spaces_and_an_end():
    assert normal_query("  Mirolda \n Vex\t", 1) == "Mirolda Vex"
    assert normal_query("a" * 600, 1) == "a" * 500


@pytest.mark.parametrize(("query", "count", "message"), [("Vex", 0, "count=0"), (" \n", 3, "query=.*blank")])
def test_queries_are_checked(query, count, message):
    with pytest.raises(ValueError, match=message):
        normal_query(query, count)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("!!g Vex :en", "g Vex en"),  # SearXNG: leave for Google; set the language
        ('site:x.example "Vex" -team', "site x.example Vex team"),
        ("RT @vex_band: live in St. Olm &amp more #NoTour \U0001f3b8", "RT vex band live in St. Olm more NoTour"),
        ("O'Dell & Sons' AC/DC C++", "O'Dell Sons' AC DC C++"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),  # vowel signs stay in words
        ("\U0001f3b8 !!! --", ""),
        ("half \ud83d of a pair", "half of a pair"),
    ],
)
def test_plain_words(query, words):
    assert plain_words(query) == words


def test_hits_from_outside_are_lines_of_text():
    before = datetime.now(UTC).date().isoformat()
    hit = web_hit(" A\n title\ud83d ", "https://a.example/x?y=1", "s" * 3000, None)
    assert hit in {
        Hit("A title?", "https://a.example/x?y=1", "s" * 2000, "", date)
        for date in (before, datetime.now(UTC).date().isoformat())
    }


@pytest.mark.parametrize(
    "url",
    [None, 7, "", "ftp://a.example/", "javascript:alert(1)", "magnet:?xt=1", "//a.example/", "http://", "http:///x",
     "http://[::1", "http://a.example/a b", "http://a.example/\n", "http://a.example/" + "x" * 2000],
)  # fmt: skip
def test_only_pages_of_the_web_are_hits(url):
    assert web_hit("title", url, "snippet", "engine") is None


@given(st.text())
def test_any_text_is_judged(text):
    assert isinstance(is_web_address(text), bool)
    assert not any(word.startswith(tuple(PLAIN_MARKS)) for word in plain_words(text).split(" "))


@pytest.fixture
def clock(monkeypatch):
    """Seconds slept; the clock goes on by sleeping only."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 100 + sum(slept))
    return slept


def test_hosts_are_asked_with_a_gap(clock):
    polite = Polite(gap=2.0)
    for host in ("a.example", "b.example", "a.example", "a.example"):
        polite.turn(host)
    assert clock == [2, 2]


def test_threads_queue_for_a_host(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)  # nobody's waiting is over before the others come
    polite = Polite(gap=1.0)
    threads = [threading.Thread(target=polite.turn, args=("a.example",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slept) == [1, 2, 3]


def test_waits_double_with_seeded_jitter(clock):
    def waits(seed):
        clock.clear()
        failures = iter([TryAgain("busy"), TryAgain("busy", wait=5.0), TryAgain("busy", wait=900.0)])

        def once():
            for failure in failures:
                raise failure
            return "answer"

        assert Polite(retries=3, first_wait=1.0, longest_wait=60.0, seed=seed).ask(once) == "answer"
        return list(clock)

    first, second, third = waits(0)
    assert 0.5 <= first <= 1  # 1 s, shortened by up to a half
    assert 6 <= second <= 7  # what the server asks for, and 2 s shortened
    assert third == 60
    assert waits(0) == [first, second, third] != waits(1)


def test_retries_end(clock):
    def once():
        raise TryAgain("busy")

    with pytest.raises(Refused, match=r"^busy; attempts: 3$"):
        Polite(retries=2).ask(once)
    assert len(clock) == 2


@pytest.mark.parametrize("field", ["timeout", "retries", "first_wait", "longest_wait", "gap"])
def test_fields_are_checked(field):
    with pytest.raises(ValueError, match=f"{field}=-1: at least"):
        Polite(**{field: -1})

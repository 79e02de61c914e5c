"""A search engine that is down and pages that are broken are not asked for ever."""

import pytest

from setaria.agents.makar.patience import Patience, TriedOnce
from setaria.agents.makar.recorded_search import RecordingSearch
from setaria.agents.makar.search import Hit, PageError, SearchDown, WebPage


HIT = Hit("Brno", "https://pages.example/brno", "a city", "e")


class Engine:
    """Fails for queries that begin with `down`."""

    def __init__(self):
        self.asked = []

    def search(self, query, count):
        self.asked.append(query)
        if query.startswith("down"):
            raise SearchDown("no answer; attempts: 3")
        return [HIT][:count]


def fail(search, query):
    with pytest.raises(SearchDown) as failure:
        search.search(query, 1)
    return str(failure.value)


def test_it_gives_up_after_failures_in_a_row():
    engine = Engine()
    search = Patience(engine, 2)
    assert fail(search, "down 1") == "no answer; attempts: 3"
    assert search.search("up", 1) == [HIT]  # which counts the failures from 0 again
    assert [fail(search, f"down {number}") for number in (2, 3)] == ["no answer; attempts: 3"] * 2
    assert fail(search, "up") == "not asked, after 2 failures in a row"
    assert engine.asked == ["down 1", "up", "down 2", "down 3"]


def test_what_is_recorded_is_still_found(tmp_path):
    search = RecordingSearch(Patience(Engine(), 1), tmp_path / "searches.jsonl")
    assert search.search("up", 1) == [HIT]
    fail(search, "down")
    assert search.search("up", 1) == [HIT]
    assert "not asked" in fail(search, "new")


def test_no_patience_at_all():
    with pytest.raises(ValueError, match="most=0: at least 1"):
        Patience(Engine(), 0)


class Reader:
    """Fails for addresses that end with `broken`."""

    def __init__(self):
        self.asked = []

    def page(self, url):
        self.asked.append(url)
        if url.endswith("broken"):
            raise PageError(f"{url}: status 500")
        return WebPage("t", url, "text")


def test_a_broken_page_is_asked_for_once():
    reader = Reader()
    pages = TriedOnce(reader)
    for _ in range(2):
        with pytest.raises(PageError, match=r"x\.example/broken: status 500"):
            pages.page("https://x.example/broken")
        assert pages.page("https://x.example/whole").text == "text"
    assert reader.asked == ["https://x.example/broken", *["https://x.example/whole"] * 2]

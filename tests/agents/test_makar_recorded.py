"""Searches and pages from files that runs leave behind, whole or cut."""

import json
import threading
import warnings
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.json_lines import GrowingFile, read_lines
from setaria.agents.makar.recorded_pages import RecordedPages, RecordingPages
from setaria.agents.makar.recorded_search import RecordedSearch, RecordingSearch, read_recorded
from setaria.agents.makar.search import Hit, PageError, SearchDown, WebPage


HITS = [Hit(f"Title {n}", f"https://{n}.example/", f"Zo\u00eb {n}\u2028", "mojeek", "2025-11-04") for n in range(4)]


class Engine:
    """Finds at most `most` hits and counts how often it is asked."""

    def __init__(self, most=4):
        self.most, self.asked = most, []

    def search(self, query, count):
        self.asked.append((query, count))
        if query == "down":
            raise SearchDown("out of order")
        return HITS[: min(count, self.most)]


class Shelf:
    """Pages; counts how often it is asked."""

    def __init__(self):
        self.asked = []

    def page(self, url):
        self.asked.append(url)
        if "gone" in url:
            raise PageError(f"{url}: status 404")
        return WebPage("Vex", url + "/moved", "half \ud83d of a pair\n")


def test_a_search_is_made_once(tmp_path):
    file, engine = tmp_path / "new" / "search.jsonl", Engine()
    recording = RecordingSearch(engine, file)
    assert recording.search(" Mirolda  Vex ", 2) == HITS[:2]
    assert recording.search("Mirolda Vex", 2) == HITS[:2]
    assert recording.search("Mirolda Vex", 1) == HITS[:1]
    assert engine.asked == [("Mirolda Vex", 2)]
    again = Engine()
    assert RecordingSearch(again, file).search("Mirolda Vex", 2) == HITS[:2]
    assert RecordedSearch(file).search("Mirolda Vex", 2) == HITS[:2]
    assert again.asked == []
    line = json.loads(file.read_text())
    assert (line["query"], line["count"], len(line["date"])) == ("Mirolda Vex", 2, 10)
    assert line["date"] <= datetime.now(UTC).date().isoformat()
    assert line["hits"][1] == {
        "title": "Title 1",
        "url": "https://1.example/",
        "snippet": "Zo\u00eb 1\u2028",
        "engine": "mojeek",
        "date": "2025-11-04",
    }


def test_more_hits_are_asked_for_unless_there_were_no_more(tmp_path):
    file, engine = tmp_path / "search.jsonl", Engine(most=3)
    recording = RecordingSearch(engine, file)
    recording.search("Vex", 2)
    with pytest.raises(SearchDown, match=r"search.jsonl: 2 hits for 'Vex' are recorded, 3 are asked for"):
        RecordedSearch(file).search("Vex", 3)
    assert recording.search("Vex", 9) == HITS[:3]
    assert recording.search("Vex", 99) == HITS[:3]
    assert engine.asked == [("Vex", 2), ("Vex", 9)]
    assert RecordedSearch(file).search("Vex", 50) == HITS[:3]  # the later line


def test_nothing_found_is_recorded_and_nothing_asked_is_not(tmp_path):
    file, engine = tmp_path / "search.jsonl", Engine(most=0)
    recording = RecordingSearch(engine, file)
    assert [recording.search("Vex", 5), recording.search("Vex", 5)] == [[], []]
    for _ in range(2):
        with pytest.raises(SearchDown, match="out of order"):
            recording.search("down", 5)
    assert engine.asked == [("Vex", 5), ("down", 5), ("down", 5)]
    assert RecordedSearch(file).search("Vex", 5) == []
    with pytest.raises(SearchDown, match=r"search.jsonl: no search for 'down' is recorded"):
        RecordedSearch(file).search("down", 5)


@pytest.mark.parametrize("kind", [RecordedSearch, lambda file: RecordingSearch(Engine(), file)])
def test_queries_are_checked(tmp_path, kind):
    file = tmp_path / "search.jsonl"
    file.write_bytes(b"")
    for query, count in ((" ", 1), ("Vex", 0)):
        with pytest.raises(ValueError, match=r"query|count"):
            kind(file).search(query, count)


@given(st.data())
def test_a_run_that_was_cut_goes_on(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("cut") / "search.jsonl"
    recording = RecordingSearch(Engine(), file)
    for query in ("one", "two"):
        recording.search(query, 1)
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first, len(whole)))
    file.write_bytes(whole[:cut])
    # The line is all there without its line break, and not begun at its start.
    kept = cut >= len(whole) - 1
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert [recorded.query for recorded in read_recorded(file)] == (["one", "two"] if kept else ["one"])
        resumed = Engine()
        recording = RecordingSearch(resumed, file)
    named = [] if kept or cut == first else [f"{file}:2: the last line was cut and is left out"] * 2
    assert [str(warning.message) for warning in warned] == named
    assert recording.search("two", 1) == HITS[:1]
    assert recording.search("three", 1) == HITS[:1]
    assert resumed.asked == ([] if kept else [("two", 1)]) + [("three", 1)]
    assert [recorded.query for recorded in read_recorded(file)] == ["one", "two", "three"]


GOOD = '{"query": "q", "count": 1, "date": "2025-11-04", "hits": []}\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{\n", "no JSON"),
        ("[1]\n", "no JSON object"),
        ('{"query": 7}\n', "query=7 is no text"),
        ('{"query": "q"}\n', "date=None is no text"),
        (GOOD.replace("1,", "0,"), "count=0 is no number"),
        (GOOD.replace("1,", "true,"), "count=True is no number"),
        (GOOD.replace("[]", "{}"), "hits={} is no list"),
        (GOOD.replace("[]", "[7]"), "hit 1: no JSON object"),
        (GOOD.replace("[]", '[{"title": "t"}]'), "hit 1: url=None is no text"),
        ("[" * 100_000 + "\n", "no JSON"),
        ('"\xff"\n', "no JSON"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, reason):
    file = tmp_path / "search.jsonl"
    file.write_bytes((GOOD + "\n").encode() + line.encode("latin-1") + GOOD.encode())
    for read in (RecordedSearch, lambda file: RecordingSearch(Engine(), file)):
        with pytest.raises(ValueError, match=rf"search.jsonl:3: .*{reason}") as raised:
            read(file)
        assert len(str(raised.value)) < 400


def test_no_file(tmp_path):
    for read in (RecordedSearch, RecordedPages):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none.jsonl")


def test_threads_write_whole_lines(tmp_path):
    file = GrowingFile(tmp_path / "lines.jsonl")
    threads = [
        threading.Thread(target=lambda name=name: [file.add({"name": name, "text": "x" * 20_000}) for _ in range(10)])
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [entry["name"] for _, entry in read_lines(tmp_path / "lines.jsonl")]
    assert sorted(names) == [name for name in range(4) for _ in range(10)]


def test_pages_are_read_once(tmp_path):
    file, shelf = tmp_path / "pages.jsonl", Shelf()
    recording = RecordingPages(shelf, file)
    url = "https://vex.example"
    assert recording.page(url) == recording.page(url) == WebPage("Vex", url + "/moved", "half \ud83d of a pair\n")
    for _ in range(2):
        with pytest.raises(PageError, match="status 404"):
            recording.page("https://gone.example")
    assert shelf.asked == [url, "https://gone.example", "https://gone.example"]
    again = Shelf()
    assert RecordingPages(again, file).page(url) == RecordedPages(file).page(url) == recording.page(url)
    assert again.asked == []
    with pytest.raises(PageError, match=r"pages.jsonl: https://gone.example is not recorded"):
        RecordedPages(file).page("https://gone.example")


def test_bad_lines_of_pages_are_named(tmp_path):
    file = tmp_path / "pages.jsonl"
    file.write_text('{"asked": "u", "date": "d", "title": "t", "url": "u"}\n')
    with pytest.raises(ValueError, match=r"pages.jsonl:1: text=None is no text"):
        RecordedPages(file)

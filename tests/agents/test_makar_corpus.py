"""Search in an offline corpus."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.bm25 import BM25
from setaria.agents.makar.corpus_search import CorpusSearch, words_of
from setaria.agents.makar.search import Hit, PageError, WebPage


PAGES = [
    WebPage("Mirolda Vex", "w://vex", "Mirolda Vex is a singer from Sankt Olm."),
    WebPage(
        "Sankt Olm", "w://olm", "Sankt Olm is a town. " + "It has a mill and a lake. " * 10 + "Vex was born here."
    ),
    WebPage("Zirk", "w://zirk", "The zirk is an instrument."),
]


def write(path, pages):
    path.write_text("".join(json.dumps({"title": p.title, "url": p.url, "text": p.text}) + "\n" for p in pages))


def test_bm25_by_hand():
    # N = 3, lengths 2, 4, 3, mean 3; k1 = 1.5, b = .75.
    index = BM25([["a", "b"], ["a", "a", "c", "d"], ["e", "f", "g"]])
    # a is in 2 documents: idf = ln(1 + 1.5/2.5) = ln 1.6; b in 1: ln(1 + 2.5/1.5) = ln(8/3).
    # Document 0: k1 (1/4 + 3/4 * 2/3) = 1.125, so a and b have 1 * 2.5/2.125 = 20/17.
    # Document 1: k1 (1/4 + 3/4 * 4/3) = 1.875, so a has 2 * 2.5/3.875 = 40/31.
    assert index.best(["a", "b", "a"], 9) == [
        (0, pytest.approx(20 / 17 * (math.log(1.6) + math.log(8 / 3)))),
        (1, pytest.approx(40 / 31 * math.log(1.6))),
    ]
    assert index.best(["a"], 1) == [(1, pytest.approx(40 / 31 * math.log(1.6)))]
    assert index.best(["x"], 9) == index.best([], 9) == []
    # Without length normalisation the order of equal counts is that of the documents.
    assert [found for found, _ in BM25([["a"], ["a", "b"]], b=0.0).best(["a"], 9)] == [0, 1]


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=5), max_size=5), st.lists(st.sampled_from("abcde")))
def test_bm25_finds_what_holds_a_word(documents, query):
    best = BM25(documents).best(query, 99)
    assert {index for index, _ in best} == {n for n, words in enumerate(documents) if set(words) & set(query)}
    scores = [score for _, score in best]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)


def test_hits_and_pages():
    corpus = CorpusSearch(PAGES)
    assert corpus.search("who is MIROLDA Vex?!", 1) == [
        Hit("Mirolda Vex", "w://vex", "Mirolda Vex is a singer from Sankt Olm.", "corpus")
    ]
    assert [hit.url for hit in corpus.search("Vex", 9)] == ["w://vex", "w://olm"]
    assert corpus.search("Vex", 9)[1].snippet.endswith("Vex was born here.")  # not the beginning of the page
    assert corpus.search("nobody", 9) == corpus.search("\U0001f3b8", 9) == []
    assert corpus.page("w://zirk") == PAGES[2]
    with pytest.raises(PageError, match=r"^w://none is not in the corpus$"):
        corpus.page("w://none")
    assert CorpusSearch([]).search("Vex", 1) == []
    assert CorpusSearch([WebPage("Vex", "w://empty", "")]).search("Vex", 1)[0].snippet == ""


@pytest.mark.parametrize(("query", "count"), [("", 1), ("Vex", 0)])
def test_queries_are_checked(query, count):
    with pytest.raises(ValueError, match=r"query|count"):
        CorpusSearch(PAGES).search(query, count)


def test_words_have_no_case_or_width():
    assert words_of("\uff36ex's Stra\u00dfe, #NoTour_2!") == ["vex", "s", "strasse", "notour_2"]


def test_files_and_folders(tmp_path):
    write(tmp_path / "b.jsonl", PAGES[:1])
    write(tmp_path / "a.jsonl", PAGES[1:])
    assert [hit.url for hit in CorpusSearch.read(tmp_path / "b.jsonl").search("Vex", 9)] == ["w://vex"]
    both = CorpusSearch.read(tmp_path)
    assert [hit.url for hit in both.search("Vex zirk", 9)] == ["w://zirk", "w://vex", "w://olm"]


def test_bad_files(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \*.jsonl"):
        CorpusSearch.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        CorpusSearch.read(tmp_path / "none.jsonl")
    (tmp_path / "a.jsonl").write_text('{"title": "t", "url": "u", "text": null}\n')
    with pytest.raises(ValueError, match=r"a.jsonl:1: text=None is no text"):
        CorpusSearch.read(tmp_path)
    write(tmp_path / "a.jsonl", PAGES)
    write(tmp_path / "b.jsonl", PAGES[:1])
    with pytest.raises(ValueError, match=r"url='w://vex' names two pages"):
        CorpusSearch.read(tmp_path)

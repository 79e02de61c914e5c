"""Search by a server on loopback that speaks SearXNG's JSON and misbehaves."""

import json
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_web import move, send, web

from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import SearchDown
from setaria.agents.makar.searxng import MOST_BYTES, Searxng


def results(*names, unresponsive=()):
    """An answer as SearXNG gives it, with one result per name."""
    return {
        "query": "q",
        "number_of_results": 0,
        "results": [
            {
                "url": f"https://{name}.example/",
                "title": f"About {name}",
                "content": f"{name} is\n known.",
                "engine": "mojeek",
                "engines": ["mojeek"],
                "parsed_url": ["https", f"{name}.example", "/", "", "", ""],
                "template": "default.html",
                "positions": [1],
                "publishedDate": None,
                "score": 1.0,
                "category": "general",
            }
            for name in names
        ],
        "answers": [],
        "corrections": [],
        "infoboxes": [],
        "suggestions": [],
        "unresponsive_engines": [[name, "timeout"] for name in unresponsive],
    }


def engine(server, **polite):
    return Searxng(server.url, polite=Polite(**{"first_wait": 0.0, "gap": 0.0, "timeout": 5.0, **polite}))


def test_request_and_hits():
    with web(send(results("vex", "olm", "third"))) as server:
        hits = Searxng(server.url + "/", engines=("mojeek", "bing")).search("!!g  who is Vex?", 2)
    path, headers = server.requests[0]
    assert urlsplit(path).path == "/search"
    assert parse_qs(urlsplit(path).query) == {
        "q": ["g who is Vex"],
        "format": ["json"],
        "language": ["en"],
        "engines": ["mojeek,bing"],
    }
    assert (headers["Accept"], headers["Accept-Encoding"]) == ("application/json", "identity")
    assert [(hit.title, hit.url, hit.snippet, hit.engine) for hit in hits] == [
        ("About vex", "https://vex.example/", "vex is known.", "mojeek"),
        ("About olm", "https://olm.example/", "olm is known.", "mojeek"),
    ]
    assert len(hits[0].date) == len("2025-11-04")


def test_nothing_found():
    with web(send(results())) as server:
        assert engine(server).search("Vex", 5) == []
        assert engine(server).search("!!! \U0001f3b8", 5) == []  # nothing to ask for
    assert len(server.requests) == 1


def test_results_without_a_page_are_left_out():
    answer = results("vex")
    answer["results"] += [None, 7, {}, {"url": None, "title": "x"}, {"url": "magnet:?xt=1", "title": "x"}]
    answer["results"].append({"url": "http://bare.example"})
    with web(send(answer)) as server:
        assert [hit.url for hit in engine(server).search("Vex", 9)] == ["https://vex.example/", "http://bare.example"]


def test_engines_that_do_not_answer_are_not_an_empty_answer():
    with web(send(results(unresponsive=["bing"])), send(results("vex", unresponsive=["bing"]))) as server:
        assert len(engine(server).search("Vex", 5)) == 1
    with web(send(results(unresponsive=["bing", "mojeek"]))) as server:
        with pytest.raises(SearchDown, match=r"did not answer: .*bing.*mojeek.*; attempts: 3"):
            engine(server).search("Vex", 5)
        assert len(server.requests) == 3


def test_a_busy_server_is_asked_again(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with web(send({}, 429, Retry_After="7"), send({}, 500), send(results("vex"))) as server:
        assert len(engine(server).search("Vex", 5)) == 1
    assert slept == [7, 0]


def test_a_slow_server_is_given_up():
    released = threading.Event()
    with web(lambda _: released.wait(10)) as server:
        with pytest.raises(SearchDown, match=rf"^{server.url}/search: ReadTimeout .*; attempts: 2"):
            engine(server, timeout=0.2, retries=1).search("Vex", 5)
        assert len(server.requests) == 2
        released.set()


def test_no_server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SearchDown, match=r"ConnectError .*; attempts: 1"):
        Searxng(url, polite=Polite(retries=0)).search("Vex", 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status):
    with web(send(results("secret")), host="127.0.0.2") as private:
        with web(move(f"{private.url}/search", status)) as server:
            with pytest.raises(SearchDown, match=rf"status {status}, sent on to '{private.url}.*base_url"):
                engine(server).search("Vex", 5)
            assert len(server.requests) == 1
        assert private.requests == []


def test_a_server_without_the_json_format():
    with web(send("<title>403 Forbidden</title>", 403)) as server:
        with pytest.raises(SearchDown, match=r"status 403.*is json among the formats"):
            engine(server).search("Vex", 5)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (send(b'{"results": [{"url"'), "no JSON"),
        (send(b"\xff\xfe"), "no JSON"),
        (send(b"[" * 100_000), "no JSON"),
        (send(b""), "no JSON"),
        (send("<html>Please log in</html>"), "no JSON.*Please log in"),
        (send([]), "results is no list"),
        (send({"results": {}}), "results is no list"),
        (send({"error": "x"}, 400), "status 400"),
        (send(b" " * (MOST_BYTES + 1)), f"more than {MOST_BYTES} bytes"),
    ],
)
def test_useless_answers_are_not_asked_for_again(answer, reason):
    with web(answer) as server:
        with pytest.raises(SearchDown, match=f"^{server.url}/search: .*{reason}") as raised:
            engine(server).search("Vex", 5)
        assert len(str(raised.value)) < 700
        assert len(server.requests) == 1


@pytest.fixture(scope="module")
def server():
    with web() as server:
        yield server


KEYS = st.sampled_from(["results", "url", "title", "content", "engine", "unresponsive_engines"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("http://a.example")
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.lists(ANYTHING, max_size=4).map(lambda found: {"results": found}) | ANYTHING)
def test_any_answer_is_read_or_refused(server, answer):
    server.answers = [send(json.dumps(answer).encode())]
    with suppress(SearchDown):
        hits = engine(server, retries=0).search("Vex", 5)
        assert {hit.url for hit in hits} <= {"http://a.example"}


@pytest.mark.parametrize("url", ["localhost:8888", "file:///etc/passwd", "http://user:password@localhost"])
def test_the_address_is_checked(url):
    with pytest.raises(ValueError, match="base_url") as raised:
        Searxng(url)
    assert "password@" not in str(raised.value)

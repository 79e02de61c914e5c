"""Search by ddgs without a network: the library's own classes if it is installed, else a module that looks like it."""

import sys
import types

import pytest

from setaria.agents.makar.ddgs_search import DdgsSearch
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import SearchDown


def look_alike():
    """ddgs 9.16's classes, as far as they are used."""
    exceptions = types.ModuleType("ddgs.exceptions")
    exceptions.DDGSException = type("DDGSException", (Exception,), {})
    exceptions.RatelimitException = type("RatelimitException", (exceptions.DDGSException,), {})
    exceptions.TimeoutException = type("TimeoutException", (exceptions.DDGSException,), {})

    class DDGS:
        def __init__(self, proxy=None, timeout=5, *, verify=True):
            self._timeout = timeout

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def text(self, query, **kwargs):
            raise NotImplementedError

    module = types.ModuleType("ddgs")
    module.DDGS, module.exceptions = DDGS, exceptions
    return {"ddgs": module, "ddgs.exceptions": exceptions}


@pytest.fixture
def library(monkeypatch):
    try:
        import ddgs
        import ddgs.exceptions
    except ImportError:
        modules = look_alike()
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        ddgs = modules["ddgs"]
    return ddgs


@pytest.fixture
def scripted(library, monkeypatch):
    """Calls of `DDGS.text`; `script` holds what each gives, and the last of it for ever."""
    calls, script = [], []

    def text(session, query, **options):
        calls.append((session._timeout, query, options))
        answer = script[min(len(calls), len(script)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(type(library.DDGS()), "text", text)  # the name may stand for a class that is loaded late
    return calls, script


def result(name):
    return {"title": f"About {name}", "href": f"https://{name}.example/", "body": f"{name} is known."}


def quick(**polite):
    return Polite(**{"first_wait": 0.0, "gap": 0.0, **polite})


def test_request_and_hits(scripted):
    calls, script = scripted
    script.append([result("vex"), {"title": "no page", "href": "", "body": ""}, result("olm"), result("third")])
    hits = DdgsSearch(backend="mojeek", region="uk-en", polite=quick(timeout=7.4)).search('"Vex" -tour', 2)
    assert calls == [
        (7, "Vex tour", {"max_results": 2, "region": "uk-en", "safesearch": "moderate", "backend": "mojeek"})
    ]
    assert [(hit.title, hit.url, hit.snippet, hit.engine) for hit in hits] == [
        ("About vex", "https://vex.example/", "vex is known.", "ddgs mojeek"),
        ("About olm", "https://olm.example/", "olm is known.", "ddgs mojeek"),
    ]
    assert len(hits[0].date) == len("2025-11-04")


def test_a_rate_limit_is_waited_for(library, scripted):
    calls, script = scripted
    errors = library.exceptions
    script += [errors.RatelimitException("202"), errors.TimeoutException("timed out"), [result("vex")]]
    assert len(DdgsSearch(polite=quick()).search("Vex", 5)) == 1
    assert len(calls) == 3


def test_an_engine_that_stays_away_is_down(library, scripted):
    calls, script = scripted
    script.append(library.exceptions.RatelimitException("202 Ratelimit"))
    with pytest.raises(SearchDown, match=r"^ddgs auto: RatelimitException \(202 Ratelimit\); attempts: 3$"):
        DdgsSearch(polite=quick(retries=2)).search("Vex", 5)
    assert len(calls) == 3


def test_no_results_are_no_error_until_nothing_is_ever_found(library, scripted):
    calls, script = scripted
    nothing = library.exceptions.DDGSException("No results found.")
    script += [nothing, nothing, [result("vex")], nothing, nothing, nothing, nothing, [result("vex")]]
    searcher = DdgsSearch(polite=quick())
    assert [len(searcher.search("Vex", 5)) for _ in range(5)] == [0, 0, 1, 0, 0]
    for times in (3, 4):
        with pytest.raises(SearchDown, match=f"no results for {times} queries in a row"):
            searcher.search("Vex", 5)
    assert len(searcher.search("Vex", 5)) == 1
    assert len(calls) == 8  # none was asked again


def test_nothing_to_ask_for(scripted):
    assert DdgsSearch().search("\U0001f3b8 !!", 5) == []
    assert scripted[0] == []


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ddgs", None)
    with pytest.raises(ImportError, match=r"pip install 'setaria\[search\]'"):
        DdgsSearch()

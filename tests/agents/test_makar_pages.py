"""Pages of a web on loopback: normal ones, and those that mean no good."""

import gzip
import socket
import sys
import threading
import time
import types
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback_web import move, send, web

from setaria.agents.makar.pages import Pages
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import PageError, WebPage


HERE = ("127.0.0.1",)
PAGE = "<html><head><title>Vex</title></head><body><nav>Menu</nav><p>Vex is a singer.</p></body></html>"


def reader(**options):
    polite = Polite(**{"first_wait": 0.0, "gap": 0.0, "timeout": 5.0, **options.pop("polite", {})})
    return Pages(**{"extractor": "plain", "allowed": HERE, "polite": polite, **options})


def test_a_page():
    with web(send(PAGE)) as server:
        assert reader().page(f"{server.url}/vex?a=1#top") == WebPage(
            "Vex", f"{server.url}/vex?a=1#top", "Menu\nVex is a singer."
        )
    path, headers = server.requests[0]
    assert path == "/vex?a=1"
    assert (headers["User-Agent"], headers["Accept-Encoding"]) == ("setaria", "identity")
    assert {"Cookie", "Authorization", "Referer"}.isdisjoint(headers)


def test_plain_text_and_encodings():
    with web(
        send(b"1 < 2 <b>\n", Content_Type="Text/Plain"),
        send("<p>Zo\u00eb".encode("cp1252"), Content_Type="text/html; charset=windows-1252"),
        send(gzip.compress(b"<p>packed"), Content_Type="text/html", Content_Encoding="gzip"),  # though not asked for
        send(b"", Content_Type="application/xhtml+xml"),
    ) as server:
        texts = [reader().page(server.url).text for _ in range(4)]
    assert texts == ["1 < 2 <b>", "Zo\u00eb", "packed", ""]


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "application/json", ""])
def test_other_types_are_not_read(kind):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b" " * 1000)

    with web(endless) as server, pytest.raises(PageError, match=f"^{server.url}/a: a reply of type '{kind}'$"):
        reader().page(f"{server.url}/a")


@pytest.mark.parametrize("packed", [False, True])
def test_pages_are_read_up_to_a_size(packed):
    content = b"a" * 100_001
    answer = send(content, Content_Type="text/html")
    if packed:
        answer = send(gzip.compress(content), Content_Type="text/html", Content_Encoding="gzip")  # 130 bytes
    with web(answer) as server:
        with pytest.raises(PageError, match="a reply of more than 100000 bytes"):
            reader(most_bytes=100_000).page(server.url)
        assert len(reader(most_bytes=100_001).page(server.url).text) == 100_001


def test_redirects_are_followed_up_to_a_number():
    with web() as server:
        server.answers = [move("/b"), move("c?d", 301), move(f"//127.0.0.1:{server.server_port}/e", 308), send(PAGE)]
        assert reader(redirects=3).page(f"{server.url}/x/a").url == f"{server.url}/e"
        assert [path for path, _ in server.requests] == ["/x/a", "/b", "/c?d", "/e"]
    with web(move("/again")) as server:
        with pytest.raises(PageError, match="more than 2 redirects"):
            reader(redirects=2).page(server.url)
        assert len(server.requests) == 3


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "127.1", "[::ffff:127.0.0.1]"])
def test_a_redirect_to_a_private_address_is_not_followed(host):
    with web(send("secret"), host="0.0.0.0") as private, web() as server:
        server.answers = [move(f"http://{host}:{private.server_port}/admin")]
        with pytest.raises(PageError, match=f"^{server.url}: .*which is not a public address$"):
            reader().page(server.url)
        assert len(server.requests) == 1
        assert private.requests == []


def test_private_addresses_are_not_asked():
    with web(send(PAGE)) as server:
        with pytest.raises(PageError, match=r"127.0.0.1 is at 127.0.0.1, which is not a public address"):
            reader(allowed=()).page(server.url)
        assert server.requests == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "no http or https address"),
        ("ftp://127.0.0.1/", "no http or https address"),
        ("http://user:secret@127.0.0.1/", "with a user or password"),
        ("http://[::1", "status 302, sent on to"),
        ("http://127.0.0.1:port/", "status 302, sent on to"),
    ],
)
def test_redirects_to_what_is_no_page(location, reason):
    with web(move(location)) as server:
        with pytest.raises(PageError, match=reason) as raised:
            reader().page(server.url)
        assert "secret" not in str(raised.value)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "vex",
        "file:///etc/passwd",
        "http://",
        "http://a b/",
        "http://a:port/",
        "http://u@127.0.0.1/",
        "http://\u2603\u2603\ud83d/",
    ],
)
def test_addresses_that_are_none(url):
    with pytest.raises(PageError):
        reader().page(url)


def test_failures():
    with web(send("gone", 404)) as server:
        with pytest.raises(PageError, match=f"^{server.url}: status 404, 'gone'$"):
            reader().page(server.url)
        assert len(server.requests) == 1
    with web(send("busy", 503), send("busy", 429), send(PAGE)) as server:
        assert reader().page(server.url).title == "Vex"
    with web(send("half", length=1000)) as server, pytest.raises(PageError, match=r"RemoteProtocol.*attempts: 3"):
        reader().page(server.url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(PageError, match=r"ConnectError .*; attempts: 1"):
        reader(polite={"retries": 0}).page(url)


def silent(handler):
    time.sleep(1)


def drip_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.end_headers()
    while True:
        handler.wfile.write(b"a")
        time.sleep(0.02)


def drip_header(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"a")
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (silent, "ReadTimeout|no whole reply"),
        (drip_body, "no whole reply"),
        (drip_header, "no whole reply within 0.2 s"),
    ],
)
def test_slow_servers_are_given_up(answer, reason):
    start = time.monotonic()
    with web(answer) as server, pytest.raises(PageError, match=f"({reason}).*; attempts: 2$"):
        reader(polite={"timeout": 0.2, "retries": 1}).page(server.url)
    assert time.monotonic() - start < 3


def test_no_watch_is_left_behind():
    with web(send(PAGE), send("gone", 404)) as server:
        pages = reader(polite={"timeout": 60.0})
        pages.page(server.url)
        with pytest.raises(PageError):
            pages.page(server.url)
    for thread in threading.enumerate():
        assert not isinstance(thread, threading.Timer) or thread.finished.is_set()


def test_each_host_of_a_chain_waits_for_its_turn(monkeypatch):
    slept = []
    monkeypatch.setattr(
        "setaria.agents.makar.polite.time", types.SimpleNamespace(sleep=slept.append, monotonic=lambda: 0.0)
    )
    with web(send(PAGE), host="127.0.0.2") as other, web(move(f"{other.url}/")) as server:
        pages = reader(allowed=("127.0.0.1", "127.0.0.2"), polite={"gap": 3.0})
        pages.page(server.url)
        pages.page(server.url)
    assert slept == [3, 3]  # the second time, at each of the two


@pytest.fixture(scope="module")
def server():
    """The only host of the web."""

    def resolve(host, port, *_, **__):
        if host not in (b"127.0.0.1", "127.0.0.1"):
            raise socket.gaierror("no such host")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port or 0))]

    with web() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield server


@settings(max_examples=25)
@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
def test_any_redirect_is_followed_or_refused(server, location):
    server.answers = [move(location), send(PAGE)]
    server.requests.clear()
    with suppress(PageError):
        assert reader(polite={"retries": 0}).page(server.url).title == "Vex"


def test_trafilatura_leaves_menus_out():
    pytest.importorskip("trafilatura", reason="page text by trafilatura: pip install 'setaria[search]'")
    story = " ".join(f"Vex sang the song number {number} in the old hall of Sankt Olm." for number in range(20))
    body = f"<nav><a href=/>Menu</a></nav><article><h1>Vex</h1><p>{story}</p></article>"
    page = f"<html><head><title>Vex</title></head><body>{body}</body></html>"
    with web(send(page)) as server:
        read = reader(extractor="trafilatura").page(server.url)
    assert story in read.text
    assert "Menu" not in read.text


@pytest.mark.parametrize(("main", "text"), [("main part", "main part"), (None, "Menu\nVex is a singer.")])
def test_a_page_without_a_main_part_is_kept(monkeypatch, main, text):
    module = types.ModuleType("trafilatura")
    module.extract = lambda page, **_: main
    monkeypatch.setitem(sys.modules, "trafilatura", module)
    with web(send(PAGE)) as server:
        assert reader(extractor="trafilatura").page(server.url).text == text


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(ImportError, match=r"setaria\[search\].*extractor='plain'"):
        Pages()


@pytest.mark.parametrize(("field", "value"), [("extractor", "lxml"), ("most_bytes", 0), ("redirects", -1)])
def test_fields_are_checked(field, value):
    with pytest.raises(ValueError, match=field):
        reader(**{field: value})

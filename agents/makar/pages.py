"""Pages of the web as text: fetched from public addresses, within limits of time, size and type.

Redirects are requests: their number is limited and each address is checked. No proxy, cookie or password is used.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

import httpx2

from setaria.agents.exchange import Redirected, Refused, TryAgain, exchange
from setaria.agents.makar.page_text import decoded, text_of, title_of
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.public_address import PublicTransport
from setaria.agents.makar.search import PageError, WebPage, is_web_address


HTML = ("text/html", "application/xhtml+xml")
TYPES = (*HTML, "text/plain")
EXTRACTORS = ("trafilatura", "plain")
HEADERS = {
    "Accept": ", ".join(TYPES),
    "Accept-Encoding": "identity",  # a compressed page would have its size only once it is unpacked
    "User-Agent": "setaria",
}


@dataclass(frozen=True)
class Pages:
    """Reads pages; see `PageReader`.

    Args:
        extractor: `trafilatura`, which leaves out menus and the like and needs `pip install 'setaria[search]'`, or
            `plain`, which is built in and keeps all that is shown. It is no automatic choice: results depend on it.
        most_bytes: of a page.
        redirects: how many are followed.
        allowed: hosts that may have a private address, such as `wiki.example`.
        polite: how servers are asked; the time-out is for each request of a chain of redirects.

    Raises:
        ValueError: naming the field that is out of range.
        ImportError: if trafilatura is asked for and not installed.
    """

    extractor: str = "trafilatura"
    most_bytes: int = 2 << 20
    redirects: int = 5
    allowed: tuple[str, ...] = ()
    polite: Polite = field(default_factory=Polite)

    def __post_init__(self):
        if self.extractor not in EXTRACTORS:
            raise ValueError(f"extractor={self.extractor!r}: {' or '.join(EXTRACTORS)} is expected")
        for name, least in {"most_bytes": 1, "redirects": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: at least {least} is expected")
        if self.extractor == "trafilatura":
            _trafilatura()

    def page(self, url: str) -> WebPage:
        """Title and text of the page at `url`; no text where there is none in it."""
        try:
            place, response, content = self.polite.ask(lambda: self._follow(url))
        except Refused as failure:
            raise PageError(f"{url[:300]}: {failure}") from None
        text = decoded(content, response.charset_encoding)
        if not response.headers["Content-Type"].lower().startswith(HTML):
            return WebPage("", place, text.strip())
        return WebPage(title_of(text), place, self._text(text))

    def _follow(self, url: str) -> tuple[str, httpx2.Response, bytes]:
        place = url
        for _ in range(self.redirects + 1):
            try:
                return place, *self._get(place)
            except Redirected as moved:
                try:
                    place = str(httpx2.URL(place).join(moved.location))
                except httpx2.InvalidURL:
                    raise Refused(str(moved)) from None
        raise Refused(f"more than {self.redirects} redirects")

    def _get(self, url: str) -> tuple[httpx2.Response, bytes]:
        if not is_web_address(url):
            raise Refused(f"{url[:300]!r} is no http or https address")
        try:
            address = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise Refused(f"{url[:300]!r}: {error}") from None
        if address.userinfo:
            raise Refused(f"{address.host}: an address with a user or password is not asked for")
        self.polite.turn(address.netloc.decode("ascii"))
        transport = PublicTransport(self.allowed)
        timeout = self.polite.timeout
        with (
            httpx2.Client(transport=transport, headers=HEADERS, timeout=timeout, trust_env=False) as client,
            _closed_after(client, timeout),
        ):
            return exchange(client, "GET", address, most_bytes=self.most_bytes, timeout=timeout, types=TYPES)

    def _text(self, page: str) -> str:
        if self.extractor == "trafilatura":
            main = _trafilatura().extract(page, include_comments=False)
            if main:
                return main
        return text_of(page)  # also of a page so short or plain that trafilatura finds no main part


@contextmanager
def _closed_after(client: httpx2.Client, seconds: float) -> Iterator[None]:
    """Close `client` under a server that keeps it busy, as by one byte of a header every few seconds."""
    late = threading.Event()

    def close() -> None:
        late.set()
        client.close()

    watch = threading.Timer(seconds, close)
    watch.daemon = True
    watch.start()
    try:
        yield
    except (TryAgain, RuntimeError) as error:
        if late.is_set():
            raise TryAgain(f"no whole reply within {seconds} s") from None
        raise error
    finally:
        watch.cancel()


def _trafilatura() -> ModuleType:
    try:
        import trafilatura
    except ImportError as error:
        raise ImportError(
            "extractor='trafilatura' needs the package trafilatura: pip install 'setaria[search]', "
            f"or take extractor='plain' ({error})"
        ) from None
    return trafilatura

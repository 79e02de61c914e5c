"""Web search as the correction agent sees it: a query gives hits, an address gives the text of a page.

Engines, recordings and an offline corpus all look like this. What they return is data from outside.
"""

import html
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit


MOST_TITLE = 300
MOST_SNIPPET = 2000
MOST_ADDRESS = 2000
MOST_QUERY = 500
PLAIN_MARKS = "'&.+-"  # kept inside words; in front of them they are operators of engines


@dataclass(frozen=True)
class Hit:
    """A page that was found.

    Attributes:
        url: http or https from the web; in a corpus, whatever names the page.
        snippet: what the engine shows of the page, one line.
        engine: who found it.
        date: day of the search in UTC, such as 2025-11-04; empty for a corpus, in which days do not matter.
    """

    title: str
    url: str
    snippet: str
    engine: str
    date: str = ""


@dataclass(frozen=True)
class WebPage:
    """Text of a page. It is somebody's text: to be quoted to a model, never to be followed.

    Attributes:
        url: where it was found, after redirects.
    """

    title: str
    url: str
    text: str


class SearchDown(RuntimeError):
    """No search could be made, which is not the same as a search without hits; the message says why."""


class PageError(RuntimeError):
    """A page could not be read; the message names its address and the reason."""


class Searcher(Protocol):
    """Whoever searches."""

    def search(self, query: str, count: int) -> list[Hit]:
        """The best hits, at most `count`, best first; none where nothing is found.

        Raises:
            SearchDown: if no search could be made.
            ValueError: if `query` is blank or `count` is below 1.
        """


class PageReader(Protocol):
    """Whoever reads the pages of hits."""

    def page(self, url: str) -> WebPage:
        """The page at `url`.

        Raises:
            PageError: if it cannot be read.
        """


def normal_query(query: str, count: int) -> str:
    """`query` with single spaces, cut after 500 characters.

    Raises:
        ValueError: if `query` is blank or `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count={count}: at least 1 is expected")
    normal = " ".join(query.split())
    if not normal:
        raise ValueError(f"query={query!r} is blank")
    return normal[:MOST_QUERY].rstrip()


def plain_words(query: str) -> str:
    """`query` without what engines take for syntax, such as `!!g`, `site:`, `-word` and quotes; "" if nothing is left.

    A tweet is not written for an engine: its marks would send the search elsewhere.
    """
    kept = "".join(
        letter if unicodedata.category(letter)[0] in "LMN" or letter in PLAIN_MARKS else " "
        for letter in html.unescape(query)
    )
    return " ".join(word for word in (word.lstrip(PLAIN_MARKS) for word in kept.split()) if word)


def web_hit(title: Any, url: Any, snippet: Any, engine: Any) -> Hit | None:
    """Today's hit from what an engine says: texts in one line and cut; none if it has no address of the web."""
    if not isinstance(url, str) or len(url) > MOST_ADDRESS or not is_web_address(url):
        return None
    date = datetime.now(UTC).date().isoformat()
    return Hit(_line(title, MOST_TITLE), url, _line(snippet, MOST_SNIPPET), _line(engine, MOST_TITLE), date)


def is_web_address(url: str) -> bool:
    """Whether `url` is http or https, has a host, and holds neither spaces nor control characters."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        return False


def _line(text: Any, most: int) -> str:
    """One line of text fit for UTF-8, "" for what is no text."""
    if not isinstance(text, str):
        return ""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:most].rstrip()

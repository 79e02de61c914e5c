"""Search by a SearXNG server: GET /search?q=..&format=json.

The server's settings must list json among `search: formats`. Its address is configuration and may be a private one; it
is asked at that address only, and a redirect counts as a failure that says where it leads.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2

from setaria.agents.exchange import Redirected, Refused, TryAgain, excerpt, exchange
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import Hit, SearchDown, normal_query, plain_words, web_hit


MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class Searxng:
    """A SearXNG server; see `Searcher`.

    Args:
        base_url: address of the server, such as `http://localhost:8888`.
        engines: which of the server's engines search; its own choice if empty.
        language: code of the language, such as `en`, or `all`.
        polite: how it is asked.

    Raises:
        ValueError: if `base_url` is no address.
    """

    base_url: str
    engines: tuple[str, ...] = ()
    language: str = "en"
    polite: Polite = field(default_factory=Polite)

    def __post_init__(self):
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
            raise ValueError("base_url: http[s]://HOST[:PORT]/PATH is expected, without user and password")

    def search(self, query: str, count: int) -> list[Hit]:
        """At most `count` hits, and no more than the server's first page has."""
        words = plain_words(normal_query(query, count))
        if not words:
            return []
        asked = {"q": words, "format": "json", "language": self.language}
        if self.engines:
            asked["engines"] = ",".join(self.engines)
        url = f"{self.base_url.rstrip('/')}/search"
        # A client per search: no cookies are kept. A compressed reply would have its size only once it is unpacked.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "setaria"}
        with httpx2.Client(headers=headers, timeout=self.polite.timeout) as client:
            try:
                return self.polite.ask(lambda: self._search(client, f"{url}?{urlencode(asked)}"))[:count]
            except Redirected as failure:
                raise SearchDown(f"{url}: {failure}; base_url should be where the server is") from None
            except Refused as failure:
                hint = "; is json among the formats in its settings?" if failure.status == 403 else ""
                raise SearchDown(f"{url}: {failure}{hint}") from None

    def _search(self, client: httpx2.Client, url: str) -> list[Hit]:
        self.polite.turn(urlsplit(url).netloc)
        _, content = exchange(client, "GET", url, most_bytes=MOST_BYTES, timeout=self.polite.timeout)
        try:
            answer = json.loads(content, parse_int=float)  # an integer can be too long for one
        except (ValueError, RecursionError) as error:
            raise Refused(f"no JSON ({error}) in {excerpt(content)}") from None
        match answer:
            case {"results": list(results)}:
                found = [_hit(result) for result in results]
                hits = [hit for hit in found if hit is not None]
            case _:
                raise Refused(f"results is no list in {excerpt(content)}")
        if not hits and answer.get("unresponsive_engines"):
            raise TryAgain(f"no hits, and engines that did not answer: {str(answer['unresponsive_engines'])[:300]}")
        return hits


def _hit(result: Any) -> Hit | None:
    if not isinstance(result, dict):
        return None
    return web_hit(result.get("title"), result.get("url"), result.get("content"), result.get("engine"))

"""Search by ddgs, which asks public engines and needs no key: `pip install 'setaria[search]'`.

As of 9.16, ddgs says "No results found" both when nothing was found and when every engine turned the request away,
since it drops answers other than status 200. One such answer counts as a search without hits; after three in a row it
counts as an engine that is down, until something is found again.
"""

from types import ModuleType

from setaria.agents.exchange import Refused, TryAgain
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import Hit, SearchDown, normal_query, plain_words, web_hit


NO_RESULTS = "No results found"
MOST_EMPTY = 3  # answers in a row; our choice


class DdgsSearch:
    """Public engines through ddgs; see `Searcher`.

    Args:
        backend: engine, several separated by commas, or `auto`.
        region: such as `us-en`.
        safesearch: `on`, `moderate` or `off`.
        polite: how it is asked; its time-out counts per engine, in whole seconds.

    Raises:
        ImportError: if ddgs is not installed.
    """

    def __init__(
        self,
        backend: str = "auto",
        region: str = "us-en",
        safesearch: str = "moderate",
        polite: Polite | None = None,
    ):
        _ddgs()
        self.backend, self.region, self.safesearch = backend, region, safesearch
        self.polite = polite or Polite()
        self._empty = 0  # answers in a row without hits

    def search(self, query: str, count: int) -> list[Hit]:
        """At most `count` hits."""
        words = plain_words(normal_query(query, count))
        if not words:
            return []
        try:
            hits = self.polite.ask(lambda: self._search(words, count))
        except Refused as failure:
            raise SearchDown(f"ddgs {self.backend}: {failure}") from None
        self._empty = 0 if hits else self._empty + 1
        if self._empty >= MOST_EMPTY:
            raise SearchDown(f"ddgs {self.backend}: no results for {self._empty} queries in a row")
        return hits

    def _search(self, words: str, count: int) -> list[Hit]:
        ddgs = _ddgs()
        self.polite.turn("ddgs")
        options = {"region": self.region, "safesearch": self.safesearch, "backend": self.backend}
        try:
            with ddgs.DDGS(timeout=max(1, round(self.polite.timeout))) as session:
                results = session.text(words, max_results=count, **options)
        except ddgs.exceptions.DDGSException as error:
            if NO_RESULTS in str(error):
                return []
            raise TryAgain(f"{type(error).__name__} ({str(error)[:300]})") from None
        engine = f"ddgs {self.backend}"
        found = [web_hit(result["title"], result["href"], result["body"], engine) for result in results]
        return [hit for hit in found if hit is not None][:count]


def _ddgs() -> ModuleType:
    try:
        import ddgs
        import ddgs.exceptions
    except ImportError as error:
        raise ImportError(f"this search needs the package ddgs: pip install 'setaria[search]' ({error})") from None
    return ddgs

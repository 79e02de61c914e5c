"""What has failed is not tried for ever: each failure may take a minute of retries, and a run makes thousands.

    an engine that failed several times in a row    is not asked again in this run
    a page that could not be read                   is not asked for again in this run

Failures are not recorded, so the next run tries again.
"""

from setaria.agents.makar.search import Hit, PageError, PageReader, SearchDown, Searcher, WebPage


class Patience:
    """Asks a searcher until it has failed `most` times in a row; see `Searcher`.

    Args:
        most: failures; our choice.

    Raises:
        ValueError: for fewer than one.
    """

    def __init__(self, searcher: Searcher, most: int = 5):
        if most < 1:
            raise ValueError(f"most={most}: at least 1 failure is expected")
        self._searcher, self._most = searcher, most
        self._failures = 0

    def search(self, query: str, count: int) -> list[Hit]:
        """What the searcher finds."""
        if self._failures >= self._most:
            raise SearchDown(f"not asked, after {self._failures} failures in a row")
        try:
            hits = self._searcher.search(query, count)
        except SearchDown:
            self._failures += 1
            raise
        self._failures = 0
        return hits


class TriedOnce:
    """Asks a reader once for a page that it cannot read; see `PageReader`."""

    def __init__(self, reader: PageReader):
        self._reader = reader
        self._failures: dict[str, str] = {}

    def page(self, url: str) -> WebPage:
        """The page."""
        if url in self._failures:
            raise PageError(self._failures[url])
        try:
            return self._reader.page(url)
        except PageError as error:
            self._failures[url] = str(error)
            raise

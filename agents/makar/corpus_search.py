"""An offline web: pages in JSON lines, searched by BM25, for generated worlds, tests and machines without a network.

{"title": .., "url": .., "text": ..}
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from setaria.agents.makar.bm25 import BM25
from setaria.agents.makar.json_lines import read_lines, texts_of
from setaria.agents.makar.search import Hit, PageError, WebPage, normal_query


SNIPPET_WORDS = 30
ENGINE = "corpus"


class CorpusSearch:
    """Searches pages and reads them; see `Searcher` and `PageReader`. It is never down.

    Raises:
        ValueError: if two pages have one address.
    """

    def __init__(self, pages: Sequence[WebPage]):
        self._pages = list(pages)
        self._by_url: dict[str, WebPage] = {}
        for page in self._pages:
            if self._by_url.setdefault(page.url, page) is not page:
                raise ValueError(f"url={page.url!r} names two pages")
        self._index = BM25([words_of(f"{page.title} {page.text}") for page in self._pages])

    @classmethod
    def read(cls, path: Path) -> "CorpusSearch":
        """The pages of a file of JSON lines, or of all `*.jsonl` in a folder.

        Raises:
            OSError: if there is no such file or folder.
            ValueError: naming file and line of what is no page, or a folder without pages.
        """
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path}: holds no *.jsonl")
        lines = [line for file in files for line in read_lines(file)]
        return cls([WebPage(**texts_of(entry, ("title", "url", "text"), where)) for where, entry in lines])

    def search(self, query: str, count: int) -> list[Hit]:
        """The pages with words of `query`, by BM25 over title and text; the snippet is the part with most of them."""
        words = words_of(normal_query(query, count))
        found = [self._pages[index] for index, _ in self._index.best(words, count)]
        return [Hit(page.title, page.url, _snippet(page.text, set(words)), ENGINE) for page in found]

    def page(self, url: str) -> WebPage:
        """The page named `url`."""
        if url not in self._by_url:
            raise PageError(f"{url[:300]} is not in the corpus")
        return self._by_url[url]


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, without regard to case and width."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def _snippet(text: str, words: set[str]) -> str:
    """The first of the runs of 30 words that holds most of `words`."""
    parts = text.split()
    runs = [" ".join(parts[start : start + SNIPPET_WORDS]) for start in range(0, max(1, len(parts)), SNIPPET_WORDS)]
    return max(runs, key=lambda run: len(words & set(words_of(run))))

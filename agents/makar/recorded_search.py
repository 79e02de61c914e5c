"""Searches that were made once, from a file: the same hits every time, without a network.

    {"query": .., "count": .., "date": .., "hits": [{"title": .., "url": .., "snippet": .., "engine": .., "date": ..}]}

`count` is how many hits were asked for, `date` the day of recording in UTC. Of several lines with one query the last
counts. A search that failed is not recorded.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from setaria.agents.makar.json_lines import GrowingFile, read_lines, texts_of
from setaria.agents.makar.search import Hit, SearchDown, Searcher, normal_query


HIT_FIELDS = tuple(field.name for field in fields(Hit))


@dataclass(frozen=True)
class RecordedQuery:
    """One line. With fewer hits than were asked for, there were no more."""

    query: str
    count: int
    date: str
    hits: tuple[Hit, ...]

    def first(self, count: int) -> list[Hit] | None:
        """The first `count` hits, none if more may have been found."""
        return list(self.hits[:count]) if count <= self.count or len(self.hits) < self.count else None


class RecordedSearch:
    """Recorded searches and no others; see `Searcher`. What is not recorded raises `SearchDown`.

    Raises:
        OSError: if there is no such file.
        ValueError: naming file and line of what is no recorded search.
    """

    def __init__(self, path: Path):
        self._path = path
        self._recorded = {recorded.query: recorded for recorded in read_recorded(path)}

    def search(self, query: str, count: int) -> list[Hit]:
        """The recorded hits."""
        query = normal_query(query, count)
        recorded = self._recorded.get(query)
        if recorded is None:
            raise SearchDown(f"{self._path}: no search for {query!r} is recorded")
        hits = recorded.first(count)
        if hits is None:
            raise SearchDown(f"{self._path}: {recorded.count} hits for {query!r} are recorded, {count} are asked for")
        return hits


class RecordingSearch:
    """A searcher that is asked only for what is not recorded yet, and what it answers is recorded; see `Searcher`.

    Raises:
        ValueError: naming file and line of what is no recorded search.
    """

    def __init__(self, searcher: Searcher, path: Path):
        self._searcher = searcher
        self._recorded = {recorded.query: recorded for recorded in read_recorded(path)} if path.exists() else {}
        self._file = GrowingFile(path)

    def search(self, query: str, count: int) -> list[Hit]:
        """The recorded hits, or else those found now; they are on the disk when this returns."""
        query = normal_query(query, count)
        known = self._recorded.get(query)
        hits = None if known is None else known.first(count)
        if hits is None:
            hits = self._searcher.search(query, count)
            recorded = RecordedQuery(query, count, datetime.now(UTC).date().isoformat(), tuple(hits))
            self._file.add(asdict(recorded))
            self._recorded[query] = recorded
        return hits


def read_recorded(path: Path) -> Iterator[RecordedQuery]:
    """The recorded searches of a file, in its order.

    Raises:
        ValueError: naming file and line of what is none; a last line that was cut is left out with a warning.
    """
    for where, entry in read_lines(path):
        texts = texts_of(entry, ("query", "date"), where)
        count, hits = entry.get("count"), entry.get("hits")
        if type(count) is not int or count < 1:
            raise ValueError(f"{where}: count={str(count)[:80]} is no number of hits")
        if not isinstance(hits, list):
            raise ValueError(f"{where}: hits={str(hits)[:80]} is no list")
        found = tuple(Hit(**texts_of(hit, HIT_FIELDS, f"{where}: hit {number}")) for number, hit in enumerate(hits, 1))
        yield RecordedQuery(**texts, count=count, hits=found)

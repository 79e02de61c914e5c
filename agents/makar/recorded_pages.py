"""Pages that were read once, from a file, so that a run with recorded searches needs no network at all.

    {"asked": .., "date": .., "title": .., "url": .., "text": ..}

`asked` is the address asked for, `url` where redirects led, `date` the day of recording in UTC. Of several lines with
one address the last counts. A page that could not be read is not recorded.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from setaria.agents.makar.json_lines import GrowingFile, read_lines, texts_of
from setaria.agents.makar.search import PageError, PageReader, WebPage


class RecordedPages:
    """Recorded pages and no others; see `PageReader`.

    Raises:
        OSError: if there is no such file.
        ValueError: naming file and line of what is no recorded page.
    """

    def __init__(self, path: Path):
        self._path = path
        self._recorded = _read(path)

    def page(self, url: str) -> WebPage:
        """The recorded page."""
        if url not in self._recorded:
            raise PageError(f"{self._path}: {url[:300]} is not recorded")
        return self._recorded[url]


class RecordingPages:
    """A reader that is asked only for what is not recorded yet, and what it reads is recorded; see `PageReader`.

    Raises:
        ValueError: naming file and line of what is no recorded page.
    """

    def __init__(self, reader: PageReader, path: Path):
        self._reader = reader
        self._recorded = _read(path) if path.exists() else {}
        self._file = GrowingFile(path)

    def page(self, url: str) -> WebPage:
        """The recorded page, or else the page as it is now; it is on the disk when this returns."""
        if url not in self._recorded:
            page = self._reader.page(url)
            self._file.add({"asked": url, "date": datetime.now(UTC).date().isoformat(), **asdict(page)})
            self._recorded[url] = page
        return self._recorded[url]


def _read(path: Path) -> dict[str, WebPage]:
    pages = {}
    for where, entry in read_lines(path):
        texts = texts_of(entry, ("asked", "date", "title", "url", "text"), where)
        pages[texts["asked"]] = WebPage(texts["title"], texts["url"], texts["text"])
    return pages

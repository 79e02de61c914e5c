"""Screenshots of a run inside a page: each is shrunk, encoded and stored once, however often it is shown."""

from pathlib import Path
from typing import Any

from PIL import Image

from setaria.agents.embedded_images import data_uri
from setaria.datasets_builders.gui.pages import Page


LONGEST_SIDE = 720  # pixels: a phone's texts can still be read, and a screen takes some 30 kB


class ScreenStore:
    """The screenshots that a page shows, by number.

    Attributes:
        uris: data URI of every screenshot, PNG or JPEG, whichever is smaller.
    """

    def __init__(self, run: Path):
        self.uris: list[str] = []
        self._run = run.resolve()
        self._numbers: dict[Path, int | None] = {}

    def number(self, page: dict[str, Any]) -> int | None:
        """Index of the page's screenshot in `uris`; `None` if it is missing, or no image.

        Raises:
            ValueError: for a path that leads out of the run.
        """
        file = (self._run / page["screen"]).resolve()
        if not file.is_relative_to(self._run):
            raise ValueError(f"screen {page['screen'][:200]!r} is outside the run")
        if file not in self._numbers:
            uri = _screenshot(file)
            self._numbers[file] = None if uri is None else len(self.uris)
            self.uris += [] if uri is None else [uri]
        return self._numbers[file]


def _screenshot(file: Path) -> str | None:
    try:
        if not file.is_file():
            return None
        image = Page(file.name, file).image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return data_uri(image, LONGEST_SIDE)

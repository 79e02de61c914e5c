"""Images of tweets inside a page: each is shrunk, encoded and stored once, and none from outside its folder."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image

from setaria.agents.embedded_images import data_uri
from setaria.datasets_builders.mner.grounding_prompts import read_image


LONGEST_SIDE = 640  # pixels: half of the tweets' images are no larger, and one takes some 60 kB


class Embedded(NamedTuple):
    """An image of a page: its number and size (width, height) in pixels, or why there is none."""

    number: int | None
    size: tuple[int, int] | None = None
    problem: str = ""


class EmbeddedImages:
    """The images that a page shows, by number.

    Attributes:
        uris: data URI of every image, PNG or JPEG, whichever is smaller.
    """

    def __init__(self, root: Path):
        self.uris: list[str] = []
        self._root = root.resolve()
        self._known: dict[str, Embedded] = {}

    def image(self, name: str) -> Embedded:
        """The image of this name, relative to the folder."""
        if name not in self._known:
            try:
                image = self._read(name)
            except (ValueError, OSError) as error:  # OSError: no file can have this name
                self._known[name] = Embedded(None, problem=str(error))
            else:
                self._known[name] = Embedded(len(self.uris), image.size)
                self.uris.append(data_uri(image, LONGEST_SIDE))
        return self._known[name]

    def _read(self, name: str) -> Image.Image:
        file = (self._root / name).resolve()
        if not file.is_relative_to(self._root):
            raise ValueError("its path leaves the folder of the images")
        return read_image(file)

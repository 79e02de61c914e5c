"""A page: what a GUI agent observes. And when two pages are the same one."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from setaria.datasets_builders.gui.elements import Element, candidate_actions, read_elements
from setaria.rewards.gui.actions import Action


MOST_PIXELS = 40_000_000
SCREENSHOTS_KEPT = 128
SAME_LINES = 0.5
SAME_PIXELS = 0.3


@dataclass(frozen=True, eq=False)
class Page:
    """A screen and its view hierarchy.

    Attributes:
        id: name of the page in its environment.
        screenshot: the image, or the file from which it is read when it is first looked at.
        xml: view hierarchy; empty where a dataset has none.
    """

    id: str
    screenshot: Path | Image.Image = field(repr=False)
    xml: str = field(default="", repr=False)

    @property
    def image(self) -> Image.Image:
        """The screenshot in RGB; of those read from files, the last ones are kept.

        Raises:
            ValueError: naming the file, for one that is no image, is cut off or too large.
        """
        if isinstance(self.screenshot, Image.Image):
            return self.screenshot.convert("RGB")
        return _read_screenshot(self.screenshot)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size

    @cached_property
    def elements(self) -> list[Element]:
        """Visible leaves and scrollable containers.

        Raises:
            ValueError: naming the page, for a hierarchy that cannot be read.
        """
        try:
            return read_elements(self.xml) if self.xml else []
        except ValueError as error:
            raise ValueError(f"xml of page {self.id}: {error}") from None

    @cached_property
    def html(self) -> list[str]:
        """Mobile3M's lines, derived from the hierarchy."""
        return [element.html for element in self.elements]

    @cached_property
    def actions(self) -> list[Action]:
        """A(P), the candidate actions."""
        return candidate_actions(self.elements)


def same_page(one: Page, other: Page) -> bool:
    """Mobile3M's rule: more than half of all html lines are shared, less than .3 of the pixels' channels differ."""
    return one is other or (line_overlap(one, other) > SAME_LINES and pixel_difference(one, other) < SAME_PIXELS)


def line_overlap(one: Page, other: Page) -> float:
    """Jaccard index of the sets of html lines; 1 for two pages without any."""
    lines, others = set(one.html), set(other.html)
    return len(lines & others) / len(lines | others) if lines | others else 1.0


def pixel_difference(one: Page, other: Page) -> float:
    """Share of unequal array elements (per channel, exact); 1 for images of different sizes."""
    pixels, others = np.asarray(one.image), np.asarray(other.image)
    return float(np.mean(pixels != others)) if pixels.shape == others.shape else 1.0


@lru_cache(SCREENSHOTS_KEPT)
def _read_screenshot(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.size} pixels, at most {MOST_PIXELS} are read")
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: no screenshot ({error})") from None

"""How the apps world looks: widgets laid out on a phone screen, drawn with Pillow, and their view hierarchy."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from xml.etree.ElementTree import Element as Node
from xml.etree.ElementTree import SubElement, tostring

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from setaria.rewards.boxes import Box, center


FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
WIDTH, HEIGHT = 360, 640  # of the layout; a screen is scaled from it
TOP = 96
# Kind of a widget: its height in the layout and its Android class.
KINDS = {
    "back": (0, "android.widget.ImageView"),
    "list": (0, "androidx.recyclerview.widget.RecyclerView"),
    "entry": (72, "android.widget.TextView"),
    "search": (60, "android.widget.EditText"),
    "note": (60, "android.widget.EditText"),
    "banner": (60, "android.view.View"),
    "button": (60, "android.widget.Button"),
    "label": (48, "android.widget.TextView"),
    "picture": (152, "android.widget.ImageView"),
}
PRIMARIES = ("#3367d6", "#00796b", "#7b1fa2", "#c2185b", "#ef6c00", "#455a64")


@dataclass(frozen=True)
class Widget:
    """One thing on a screen: its kind, its text or description, and its glyph."""

    kind: str
    text: str
    glyph: str = ""


@dataclass(frozen=True)
class Theme:
    """Colours and shapes of an app."""

    primary: str
    dark: bool
    round: int
    rules: bool

    @classmethod
    def draw(cls, rng: random.Random) -> "Theme":
        """A random theme."""
        return cls(rng.choice(PRIMARIES), rng.random() < 0.4, rng.choice((4, 12, 24)), rng.random() < 0.5)

    @property
    def ground(self) -> str:
        """Colour of the background."""
        return "#16181c" if self.dark else "#fafafa"

    @property
    def ink(self) -> str:
        """Colour of text."""
        return "#e8eaed" if self.dark else "#202124"

    @property
    def card(self) -> str:
        """Colour of boxes on the background."""
        return "#2a2d33" if self.dark else "#eceff1"


@dataclass(frozen=True)
class Screen:
    """A screen: its widgets from top to bottom, drawn `size` pixels large; `grid` sets entries in two columns."""

    title: str
    widgets: tuple[Widget, ...]
    theme: Theme
    size: tuple[int, int]
    package: str
    grid: bool = False

    @cached_property
    def image(self) -> Image.Image:
        """The screenshot."""
        image = Image.new("RGB", self.size, self.theme.ground)
        pen = _Pen(ImageDraw.Draw(image), self.theme, self.size[0] / WIDTH)
        pen.header(self.title)
        for widget, box in self._placed:
            getattr(pen, widget.kind)(widget, box)
        return image

    @property
    def xml(self) -> str:
        """The view hierarchy, as Appium gives it."""
        root = Node("hierarchy", rotation="0")
        frame = self._node(root, "android.widget.FrameLayout", (0, 0, WIDTH, HEIGHT))
        self._node(frame, "android.widget.TextView", (64, 40, 344, 80), text=self.title)
        parent = frame
        for widget, box in self._placed:
            node = self._node(
                parent,
                KINDS[widget.kind][1],
                box,
                **{"content-desc" if widget.kind in ("back", "banner", "picture") else "text": widget.text},
                clickable=str(widget.kind in ("back", "entry", "search", "note", "banner", "button")).lower(),
                scrollable=str(widget.kind == "list").lower(),
            )
            if widget.kind == "list":
                parent = node
        return tostring(root, encoding="unicode")

    @cached_property
    def _placed(self) -> list[tuple[Widget, Box]]:
        return list(_place(self.widgets, self.grid))

    def _node(self, parent: Node, class_name: str, box: Box, **attributes: str) -> Node:
        scale = self.size[0] / WIDTH
        x1, y1, x2, y2 = (round(number * scale) for number in box)
        bounds = f"[{x1},{y1}][{x2},{y2}]"
        common = {"class": class_name, "package": self.package, "displayed": "true", "bounds": bounds}
        return SubElement(parent, class_name, {**common, **attributes})


def _place(widgets: tuple[Widget, ...], grid: bool) -> Iterator[tuple[Widget, Box]]:
    """Each widget and its box in the layout."""
    y, column = TOP, 0
    for widget in widgets:
        height = KINDS[widget.kind][0]
        if widget.kind == "back":
            yield widget, (8, 40, 56, 80)
        elif widget.kind == "list":
            yield widget, (0, y, WIDTH, HEIGHT - 48)
        elif widget.kind == "entry" and grid:
            left = 8 + 176 * column
            yield widget, (left, y, left + 168, y + 104)
            y, column = y + 112 * column, 1 - column
        else:
            y, column = y + 112 * column, 0
            margin = 0 if widget.kind == "entry" else 16
            yield widget, (margin, y, WIDTH - margin, y + height - (0 if widget.kind == "entry" else 8))
            y += height


class _Pen:
    """Draws widgets; boxes in the layout's units."""

    def __init__(self, draw: ImageDraw.ImageDraw, theme: Theme, scale: float):
        self.draw, self.theme, self.scale = draw, theme, scale

    def header(self, title: str) -> None:
        self._box((0, 0, WIDTH, 88), self.theme.primary)
        self._text((12, 14), "12:30", 12, "white")
        self._box((328, 9, 346, 18), "white")
        self._text((64, 60), title, 22, "white", bold=True)

    def back(self, widget: Widget, box: Box) -> None:
        self._text(center(box), "←", 26, "white", anchor="mm")

    def list(self, widget: Widget, box: Box) -> None:
        self._box((352, box[1] + 8, 356, box[1] + 120), self.theme.card)

    def entry(self, widget: Widget, box: Box) -> None:
        x1, y1, x2, y2 = box
        if x2 - x1 < WIDTH:
            self._box(box, self.theme.card, self.theme.round)
            self._icon(widget, ((x1 + x2) / 2, y1 + 42), 28)
            self._text(((x1 + x2) / 2, y2 - 18), widget.text, 16, self.theme.ink, anchor="mm")
            return
        self._icon(widget, (44, (y1 + y2) / 2), 28)
        self._text((88, (y1 + y2) / 2), widget.text, 20, self.theme.ink)
        if self.theme.rules:
            self._box((84, y2 - 1, x2, y2), self.theme.card)

    def search(self, widget: Widget, box: Box) -> None:
        self._box(box, self.theme.card, 24)
        self._text((box[0] + 20, center(box)[1]), f"⊕  {widget.text}", 18, self.theme.ink)

    def note(self, widget: Widget, box: Box) -> None:
        self._box((box[0], box[3] - 2, box[2], box[3]), self.theme.ink)
        self._text((box[0] + 4, center(box)[1]), widget.text, 18, self.theme.ink)

    def banner(self, widget: Widget, box: Box) -> None:
        self._box(box, "#ffb300", 4)
        self._text(center(box), f"✪ {widget.text} ✪", 18, "#3e2723", bold=True, anchor="mm")

    def button(self, widget: Widget, box: Box) -> None:
        self._box(box, self.theme.primary, self.theme.round)
        self._text(center(box), widget.text, 18, "white", bold=True, anchor="mm")

    def label(self, widget: Widget, box: Box) -> None:
        self._text(center(box), widget.text, 18, self.theme.ink, anchor="mm")

    def picture(self, widget: Widget, box: Box) -> None:
        self._icon(widget, center(box), 64)

    def _icon(self, widget: Widget, at: tuple[float, float], radius: float) -> None:
        x, y = at
        hue = sum(map(ord, widget.glyph)) * 47 % 360
        self._box((x - radius, y - radius, x + radius, y + radius), f"hsl({hue},65%,42%)", radius)
        self._text(at, widget.glyph, 1.4 * radius, "white", anchor="mm")

    def _box(self, box: Box, colour: str, radius: float = 0) -> None:
        corners = [number * self.scale for number in box]
        self.draw.rounded_rectangle(corners, radius * self.scale, fill=colour)

    def _text(self, at, text: str, size: float, colour: str, bold: bool = False, anchor: str = "lm") -> None:
        font = _font("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", round(size * self.scale))
        self.draw.text((at[0] * self.scale, at[1] * self.scale), text, colour, font, anchor)


@lru_cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / name), size)

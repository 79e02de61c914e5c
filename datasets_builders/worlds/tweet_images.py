"""How the tweets world looks: people, towers, logos and cars in strong colours on pale grounds, drawn with Pillow."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageColor, ImageDraw, ImageFont

from setaria.datasets_builders.worlds.app_screens import FONTS
from setaria.datasets_builders.worlds.tweet_names import COLOURS, Meaning
from setaria.rewards.boxes import Box


Cells: TypeAlias = tuple[int, int, int, int]

GRID = 16  # boxes are given in sixteenths of the image
FINER = 2  # images are drawn so many times larger, for smooth edges
HORIZON = 0.55
INK, GREY, GLASS = "#37393f", "#9a9ca3", "#dfeaf2"
SKINS = ("#f3cfae", "#dcaa80", "#ad7650", "#71492f")
HAIRS = ("#3a2a20", "#6d4a30", "#b08b52", "#8d8d90")
GLYPHS = dict(zip(COLOURS, "★♛⚡♣⚓♫♥♞", strict=True))
SIGNS = ("OPEN", "SALE", "CAFE", "TAXI", "EXIT", "LIVE", "MENU", "NEWS", "HELLO", "MARKET", "TICKETS", "PARKING")


@dataclass(frozen=True)
class Thing:
    """Something with a look, and its box in sixteenths of the image's width and height."""

    meaning: Meaning
    box: Cells


@dataclass(frozen=True)
class Scene:
    """An image: its size (width, height), multiples of 16; its ground; its things, none over another."""

    size: tuple[int, int]
    ground: str
    things: tuple[Thing, ...]
    seed: int

    def pixels(self, thing: Thing) -> Box:
        """The box of a thing in the image."""
        (width, height), (x1, y1, x2, y2) = self.size, thing.box
        return x1 * width // GRID, y1 * height // GRID, x2 * width // GRID, y2 * height // GRID

    def draw(self) -> Image.Image:
        """The image."""
        rng = random.Random(self.seed)
        width, height = self.size
        image = Image.new("RGB", (FINER * width, FINER * height))
        canvas = ImageDraw.Draw(image)
        whole = _Pen(canvas, (0, 0, GRID, GRID), image.size)
        GROUNDS[self.ground](whole.plain, rng)
        _sign(whole, rng, [thing.box for thing in self.things])
        for thing in sorted(self.things, key=lambda one: one.box[3]):
            colour = _shade(COLOURS[thing.meaning.colour], rng.uniform(0.94, 1.06))
            pen = _Pen(canvas, thing.box, image.size)
            if thing.meaning.type == "ORG":
                _logo(pen, whole, thing.box, colour, GLYPHS[thing.meaning.colour])
            else:
                pen.plain.oval(0.06, 0.95, 0.94, 1.03, "#8b8b88")
                STANDING[thing.meaning.type](pen, colour, rng)
        return image.reduce(FINER)


class _Pen:
    """Draws in a frame, whose width and height are 1; `plain` does so without outlines."""

    def __init__(self, canvas: ImageDraw.ImageDraw, box: Cells, size: tuple[int, int], edge: str | None = INK):
        self.canvas, self.box, self.size, self.edge = canvas, box, size, edge
        self.left, self.top = box[0] * size[0] / GRID, box[1] * size[1] / GRID
        self.width, self.height = (box[2] - box[0]) * size[0] / GRID, (box[3] - box[1]) * size[1] / GRID
        self.line = max(2, round(min(size) / 200)) if edge else 0

    @property
    def plain(self) -> "_Pen":
        return _Pen(self.canvas, self.box, self.size, edge=None)

    def rectangle(self, x1: float, y1: float, x2: float, y2: float, fill: str, radius: float = 0) -> None:
        corners = (*self._at((x1, y1)), *self._at((x2, y2)))
        self.canvas.rounded_rectangle(corners, radius * min(self.width, self.height), fill, self.edge, self.line)

    def oval(self, x1: float, y1: float, x2: float, y2: float, fill: str) -> None:
        self.canvas.ellipse((*self._at((x1, y1)), *self._at((x2, y2))), fill, self.edge, self.line)

    def shape(self, fill: str, *points: tuple[float, float]) -> None:
        corners = [self._at(point) for point in points]
        self.canvas.polygon(corners, fill)
        if self.edge:
            self.canvas.line([*corners, corners[0]], self.edge, self.line, joint="curve")

    def smile(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.canvas.arc((*self._at((x1, y1)), *self._at((x2, y2))), 30, 150, self.edge, self.line)

    def text(self, x: float, y: float, text: str, size: float, fill: str) -> None:
        """`size` is a share of the frame's shorter side."""
        font = _font(max(4, round(size * min(self.width, self.height))))
        self.canvas.text(self._at((x, y)), text, fill, font, "mm")

    def _at(self, point: tuple[float, float]) -> tuple[int, int]:
        return round(self.left + point[0] * self.width), round(self.top + point[1] * self.height)


def _person(pen: _Pen, colour: str, rng: random.Random) -> None:
    skin, hair, trousers = rng.choice(SKINS), rng.choice(HAIRS), rng.choice(("#5b5f6b", "#76705f", "#4d5560"))
    for x in (0.3, 0.54):
        pen.rectangle(x, 0.78, x + 0.16, 0.97, trousers)
        pen.oval(x - 0.04, 0.93, x + 0.2, 1, INK)
    pen.oval(0.28, 0.1, 0.72, 0.44, hair)
    for x in (0, 0.84):
        pen.oval(x, 0.6, x + 0.16, 0.72, skin)
    left = ((0.28, 0.4), (0.02, 0.62), (0.16, 0.68), (0.16, 0.84))
    pen.shape(colour, *left, *((1 - x, y) for x, y in reversed(left)))
    pen.shape("#f7f4ee", (0.4, 0.4), (0.6, 0.4), (0.5, 0.5))
    for y in (0.56, 0.65, 0.74):
        pen.plain.oval(0.47, y, 0.53, y + 0.03, "#f7f4ee")
    pen.oval(0.33, 0.12, 0.67, 0.42, skin)
    for x in (0.42, 0.55):
        pen.plain.oval(x, 0.24, x + 0.035, 0.275, INK)
    pen.smile(0.43, 0.24, 0.57, 0.37)
    pen.rectangle(0.32, 0, 0.68, 0.15, colour, 0.06)
    pen.rectangle(0.2, 0.13, 0.8, 0.19, colour, 0.03)


def _tower(pen: _Pen, colour: str, rng: random.Random) -> None:
    dark = _shade(colour, 0.78)
    pen.rectangle(0.48, 0, 0.52, 0.2, GREY)
    pen.shape("#fbfaf5", (0.52, 0.01), (0.78, 0.05), (0.52, 0.1))
    pen.shape(colour, (0.5, 0.1), (0.86, 0.3), (0.14, 0.3))
    pen.rectangle(0.18, 0.3, 0.82, 1, colour)
    for x in (0, 0.25, 0.5, 0.75):
        pen.rectangle(x, 0.29, x + 0.25 - 0.06 * (x < 0.7), 0.4, colour)
    pen.rectangle(0, 0.36, 1, 0.44, colour)
    pen.rectangle(0.08, 0.9, 0.92, 1, dark)
    for x, y in ((0.28, 0.5), (0.58, 0.5), (0.28, 0.65), (0.58, 0.65)):
        pen.rectangle(x, y, x + 0.14, y + 0.09, "#fff6d8" if rng.random() < 0.7 else GLASS)
    pen.rectangle(0.4, 0.8, 0.6, 1, "#6b5847", 0.1)


def _car(pen: _Pen, colour: str, rng: random.Random) -> None:
    drives_left = rng.random() < 0.5

    def body(fill: str, *points: tuple[float, float]) -> None:
        pen.shape(fill, *((1 - x if drives_left else x, y) for x, y in points))

    body(colour, (0.16, 0.48), (0.3, 0), (0.7, 0), (0.9, 0.48))
    body(GLASS, (0.24, 0.44), (0.34, 0.1), (0.48, 0.1), (0.48, 0.44))
    body(GLASS, (0.54, 0.44), (0.54, 0.1), (0.68, 0.1), (0.8, 0.44))
    pen.rectangle(0, 0.42, 1, 0.84, colour, 0.18)
    pen.plain.rectangle(0.02, 0.68, 0.98, 0.76, _shade(colour, 0.78))
    lamp = 0.03 if drives_left else 0.9
    pen.oval(lamp, 0.5, lamp + 0.07, 0.64, "#fff3c0")
    for left in (0.12, 0.64):
        pen.oval(left, 0.62, left + 0.24, 1, INK)
        pen.oval(left + 0.07, 0.73, left + 0.17, 0.89, "#d5d7da")


def _logo(pen: _Pen, whole: _Pen, box: Cells, colour: str, glyph: str) -> None:
    x, bottom = (box[0] + box[2]) / 2 / GRID, box[3] / GRID
    whole.rectangle(x - 0.012, bottom - 0.03, x + 0.012, 0.9, GREY)
    pen.oval(0, 0, 1, 1, colour)
    pen.plain.oval(0.07, 0.07, 0.93, 0.93, "#ffffff")
    pen.plain.oval(0.11, 0.11, 0.89, 0.89, colour)
    pen.text(0.5, 0.5, glyph, 0.5, "#ffffff")


STANDING: dict[str, Callable[[_Pen, str, random.Random], None]] = {"PER": _person, "LOC": _tower, "OTHER": _car}


def _park(pen: _Pen, rng: random.Random) -> None:
    _sky(pen, rng, "#dceefa")
    for _ in range(4):
        _tree(pen, rng.random(), HORIZON + 0.03, rng.uniform(0.1, 0.17), "#b9cfae", "#c4b59f")
    pen.rectangle(0, HORIZON, 1, 1, "#d3e5c5")
    x = rng.uniform(0.2, 0.8)
    pen.shape("#ebe3d0", (x - 0.04, HORIZON), (x + 0.04, HORIZON), (0.75, 1), (0.2, 1))


def _street(pen: _Pen, rng: random.Random) -> None:
    _sky(pen, rng, "#e9eff5")
    left = 0.0
    while left < 1:
        width, top = rng.uniform(0.14, 0.24), rng.uniform(0.1, 0.34)
        pen.rectangle(left, top, left + width, HORIZON, rng.choice(("#d9dce2", "#cfd3da", "#e2ddd5")))
        for row in range(int((HORIZON - top) / 0.09)):
            for column in (0.2, 0.6):
                x, y = left + column * width, top + 0.03 + 0.09 * row
                pen.rectangle(x, y, x + 0.2 * width, y + 0.045, "#f6f3e6")
        left += width
    pen.rectangle(0, HORIZON, 1, 1, "#dedad4")
    pen.rectangle(0, 0.68, 1, 0.95, "#c3c5ca")
    for x in range(6):
        pen.rectangle(x / 6 + 0.03, 0.805, x / 6 + 0.12, 0.825, "#f2f2f0")


def _beach(pen: _Pen, rng: random.Random) -> None:
    _sky(pen, rng, "#d9effa")
    pen.oval(0.78, 0.06, 0.9, 0.18, "#fdf3cf")
    pen.rectangle(0, 0.42, 1, 0.66, "#bcdde8")
    for _ in range(7):
        x, y = rng.random(), rng.uniform(0.45, 0.58)
        pen.rectangle(x, y, x + 0.1, y + 0.008, "#e4f3f7")
    pen.shape("#f3e8cd", (0, 0.6), (0.35, 0.57), (0.7, 0.62), (1, 0.58), (1, 1), (0, 1))


def _room(pen: _Pen, rng: random.Random) -> None:
    pen.rectangle(0, 0, 1, 1, rng.choice(("#f4ecdd", "#e8eef0", "#efe8f0")))
    x = rng.uniform(0.08, 0.6)
    pen.rectangle(x, 0.1, x + 0.3, 0.4, "#dcecf6")
    pen.rectangle(x + 0.145, 0.1, x + 0.155, 0.4, "#f9f7f2")
    pen.rectangle(x, 0.245, x + 0.3, 0.255, "#f9f7f2")
    pen.rectangle(0, 0.62, 1, 1, "#dcc9ae")
    for y in (0.72, 0.84):
        pen.rectangle(0, y, 1, y + 0.006, "#cbb698")
    pen.rectangle(0, 0.59, 1, 0.625, "#fbf9f4")


def _stage(pen: _Pen, rng: random.Random) -> None:
    pen.rectangle(0, 0, 1, 1, "#e9e3ee")
    for fold in range(10):
        pen.rectangle(fold / 10, 0, fold / 10 + 0.05, 0.64, "#ded5e6")
    for x in (0.2, 0.5, 0.8):
        aim = x + rng.uniform(-0.15, 0.15)
        pen.shape("#f6f1f4", (x - 0.02, 0), (x + 0.02, 0), (aim + 0.14, 0.7), (aim - 0.14, 0.7))
        pen.rectangle(x - 0.03, 0, x + 0.03, 0.04, GREY)
    pen.rectangle(0, 0.62, 1, 1, "#d9c8b0")
    pen.rectangle(0, 0.62, 1, 0.64, "#c5b094")


def _snow(pen: _Pen, rng: random.Random) -> None:
    _sky(pen, rng, "#e3eaf6")
    for _ in range(3):
        x, top = rng.random(), rng.uniform(0.12, 0.28)
        pen.shape("#c6cfde", (x, top), (x + 0.34, HORIZON + 0.02), (x - 0.34, HORIZON + 0.02))
        pen.shape("#f8fafd", (x, top), (x + 0.08, top + 0.09), (x, top + 0.06), (x - 0.08, top + 0.09))
    pen.rectangle(0, HORIZON, 1, 1, "#f3f6fa")
    for _ in range(4):
        x = rng.random()
        pen.shape("#b4c7c3", (x, 0.4), (x + 0.06, 0.6), (x - 0.06, 0.6))


GROUNDS: dict[str, Callable[[_Pen, random.Random], None]] = {
    "park": _park,
    "street": _street,
    "beach": _beach,
    "room": _room,
    "stage": _stage,
    "snow": _snow,
}


def _sky(pen: _Pen, rng: random.Random, colour: str) -> None:
    pen.rectangle(0, 0, 1, 1, colour)
    for _ in range(2):
        x, y = rng.random(), rng.uniform(0.04, 0.2)
        for shift, radius in ((0, 0.035), (0.05, 0.05), (0.1, 0.035)):
            pen.oval(x + shift - radius, y - 0.7 * radius, x + shift + radius, y + 0.7 * radius, "#fafcfd")


def _tree(pen: _Pen, x: float, foot: float, radius: float, leaves: str, wood: str) -> None:
    pen.rectangle(x - 0.012, foot - 0.16, x + 0.012, foot, wood)
    pen.oval(x - 0.6 * radius, foot - 0.12 - 2 * radius, x + 0.6 * radius, foot - 0.1, leaves)


def _sign(pen: _Pen, rng: random.Random, boxes: list[Cells]) -> None:
    """A board with a word where nothing else stands, on a post; a large one where there is nothing at all."""
    wide, high = (4, 2) if boxes else (9, 4)
    free = [
        (x, y, x + wide, y + high)
        for x in range(1, GRID - wide)
        for y in range(3, 9)
        if all(x + wide <= x1 or x2 <= x for x1, _, x2, _ in boxes)
    ]
    if not free:
        return
    x1, y1, x2, y2 = (number / GRID for number in rng.choice(free))
    middle = (x1 + x2) / 2
    pen.rectangle(middle - 0.01, y2, middle + 0.01, 0.8, GREY)
    pen.rectangle(x1, y1, x2, y2, "#fbfaf6", 0.01)
    word = rng.choice(SIGNS)
    pen.text(middle, (y1 + y2) / 2, word, 1.1 * (x2 - x1) / max(4, len(word)), INK)


def _shade(colour: str, factor: float) -> str:
    red, green, blue, *_ = (min(255, round(part * factor)) for part in ImageColor.getrgb(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / "DejaVuSans-Bold.ttf"), size)

"""Boxes in the numbers of a vision-language model family: pixels of the image in, what the model reads and writes out.

    family       numbers                          own form of a box
    qwen2_vl     0..1000 of the image             <|box_start|>(x1,y1),(x2,y2)<|box_end|>
    qwen2_5_vl   pixels of the processed image    {"bbox_2d": [x1, y1, x2, y2]}
    qwen3_vl     0..1000 of the image             {"bbox_2d": [x1, y1, x2, y2]}
    internvl     0..1000 of the image             <box>[[x1, y1, x2, y2]]</box>
    glm4v        0..1000 of the image             <|begin_of_box|>[[x1,y1,x2,y2]]<|end_of_box|>       GLM-4.5V
    deepseek_vl2 0..999 of the image              <|det|>[[x1, y1, x2, y2]]<|/det|>

A box is (x1, y1, x2, y2) in pixels of the original image, half-open: x2 and y2 are the first pixels outside. Numbers
are rounded to the nearest unit, and back to whole pixels, on which annotations lie. So a box of whole pixels survives
the round trip exactly where a unit is no larger than a pixel: in images of up to 999 pixels a side, and with
Qwen2.5-VL in those that its processor does not shrink. Elsewhere an edge moves by at most half a unit plus half a
pixel.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias


Box: TypeAlias = tuple[float, float, float, float]
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class BoxCodec:
    """How one family writes boxes; `box_codec` makes them.

    Attributes:
        units: the number at the right and at the bottom edge of the image; `None` for pixels of the processed image.
        box_form: the family's text around the four numbers; `None` for JSON.
        label_form: the family's text before a box that says what is in it; empty if it has none.

    The methods take image sizes as (width, height) in pixels: `image_size` of the original image, and `processed_size`
    of what the model sees, which only a family that writes pixels of the processed image needs (`processed_size` and
    `to_fixed_point` in `setaria.models.image_size` say it). They raise ValueError where it is missing.
    """

    units: int | None
    box_form: str | None = None
    label_form: str = ""

    def encode(self, box: Box, image_size: Size, processed_size: Size | None = None) -> tuple[int, int, int, int]:
        """The four numbers of a box in pixels of the original image.

        What reaches over the image is cut off. A side thinner than a unit may become empty.

        Raises:
            ValueError: for a box that is inverted, not finite or outside the image.
        """
        x1, y1, x2, y2 = box
        width, height = image_size
        if not all(map(isfinite, box)) or not (max(x1, 0) <= min(x2, width) and max(y1, 0) <= min(y2, height)):
            raise ValueError(f"box {box} is no box in an image of {width} x {height} pixels")
        across, down = self._number_at_the_edges(processed_size)
        return (
            _rescale(x1, width, across),
            _rescale(y1, height, down),
            _rescale(x2, width, across),
            _rescale(y2, height, down),
        )

    def decode(self, numbers: Sequence[float], image_size: Size, processed_size: Size | None = None) -> Box:
        """The box in whole pixels of the original image that four numbers of a model mean.

        Numbers outside the image count as its edge, infinite ones too. The order of the corners stays: an inverted box
        comes out inverted.

        Raises:
            ValueError: for other than four numbers, and for NaN.
        """
        x1, y1, x2, y2 = numbers
        width, height = image_size
        across, down = self._number_at_the_edges(processed_size)
        return (
            _rescale(x1, across, width),
            _rescale(y1, down, height),
            _rescale(x2, across, width),
            _rescale(y2, down, height),
        )

    def format(self, box: Box, image_size: Size, processed_size: Size | None = None, label: str = "") -> str:
        """A box in pixels of the original image as the family's own text, with what it shows if `label` is given."""
        numbers = self.encode(box, image_size, processed_size)
        if self.box_form is None:
            return json.dumps({"bbox_2d": numbers} | ({"label": label} if label else {}), ensure_ascii=False)
        return (self.label_form.format(label) if label else "") + self.box_form.format(*numbers)

    def _number_at_the_edges(self, processed_size: Size | None) -> Size:
        if self.units is not None:
            return self.units, self.units
        if processed_size is None:
            raise ValueError("processed_size is missing: this family writes boxes in pixels of the processed image")
        return processed_size


CODECS = {
    "qwen2_vl": BoxCodec(
        1000, "<|box_start|>({},{}),({},{})<|box_end|>", label_form="<|object_ref_start|>{}<|object_ref_end|>"
    ),
    "qwen2_5_vl": BoxCodec(None),
    "qwen3_vl": BoxCodec(1000),
    "internvl": BoxCodec(1000, "<box>[[{}, {}, {}, {}]]</box>", label_form="<ref>{}</ref>"),
    "glm4v": BoxCodec(1000, "<|begin_of_box|>[[{},{},{},{}]]<|end_of_box|>"),
    "deepseek_vl2": BoxCodec(999, "<|det|>[[{}, {}, {}, {}]]<|/det|>", label_form="<|ref|>{}<|/ref|>"),
}


def box_codec(family: str) -> BoxCodec:
    """Codec of a model family, one of `CODECS`; ValueError for another name."""
    if family not in CODECS:
        raise ValueError(f"family is {family!r}: boxes of {', '.join(CODECS)} are known")
    return CODECS[family]


def _rescale(value: float, length: int, new_length: int) -> int:
    """Where a point of a line of `length` units lies on one of `new_length`; points outside move to the end."""
    return round(min(max(value, 0), length) * new_length / length)

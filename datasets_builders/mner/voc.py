"""The boxes of one image in Pascal VOC's xml: its size, and named objects with pixels (xmin, ymin, xmax, ymax).

Files are data: no document type definition, hence no entity of its own, is accepted, nor a large file. `filename` and
`path` are leftovers of the annotators' tool and are not looked at.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from setaria.rewards.boxes import FARTHEST, Box


MOST_BYTES = 1_000_000
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """What a file says.

    Attributes:
        size: (width, height) of the image in pixels, both above 0.
        objects: name and box of each, as written; several of one name are several right boxes.
    """

    size: tuple[int, int]
    objects: tuple[tuple[str, Box], ...]

    def boxes(self, name: str) -> tuple[Box, ...]:
        """The boxes of a name, spelled exactly so."""
        return tuple(box for written, box in self.objects if written == name)


def read_annotation(file: Path) -> Annotation:
    """Read one file.

    Raises:
        ValueError: naming the file and the field that is missing or wrong.
        OSError: for a file that cannot be opened.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: larger than {MOST_BYTES} bytes")
    try:
        root = fromstring(file.read_bytes(), forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:  # ill-formed; forbidden; of an unknown encoding
        raise ValueError(f"{file}: no xml that is read here: {' '.join(str(error).split())}") from None
    try:
        width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
        if not (width.is_integer() and height.is_integer() and min(width, height) > 0):
            raise ValueError(f"size: {width:g} x {height:g} is no size in pixels")
        objects = []
        for number, element in enumerate(root.findall("object"), start=1):
            objects.append(_object(element, number))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return Annotation((int(width), int(height)), tuple(objects))


def _object(element: Element, number: int) -> tuple[str, Box]:
    try:
        x1, y1, x2, y2 = (_number(element, f"bndbox/{corner}") for corner in CORNERS)
        return _text(element, "name"), (x1, y1, x2, y2)
    except ValueError as error:
        raise ValueError(f"object {number}: {error}") from None


def _number(element: Element, field: str) -> float:
    text = _text(element, field)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) <= FARTHEST:
        raise ValueError(f"{field}: {text[:80]!r} is no number of pixels")
    return number


def _text(element: Element, field: str) -> str:
    text = element.findtext(field)
    if not text:
        raise ValueError(f"{field}: missing or empty")
    return text

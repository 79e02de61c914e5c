"""Entities of a text that may be seen in its image: what is annotated, and what a system says (Twitter-GMNER).

Spans are token positions, `start` included and `end` not; boxes are in pixels of the original image.
"""

from dataclasses import dataclass

from setaria.rewards.boxes import Box


@dataclass(frozen=True)
class GoldEntity:
    """An annotated entity.

    Attributes:
        start, end: its tokens.
        text: its tokens, joined by one space.
        type: coarse type, such as PER.
        fine: fine type, empty where the data have none.
        boxes: any of them is right; none: the entity cannot be seen.
    """

    start: int
    end: int
    text: str
    type: str
    fine: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class PredictedEntity:
    """What a system says about a span.

    Attributes:
        box: where it is to be seen; `None`: not in the image.
        readable: False if the answer about its place could not be parsed, which is wrong and not a `None`.
    """

    start: int
    end: int
    text: str
    type: str
    fine: str = ""
    box: Box | None = None
    readable: bool = True

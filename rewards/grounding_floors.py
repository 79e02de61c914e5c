"""What systems without a look at the image score: the floors beside which grounding results are to be read.

`always_none` says of every entity that it is not in the image; `whole_image` knows which ones are and says that they
fill it. Both give predictions, so that floors are scored by the same convention as the system, and with its spans and
types as well as with gold's. `floors` counts the simplest case: gold spans and types.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from setaria.rewards.boxes import Box, best_iou
from setaria.rewards.entity_matching import RIGHT_IOU
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Floors:
    """How many entities are right without looking.

    Attributes:
        entities: of all tweets.
        always_none: right if the answer is always None.
        whole_image: right if the answer is None or the whole image, whichever gold has, at an IoU of .5 or more.
    """

    entities: int
    always_none: int
    whole_image: int


def floors(tweets: Iterable[tuple[Sequence[GoldEntity], Size | None]]) -> Floors:
    """Floors of tweets, given as (gold entities, image size).

    Raises:
        ValueError: for an entity with boxes in an image of unknown size.
    """
    entities = none = covered = 0
    for golds, size in tweets:
        for gold, answer in zip(golds, whole_image(golds, size), strict=True):
            entities += 1
            none += not gold.boxes
            covered += answer.box is not None and best_iou(answer.box, gold.boxes) >= RIGHT_IOU
    return Floors(entities, none, none + covered)


def always_none(entities: Iterable[GoldEntity | PredictedEntity]) -> tuple[PredictedEntity, ...]:
    """The entities, none of which is in the image."""
    return tuple(_answer(entity, None) for entity in entities)


def whole_image(golds: Iterable[GoldEntity], size: Size | None) -> tuple[PredictedEntity, ...]:
    """The entities of gold, of which those that can be seen fill the image of `size` (width, height) in pixels.

    Raises:
        ValueError: if an entity can be seen and the size is not known.
    """
    return tuple(_answer(gold, _whole(gold, size) if gold.boxes else None) for gold in golds)


def gold_answers(golds: Iterable[GoldEntity], every_box: bool = False) -> tuple[PredictedEntity, ...]:
    """The answers of a system that knows gold.

    Args:
        golds: entities.
        every_box: one answer per box, as `per_region` counts, not one per entity with its first box.
    """
    return tuple(
        _answer(gold, box) for gold in golds for box in ((gold.boxes if every_box else gold.boxes[:1]) or (None,))
    )


def _whole(gold: GoldEntity, size: Size | None) -> Box:
    if size is None:
        raise ValueError(f"size of the image is unknown, but {gold.text!r} is in it: {gold.boxes}")
    return (0, 0, *size)


def _answer(entity: GoldEntity | PredictedEntity, box: Box | None) -> PredictedEntity:
    return PredictedEntity(entity.start, entity.end, entity.text, entity.type, entity.fine, box)

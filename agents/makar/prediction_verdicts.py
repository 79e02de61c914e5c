"""What is right and wrong about each entity of a prediction, so that it can be shown and counted.

Gold and prediction are paired by their tokens, as `index_keyed` does (`setaria.rewards.entity_matching`): an entity
without a fault is right in GMNER, and in FMNERG where there are fine types.
"""

from dataclasses import dataclass

from setaria.agents.makar.predictions import Found, Prediction
from setaria.rewards.boxes import best_iou
from setaria.rewards.entity_matching import RIGHT_IOU
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


# What can be wrong with an entity.
FAULTS = {
    "wrong type": "the tokens are right, the type is not",
    "wrong box": "it is in the image, but the box overlaps no gold box by more than .5",
    "None error": "None for an entity that is in the image, or a box for one that is not",
    "unread place": "the answer about its place could not be read",
    "missed": "an annotated entity that was not found",
    "spurious": "no annotated entity has these tokens",
}


@dataclass(frozen=True)
class Verdict:
    """An entity as gold has it and as it was found; at least one of the two is there.

    Attributes:
        faults: some of `FAULTS`; none: it is right.
        iou: largest overlap with a gold box; `None` unless there is a box on either side.
    """

    gold: GoldEntity | None
    found: Found | None
    faults: tuple[str, ...]
    iou: float | None = None

    @property
    def entity(self) -> GoldEntity | Found:
        """Its words and tokens."""
        entity = self.found or self.gold
        assert entity is not None
        return entity


def verdicts(prediction: Prediction) -> list[Verdict]:
    """Every entity of a tweet, in the order of the text; of several found at the same tokens the last counts."""
    golds = {(gold.start, gold.end): gold for gold in prediction.gold}
    found = {(one.start, one.end): one for one in prediction.predicted}
    return [_verdict(golds.get(span), found.get(span)) for span in sorted(golds.keys() | found.keys())]


def has_type(entity: PredictedEntity, gold: GoldEntity) -> bool:
    """Whether the type is gold's, and the fine type too where gold has one."""
    return entity.type == gold.type and (not gold.fine or entity.fine == gold.fine)


def _verdict(gold: GoldEntity | None, found: Found | None) -> Verdict:
    if gold is None or found is None:
        return Verdict(gold, found, ("spurious",) if gold is None else ("missed",))
    iou = best_iou(found.box, gold.boxes) if found.box is not None and gold.boxes else None
    faults = [] if has_type(found, gold) else ["wrong type"]
    if not found.readable:
        faults.append("unread place")
    elif (found.box is None) != (not gold.boxes):
        faults.append("None error")
    elif iou is not None and iou <= RIGHT_IOU:
        faults.append("wrong box")
    return Verdict(gold, found, tuple(faults), iou)

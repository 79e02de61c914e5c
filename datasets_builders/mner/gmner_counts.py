"""What a split holds, in the numbers by which a copy of Twitter-GMNER or Twitter-FMNERG is recognised."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from setaria.datasets_builders.mner.gmner import Split
from setaria.rewards.grounded_entities import GoldEntity
from setaria.rewards.grounding_floors import Floors, floors


@dataclass(frozen=True)
class Counts:
    """Numbers of a split.

    Attributes:
        tweets, entities, groundable: groundable entities have a box.
        xml_boxes: objects in the xml files of these tweets.
        entity_boxes: boxes summed over entities; mentions of one surface count the boxes that they share each.
        multi_box, most_boxes: entities with several boxes, and the most boxes of one.
        no_xml, no_entity: tweets without a file of boxes, and without an entity.
        duplicate_surfaces: tweets in which several entities have the same surface.
        types, fine_types: (entities, groundable ones) by type.
        floors: what trivial answers score.
    """

    tweets: int
    entities: int
    groundable: int
    xml_boxes: int
    entity_boxes: int
    multi_box: int
    most_boxes: int
    no_xml: int
    no_entity: int
    duplicate_surfaces: int
    types: dict[str, tuple[int, int]]
    fine_types: dict[str, tuple[int, int]]
    floors: Floors


def count_split(split: Split) -> Counts:
    """Count a split."""
    entities = [entity for tweet in split.tweets for entity in tweet.entities]
    boxes = [len(entity.boxes) for entity in entities]
    surfaces = [[entity.text for entity in tweet.entities] for tweet in split.tweets]
    return Counts(
        tweets=len(split.tweets),
        entities=len(entities),
        groundable=sum(count > 0 for count in boxes),
        xml_boxes=sum(len(annotation.objects) for annotation in split.annotations.values() if annotation),
        entity_boxes=sum(boxes),
        multi_box=sum(count > 1 for count in boxes),
        most_boxes=max(boxes, default=0),
        no_xml=sum(tweet.id not in split.annotations for tweet in split.tweets),
        no_entity=sum(not tweet.entities for tweet in split.tweets),
        duplicate_surfaces=sum(len(set(texts)) < len(texts) for texts in surfaces),
        types=_by_type(entities, split.layout.types, lambda entity: entity.type),
        fine_types=_by_type(entities, split.layout.fine_types, lambda entity: entity.fine),
        floors=floors((tweet.entities, tweet.size) for tweet in split.tweets),
    )


def _by_type(
    entities: list[GoldEntity], types: Iterable[str], type_of: Callable[[GoldEntity], str]
) -> dict[str, tuple[int, int]]:
    """In the order of the layout's types, then unknown ones; entities without such a type are not in it."""
    every = Counter(map(type_of, entities))
    grounded = Counter(type_of(entity) for entity in entities if entity.boxes)
    return {name: (every[name], grounded[name]) for name in [*types, *sorted(set(every) - set(types) - {""})]}

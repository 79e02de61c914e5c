"""Which predicted entities of a tweet are right, by the rules of four published scorers.

    convention      the same entity     right region    what counts
    index_keyed     tokens              IoU > .5        one prediction per span, the last            H-Index
    string_keyed    string              IoU >= .5       all; in order, each uses up a gold entity    RiVEG
    per_region      tokens              IoU > .5        every region, as a set                       MQSPN
    bipartite       string              IoU >= .5       all; as many pairs as possible               E2E-GMNER
    tiger_faulty    string              IoU > .5        one per string, type and groundability; a tweet without
                                                        predictions counts as one, and as -1 in gold     TIGER

A region is right if it overlaps any gold box that much, None if gold has no box, and an unreadable answer never.
H-Index, MQSPN and TIGER choose one of a detector's regions and ask which of those overlap gold; here boxes are
compared directly, so that gold boxes no detector finds are not lost. For the same reason a gold entity with n boxes
is n regions in `per_region`, whatever the number of detected ones, and its prediction needs n entities.

The fault of `tiger_faulty` raises recall and lowers precision; F1, in which only the sum of the two counts stands, is
not changed by it. Not reproduced: MQSPN's release gives each right span with a wrong region a second prediction, None,
which is right where gold is None. Sources: NUSTM/GMNER, JinYuanLi0012/RiVEG, tangjielong928/mqspn,
Finch-coder/E2E-GMNER, NUSTM/FMNERG.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from setaria.rewards.boxes import Box, best_iou
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


RIGHT_IOU = 0.5


@dataclass(frozen=True)
class Task:
    """What has to be right of an entity besides its span.

    Attributes:
        label: field of the entity that holds its type; empty if the type does not matter.
        place: whether the region matters.
    """

    label: str
    place: bool


TASKS = {
    "MNER": Task("type", place=False),
    "EEG": Task("", place=True),
    "GMNER": Task("type", place=True),
    "FMNERG": Task("fine", place=True),
}


@dataclass(frozen=True)
class Convention:
    """Rules of a scorer.

    Attributes:
        by_text: whether entities are the same by string, not by tokens.
        inclusive: whether an IoU of just .5 is enough.
        once: what no two mentions of a tweet share; of those that do, the last counts. `None`: all count.
        per_region: whether each box of an entity counts for itself.
        in_order: whether each prediction takes the first gold entity that fits, also where another order would
            leave more right.
        silence_shrinks_gold: TIGER's fault.
    """

    by_text: bool
    inclusive: bool
    once: attrgetter | None = None
    per_region: bool = False
    in_order: bool = False
    silence_shrinks_gold: bool = False


CONVENTIONS = {
    "index_keyed": Convention(by_text=False, inclusive=False, once=attrgetter("span")),
    "string_keyed": Convention(by_text=True, inclusive=True, in_order=True),
    "per_region": Convention(
        by_text=False, inclusive=False, once=attrgetter("span", "label", "boxes", "claims_place"), per_region=True
    ),
    "bipartite": Convention(by_text=True, inclusive=True),
    "tiger_faulty": Convention(
        by_text=True, inclusive=False, once=attrgetter("text", "label", "claims_place"), silence_shrinks_gold=True
    ),
}


@dataclass(frozen=True)
class Mention:
    """An entity as a task and a convention see it.

    Attributes:
        span: its tokens, start and end.
        text: its string.
        label: its type, empty if the task has none.
        boxes: of gold, any of them; of a prediction, at most one.
        claims_place: whether it is said to be in the image; also of an unreadable answer, which is not None.
    """

    span: tuple[int, int]
    text: str
    label: str
    boxes: tuple[Box, ...]
    claims_place: bool


@dataclass(frozen=True)
class Matched:
    """The mentions of one tweet that count, and the pairs (gold, predicted) of those that are right."""

    gold: list[Mention]
    predicted: list[Mention]
    pairs: list[tuple[Mention, Mention]]


def match(
    gold: Iterable[GoldEntity], predicted: Iterable[PredictedEntity], task: Task, convention: Convention
) -> Matched:
    """Pairs the entities of one tweet; none is in two pairs."""
    golds = _counted([mention for entity in gold for mention in _of_gold(entity, task, convention)], convention)
    said = _counted([_of_prediction(entity, task) for entity in predicted], convention)
    fitting = [[place for place, gold in enumerate(golds) if _is_right(gold, one, convention)] for one in said]
    takers: dict[int, int] = {}
    for one, places in enumerate(fitting):
        if convention.in_order:
            free = next((place for place in places if place not in takers), None)
            if free is not None:
                takers[free] = one
        else:
            _take(one, fitting, takers, set())
    return Matched(golds, said, [(golds[place], said[one]) for place, one in takers.items()])


def _take(one: int, fitting: list[list[int]], takers: dict[int, int], tried: set[int]) -> bool:
    """Gives a prediction a gold entity, moving others to the next that fits them: a largest matching in the end."""
    for place in fitting[one]:
        if place not in tried:
            tried.add(place)
            if place not in takers or _take(takers[place], fitting, takers, tried):
                takers[place] = one
                return True
    return False


def _counted(mentions: list[Mention], convention: Convention) -> list[Mention]:
    return mentions if convention.once is None else list({convention.once(one): one for one in mentions}.values())


def _of_gold(entity: GoldEntity, task: Task, convention: Convention) -> list[Mention]:
    boxes = entity.boxes if task.place else ()
    regions = [(box,) for box in boxes] if convention.per_region and boxes else [boxes]
    return [
        Mention((entity.start, entity.end), entity.text, _label(entity, task), region, bool(region))
        for region in regions
    ]


def _of_prediction(entity: PredictedEntity, task: Task) -> Mention:
    boxes = (entity.box,) if task.place and entity.readable and entity.box is not None else ()
    claims_place = task.place and (entity.box is not None or not entity.readable)
    return Mention((entity.start, entity.end), entity.text, _label(entity, task), boxes, claims_place)


def _label(entity: GoldEntity | PredictedEntity, task: Task) -> str:
    return getattr(entity, task.label) if task.label else ""


def _is_right(gold: Mention, predicted: Mention, convention: Convention) -> bool:
    same = gold.text == predicted.text if convention.by_text else gold.span == predicted.span
    if not same or gold.label != predicted.label or gold.claims_place != predicted.claims_place:
        return False
    if not gold.claims_place:
        return True
    overlap = max((best_iou(box, gold.boxes) for box in predicted.boxes), default=0.0)
    return overlap >= RIGHT_IOU if convention.inclusive else overlap > RIGHT_IOU

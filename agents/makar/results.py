"""What a run of the pipeline is worth: scores, floors beside them, grounding alone, and what went wrong.

floors       of systems that do not look at the image, with gold's names or with the run's own:
             always None; the whole image where gold has a box, None where it has not (oracle groundability)
grounding    of the entities whose span is right: acc@.5 and mean IoU of those that can be seen, None accuracy of the
             others; with gold names these are all
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from setaria.agents.makar.predictions import Found, Prediction, count_marks
from setaria.rewards.boxes import best_iou
from setaria.rewards.entity_matching import CONVENTIONS, RIGHT_IOU, TASKS, match
from setaria.rewards.entity_scores import Score, ScoredTweet, entity_scores
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.grounding_floors import always_none, gold_answers, whole_image
from setaria.rewards.intervals import Interval, bootstrap


BINS = 10  # of the histogram of IoU
FAULTY = "tiger_faulty"
HONEST = tuple(name for name in CONVENTIONS if name != FAULTY)


@dataclass(frozen=True)
class GroundingScores:
    """Grounding alone, of predicted entities whose span is gold's; intervals by tweets, NaN where there are none.

    Attributes:
        groundable: how many of them gold can see.
        right_groundable: share of those with an IoU of .5 or more with any gold box.
        iou: mean of theirs; 0 for a None.
        none: how many gold cannot see.
        right_none: share of those that are a readable None.
        unread: entities of both kinds whose place could not be read.
        histogram: how many of the groundable ones have an IoU from 0, from .1 and so on; the last bin includes 1.
    """

    groundable: int
    right_groundable: Interval
    iou: Interval
    none: int
    right_none: Interval
    unread: int
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Results:
    """All of it.

    Attributes:
        tweets: how many there are.
        scores: convention -> task -> group -> score, see `entity_scores`.
        floors: convention -> floor -> task -> F1.
        grounding: see above.
        counts: gold and predicted entities, and those whose place could not be read; tweets whose names were looked
            up, and that were decided again.
        marks: tweets per kind of mark.
        missing_images: id and reason of each tweet whose image is missing or broken.
    """

    tweets: int
    scores: dict[str, dict[str, dict[str, Score]]]
    floors: dict[str, dict[str, dict[str, float]]]
    grounding: GroundingScores
    counts: dict[str, int]
    marks: dict[str, int]
    missing_images: tuple[tuple[str, str], ...]


def measure(predictions: Sequence[Prediction], conventions: Sequence[str] = HONEST, seed: int = 0) -> Results:
    """Measure a run.

    Args:
        predictions: of all its tweets.
        conventions: names of scorers' rules, of `CONVENTIONS`; `tiger_faulty` is a published scorer's fault.
        seed: of the bootstrap.

    Raises:
        ValueError: for another convention, for no predictions, and if an entity can be seen in an image of unknown
            size.
    """
    scored = [one.scored for one in predictions]
    blind = {
        name: [ScoredTweet(one.id, one.gold, answer(one)) for one in predictions] for name, answer in FLOORS.items()
    }
    return Results(
        len(predictions),
        {name: entity_scores(scored, name, seed) for name in conventions},
        {name: {floor: _f1_with_place(tweets, name) for floor, tweets in blind.items()} for name in conventions},
        grounding_scores(predictions, seed),
        {
            "gold entities": sum(len(one.gold) for one in predictions),
            "predicted entities": sum(len(one.predicted) for one in predictions),
            "places unread": sum(not found.readable for one in predictions for found in one.predicted),
            "looked up": sum(bool(one.lookups) for one in predictions),
            "decided again": sum(one.corrected for one in predictions),
        },
        count_marks(predictions),
        tuple((one.id, problem) for one in predictions for problem in one.marked("image")),
    )


def grounding_scores(predictions: Sequence[Prediction], seed: int = 0) -> GroundingScores:
    """Grounding alone; see above.

    Raises:
        ValueError: for no predictions.
    """
    counts = np.zeros((len(predictions), 5))
    histogram, unread = [0] * BINS, 0
    for row, prediction in zip(counts, predictions, strict=True):
        for gold, found in _same_span(prediction):
            unread += not found.readable
            if gold.boxes:
                iou = best_iou(found.box, gold.boxes) if found.box and found.readable else 0.0
                row[:3] += iou >= RIGHT_IOU, 1, iou
                histogram[min(int(iou * BINS), BINS - 1)] += 1
            else:
                row[3:] += found.readable and found.box is None, 1
    shares = bootstrap(counts, _shares, seed)
    right_groundable, mean_iou, right_none = (Interval(*map(float, column)) for column in shares.T)
    groundable, none = (int(counts[:, column].sum()) for column in (1, 4))
    return GroundingScores(groundable, right_groundable, mean_iou, none, right_none, unread, tuple(histogram))


def _always_none(prediction: Prediction) -> tuple[PredictedEntity, ...]:
    return always_none(prediction.predicted)


def _whole_image(prediction: Prediction) -> tuple[PredictedEntity, ...]:
    """The run's own names; those of gold that can be seen fill the image."""
    whole = {(one.start, one.end): one.box for one in whole_image(prediction.gold, prediction.size)}
    return tuple(
        replace(one, box=whole.get((one.start, one.end)), readable=True) for one in always_none(prediction.predicted)
    )


FLOORS: dict[str, Callable[[Prediction], tuple[PredictedEntity, ...]]] = {
    "gold names, always None": lambda one: always_none(gold_answers(one.gold)),
    "gold names, whole image": lambda one: whole_image(one.gold, one.size),
    "own names, always None": _always_none,
    "own names, whole image": _whole_image,
}


def _f1_with_place(tweets: Sequence[ScoredTweet], convention: str) -> dict[str, float]:
    """F1 over all entities of the tasks in which places count, and whose types gold has."""
    fine = any(entity.fine for tweet in tweets for entity in tweet.gold)
    scores = {}
    for name, task in TASKS.items():
        if task.place and (fine or name != "FMNERG"):
            matched = [match(tweet.gold, tweet.predicted, task, CONVENTIONS[convention]) for tweet in tweets]
            counted = sum(len(one.gold) + len(one.predicted) for one in matched)
            scores[name] = 2 * sum(len(one.pairs) for one in matched) / counted if counted else math.nan
    return scores


def _same_span(prediction: Prediction) -> Iterable[tuple[GoldEntity, Found]]:
    golds = {(one.start, one.end): one for one in prediction.gold}
    founds = {(one.start, one.end): one for one in prediction.predicted}
    return ((golds[place], founds[place]) for place in golds.keys() & founds.keys())


def _shares(sums: np.ndarray) -> np.ndarray:
    """acc@.5, mean IoU and None accuracy of sums `[samples, 5]`."""
    groundable, none = sums[:, 1], sums[:, 4]
    return np.stack([_share(sums[:, 0], groundable), _share(sums[:, 2], groundable), _share(sums[:, 3], none)], -1)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)

"""Micro precision, recall and F1 of grounded entities, with bootstrap intervals over tweets.

    MNER      span and type
    EEG       span and region
    GMNER     span, type and region
    FMNERG    span, fine type and region; only where gold has fine types

    precision = right / predicted        recall = right / gold        F1 = 2 right / (predicted + gold)

Each over all, per type, and apart for entities that can be seen and for the others. A prediction with a box, or with
an answer about the place that could not be read, counts among the former. What is right is a matter of the
convention, which has to be named with the score (`setaria.rewards.entity_matching`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from setaria.rewards.entity_matching import CONVENTIONS, TASKS, Convention, Mention, Task, match
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.intervals import Interval, bootstrap


@dataclass(frozen=True)
class ScoredTweet:
    """Gold and predictions of one tweet, in the order in which they were said."""

    id: str
    gold: tuple[GoldEntity, ...]
    predicted: tuple[PredictedEntity, ...]


@dataclass(frozen=True)
class Score:
    """A score of a group of entities.

    Attributes:
        precision, recall, f1: from 0 to 1; NaN where there is nothing to divide by.
        right, predicted, gold: the counts behind them.
    """

    precision: Interval
    recall: Interval
    f1: Interval
    right: int
    predicted: int
    gold: int


def entity_scores(tweets: Sequence[ScoredTweet], convention: str, seed: int = 0) -> dict[str, dict[str, Score]]:
    """All scores of a system.

    Args:
        tweets: with gold and predictions; those without entities matter too.
        convention: one of `CONVENTIONS`.
        seed: of the bootstrap.

    Returns:
        Task -> group -> score. Groups are `all`, `type PER` and so on for each type (not of EEG), and `groundable` and
        `none` (not of MNER).

    Raises:
        ValueError: for another convention, for no tweets, and for two tweets with one id.
    """
    rules = _rules(convention)
    _ids(tweets)
    fine = any(entity.fine for tweet in tweets for entity in tweet.gold)
    return {name: _scores(tweets, task, rules, seed) for name, task in TASKS.items() if name != "FMNERG" or fine}


def f1_gain(
    tweets: Sequence[ScoredTweet], others: Sequence[ScoredTweet], task: str, convention: str, seed: int = 0
) -> Interval:
    """F1 of one system minus that of another on the same tweets, drawn in pairs.

    Raises:
        ValueError: for another task or convention, for no tweets, two with one id, and if the systems' ids differ.
    """
    if task not in TASKS:
        raise ValueError(f"task={task!r}: one of {', '.join(TASKS)} is allowed")
    rules, ids = _rules(convention), _ids(tweets)
    if set(ids) != set(_ids(others)):
        raise ValueError(
            f"the systems share {len(set(ids) & set(_ids(others)))} of {len(ids)} and {len(others)} tweets"
        )
    order = {name: place for place, name in enumerate(ids)}
    others = sorted(others, key=lambda tweet: order[tweet.id])
    counts = [_counts(side, TASKS[task], rules)["all"] for side in (tweets, others)]
    return Interval(*map(float, bootstrap(np.stack(counts, 1), _gain, seed)))


def _rules(convention: str) -> Convention:
    if convention not in CONVENTIONS:
        raise ValueError(f"convention={convention!r}: one of {', '.join(CONVENTIONS)} is allowed")
    return CONVENTIONS[convention]


def _ids(tweets: Iterable[ScoredTweet]) -> list[str]:
    ids = [tweet.id for tweet in tweets]
    twice = [name for name, times in Counter(ids).items() if times > 1]
    if not ids or twice:
        raise ValueError(f"tweets have the id {twice[0]!r} twice" if twice else "tweets are empty")
    return ids


def _scores(tweets: Sequence[ScoredTweet], task: Task, convention: Convention, seed: int) -> dict[str, Score]:
    counts = _counts(tweets, task, convention)
    bounds = bootstrap(np.stack(list(counts.values()), 1), _ratios, seed)
    scores = {}
    for place, (group, counted) in enumerate(counts.items()):
        precision, recall, f1 = (Interval(*map(float, bounds[:, place, ratio])) for ratio in range(3))
        scores[group] = Score(precision, recall, f1, *map(int, counted.sum(0)))
    return scores


def _counts(tweets: Sequence[ScoredTweet], task: Task, convention: Convention) -> dict[str, np.ndarray]:
    """Group -> right, predicted and gold per tweet, `[tweets, 3]`."""
    counted: dict[str, Counter] = {group: Counter() for group in _fixed_groups(task)}
    for place, tweet in enumerate(tweets):
        matched = match(tweet.gold, tweet.predicted, task, convention)
        columns = ([gold for gold, _ in matched.pairs], matched.predicted, matched.gold)
        for column, mentions in enumerate(columns):
            for mention in mentions:
                for group in _groups(mention, task):
                    counted.setdefault(group, Counter())[place, column] += 1
        if convention.silence_shrinks_gold and not matched.predicted:
            counted["all"][place, 1] += 1
            counted["all"][place, 2] -= 1
    counts = {}
    for group in sorted(counted, key=lambda group: (group.startswith("type "), group)):
        counts[group] = np.zeros((len(tweets), 3))
        for key, number in counted[group].items():
            counts[group][key] = number
    return counts


def _fixed_groups(task: Task) -> list[str]:
    return ["all", "groundable", "none"] if task.place else ["all"]


def _groups(mention: Mention, task: Task) -> Iterator[str]:
    yield "all"
    if task.place:
        yield "groundable" if mention.claims_place else "none"
    if task.label:
        yield f"type {mention.label}"


def _ratios(sums: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 of right, predicted and gold, `[..., 3]`."""
    right, predicted, gold = np.moveaxis(sums, -1, 0)
    return np.stack([_ratio(right, predicted), _ratio(right, gold), _ratio(2 * right, predicted + gold)], -1)


def _gain(sums: np.ndarray) -> np.ndarray:
    """F1 of the first system minus that of the second, `[samples]`."""
    return np.subtract(*np.moveaxis(_ratios(sums)[:, :, 2], 1, 0))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

"""Precision, recall and F1 of a tagger in evaluation: spans and types, micro over a split (MNER)."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import EvalPrediction

from setaria.datasets_builders.mner.bio import read_spans
from setaria.datasets_builders.mner.tagger_rows import TaggerRow
from setaria.rewards.entity_scores import ScoredTweet, entity_scores
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


CONVENTION = "index_keyed"  # without regions all that key by span are the same


@dataclass(frozen=True)
class TaggerScores:
    """`compute_metrics` of the Trainer; gold is in the rows, so that what the tagger could not read counts as missed.

    Fine types count as types of their own: both have to be right.

    Attributes:
        rows: of the split, in the order of evaluation.
        labels: of the tagger.
    """

    rows: Sequence[TaggerRow]
    labels: list[str]

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        tweets = []
        for row, path in zip(self.rows, prediction.predictions, strict=True):
            tags = [self.labels[number] for number in path if number >= 0]
            gold = tuple(GoldEntity(start, end, "", name) for start, end, name in read_spans(row["tags"])[0])
            said = tuple(PredictedEntity(start, end, "", name) for start, end, name in read_spans(tags)[0])
            tweets.append(ScoredTweet(row["id"], gold, said))
        score = entity_scores(tweets, CONVENTION)["MNER"]["all"]
        return {f"mner_{name}": getattr(score, name).value for name in ("precision", "recall", "f1")}

"""What the pipeline says about tweets, with gold, reasons, sources and marks: `predictions.jsonl`, one line per tweet.

Boxes are in pixels of the original image. Marks name what went wrong or is to be known about a prediction; a tweet is
in the file whatever happened to it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from setaria.agents.makar.correction import Lookup
from setaria.agents.makar.json_lines import read_lines
from setaria.agents.makar.json_records import from_json
from setaria.rewards.entity_scores import ScoredTweet
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


# Kinds of marks, and what they say.
MARKS = {
    "image": "the image is missing or broken, so that no model sees it",
    "image size": "the image is of another size than annotated, so that gold boxes may not fit it",
    "knowledge": "something in the knowledge agent's answers could not be used",
    "correction": "something in the correction agent's answer could not be used",
    "search down": "the web could not be asked, and what the model knows had to do",
    "page unread": "a page could not be read, and what the search engine shows of it had to do",
    "tweet searched": "all words of the tweet were in a query, which could find the tweet itself",
    "place unread": "the answer about an entity's place could not be read, or there was none: wrong, and not a None",
}


@dataclass(frozen=True)
class Mark:
    """Something to be known about a prediction: one of `MARKS`, and the case."""

    kind: str
    text: str

    def __post_init__(self):
        if self.kind not in MARKS:
            raise ValueError(f"kind={self.kind!r}: one of {', '.join(MARKS)} is allowed")


@dataclass(frozen=True)
class Found(PredictedEntity):
    """An entity that was found.

    Attributes:
        boundary, type_confidence: from 0 to 1, as of `Candidate`; `None` where nobody gave any, as for gold entities.
        known: what the grounding agent was told about it; may be empty.
        thought: the reasoning of the grounding agent; empty without one.
        reply: its whole answer; empty if it was not asked.
    """

    boundary: float | None = None
    type_confidence: float | None = None
    known: str = ""
    thought: str = ""
    reply: str = ""

    @property
    def confidence(self) -> float | None:
        """The lower of the two."""
        if self.boundary is None or self.type_confidence is None:
            return None
        return min(self.boundary, self.type_confidence)


@dataclass(frozen=True)
class Prediction:
    """All about one tweet.

    Attributes:
        id, tokens: of the tweet.
        image: its file, relative to the folder of the images.
        size: (width, height) of the image in pixels, as annotated or else as it is; `None` if neither is known.
        gold: the annotated entities.
        predicted: what was found.
        before: what was found before correction, without boxes.
        confidence: the lowest of the candidates before correction, with which tau is compared; `None` without any.
        knowledge: text for the tagger, after correction.
        corrected: whether a model decided again after a search.
        lookups: names that were searched for, with their sources.
        marks: see `MARKS`.
    """

    id: str
    tokens: tuple[str, ...]
    image: str
    size: tuple[int, int] | None
    gold: tuple[GoldEntity, ...]
    predicted: tuple[Found, ...]
    before: tuple[PredictedEntity, ...] = ()
    confidence: float | None = None
    knowledge: str = ""
    corrected: bool = False
    lookups: tuple[Lookup, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def text(self) -> str:
        """The tokens, joined by one space."""
        return " ".join(self.tokens)

    @property
    def scored(self) -> ScoredTweet:
        """What scores are computed from."""
        return ScoredTweet(self.id, self.gold, self.predicted)

    def marked(self, kind: str) -> list[str]:
        """The texts of the marks of a kind."""
        return [mark.text for mark in self.marks if mark.kind == kind]

    def lookup_of(self, entity: GoldEntity | PredictedEntity) -> Lookup | None:
        """What was searched for an entity, by its words; its `sources` have title, url, snippet, engine and date."""
        words = entity.text.casefold()
        return next((lookup for lookup in self.lookups if lookup.name.casefold() == words), None)


def prediction_line(prediction: Prediction) -> dict:
    """The JSON object of a prediction."""
    return asdict(prediction)


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file, in order; of several lines with one id the last counts, at the place of the first.

    Raises:
        ValueError: naming file, line and field of what cannot be read; a last line that was cut is left out with a
            warning.
        OSError: for a file that is not there.
    """
    found = (from_json(Prediction, entry, where) for where, entry in read_lines(path))
    return list({prediction.id: prediction for prediction in found}.values())


def count_marks(predictions: Iterable[Prediction]) -> dict[str, int]:
    """Tweets with a mark, by kind."""
    kinds = [{mark.kind for mark in prediction.marks} for prediction in predictions]
    return {kind: sum(kind in one for one in kinds) for kind in MARKS}

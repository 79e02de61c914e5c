"""MAKAR end to end: from a tweet with an image to its entities, their types and where they are, with reasons.

    knowledge    a model, a file, or nothing                 text for the tagger, candidates with confidences
    tagger       reads tweet and text                        its candidates and marginals, in place of the model's
    correction   for candidates under tau: search, decide    new text, new entities; or nothing is looked up
    names        the tagger again, with the new text; or the model's decision; or gold
    grounding    a model, gold, None always, whole image     boxes

Every agent sees tweets without labels. Gold enters in three places only: `gold_names` and `GoldPlaces`, which are
ablations, and the prediction, which holds it beside what was found.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.confidence import entity
from setaria.agents.makar.correction import Correction, CorrectionAgent
from setaria.agents.makar.grounding import Grounding, GroundingTask
from setaria.agents.makar.knowledge import NO_IMAGE, Knowledge, tagged
from setaria.agents.makar.knowledge_prompts import Unlabelled
from setaria.agents.makar.predictions import Found, Mark, Prediction
from setaria.datasets_builders.mner.grounding_prompts import read_image
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


LAST_WORDS = ("tagger", "model")
Label: TypeAlias = tuple[int, int, str, str]


class KnowledgeSource(Protocol):
    """Whoever knows about tweets: `KnowledgeAgent`, `WrittenKnowledge`, `NoKnowledge`."""

    def knowledge(self, tweets: Iterable[Unlabelled]) -> Iterator[Knowledge]:
        """What is known about each tweet, in order."""


class NameTagger(Protocol):
    """Whoever finds names in a tweet and its text: `CandidateTagger`."""

    def candidates(
        self, tweets: Sequence[Tweet], knowledge: Mapping[str, str] | None = None
    ) -> list[tuple[Candidate, ...]]:
        """The candidates of each tweet, in order."""


class Grounder(Protocol):
    """Whoever finds names in an image: `GroundingAgent`, and those of `stand_ins`."""

    def ground(self, tasks: Iterable[GroundingTask]) -> list[list[Grounding]]:
        """The answers for the entities of each task, in order."""


@dataclass(frozen=True)
class Pipeline:
    """The agents.

    Attributes:
        images: folder of the images, to which predictions name theirs.
        knowledge: where knowledge comes from.
        grounding: where boxes come from.
        tagger: finds names; `None`: the entities of the knowledge count.
        correction: looks up what is in doubt; `None`: nothing is looked up.
        last_word: who names the entities of a tweet that was corrected if there is a tagger: the `tagger`, which reads
            it again with the new text, or the `model`, whose decision stands.
        gold_names: whether spans and types are gold, an ablation.
        told: whether the grounding agent is told what is known of a name.
    """

    images: Path
    knowledge: KnowledgeSource
    grounding: Grounder
    tagger: NameTagger | None = None
    correction: CorrectionAgent | None = None
    last_word: str = "tagger"
    gold_names: bool = False
    told: bool = True

    def __post_init__(self):
        if self.last_word not in LAST_WORDS:
            raise ValueError(f"last_word={self.last_word!r}: one of {', '.join(LAST_WORDS)} is allowed")

    def predict(self, tweets: Sequence[Tweet]) -> list[Prediction]:
        """The predictions for the tweets, in order; their images are held together. Raises what a model raises."""
        bare = [Unlabelled.of(tweet) for tweet in tweets]
        known = self._read_by_tagger(tweets, list(self.knowledge.knowledge(bare)))
        corrected = self._correct(bare, known)
        final = self._last_word(tweets, known, corrected)
        named = [
            tuple(map(_gold_name, tweet.entities)) if self.gold_names else entities
            for tweet, (entities, _) in zip(tweets, final, strict=True)
        ]
        about = [dict(one.about) if self.told else {} for one in corrected]
        tasks = [
            GroundingTask(_blind(tweet), entities, known_names)
            for tweet, entities, known_names in zip(tweets, named, about, strict=True)
        ]
        grounded = self.grounding.ground(tasks)
        predictions = []
        for number, tweet in enumerate(tweets):
            candidates = () if self.gold_names else final[number][1]
            found = _found(grounded[number], candidates, about[number])
            predictions.append(self._prediction(tweet, found, known[number], corrected[number]))
        return predictions

    def _read_by_tagger(self, tweets: Sequence[Tweet], known: list[Knowledge]) -> list[Knowledge]:
        """The knowledge with the tagger's candidates in place of its own, if there is a tagger."""
        if self.tagger is None:
            return known
        found = self.tagger.candidates(list(map(_blind, tweets)), {one.tweet: one.text for one in known})
        return [tagged(one, candidates) for one, candidates in zip(known, found, strict=True)]

    def _correct(self, bare: Sequence[Unlabelled], known: Sequence[Knowledge]) -> list[Correction]:
        if self.correction is None:
            return [Correction(one.tweet, one.entities, one.text, one.about) for one in known]
        return list(self.correction.corrections(zip(bare, known, strict=True)))

    def _last_word(
        self, tweets: Sequence[Tweet], known: Sequence[Knowledge], corrected: Sequence[Correction]
    ) -> list[tuple[tuple[PredictedEntity, ...], tuple[Candidate, ...]]]:
        """The entities of each tweet, and the candidates that may tell how sure they are."""
        final = [(after.entities, before.candidates) for before, after in zip(known, corrected, strict=True)]
        if self.tagger is None or self.last_word == "model":
            return final
        again = [number for number, one in enumerate(corrected) if one.decided]
        texts = {corrected[number].tweet: corrected[number].text for number in again}
        found = self.tagger.candidates([_blind(tweets[number]) for number in again], texts)
        for number, candidates in zip(again, found, strict=True):
            final[number] = tuple(map(entity, candidates)), candidates
        return final

    def _prediction(
        self, tweet: Tweet, found: tuple[Found, ...], known: Knowledge, corrected: Correction
    ) -> Prediction:
        size, image_marks = _look(tweet)
        return Prediction(
            tweet.id,
            tweet.tokens,
            tweet.image.relative_to(self.images).as_posix(),
            tweet.size or size,
            tweet.entities,
            found,
            before=known.entities,
            confidence=known.confidence if known.candidates else None,
            knowledge=corrected.text,
            corrected=corrected.decided,
            lookups=corrected.asked,
            marks=(*image_marks, *_marks(known, corrected, found)),
        )


def _blind(tweet: Tweet) -> Tweet:
    """The tweet without its labels, and without the size that only groundable ones have."""
    return replace(tweet, entities=(), size=None)


def _gold_name(gold: GoldEntity) -> PredictedEntity:
    return PredictedEntity(gold.start, gold.end, gold.text, gold.type, gold.fine)


def _label(one: Candidate | PredictedEntity) -> Label:
    return one.start, one.end, one.type, one.fine


def _found(
    groundings: Sequence[Grounding], candidates: Iterable[Candidate], about: Mapping[str, str]
) -> tuple[Found, ...]:
    """The entities with their places, and how sure the candidates with the same span and type are of them."""
    sure = {_label(one): one for one in candidates}
    found = []
    for grounding in groundings:
        one = grounding.entity
        candidate = sure.get(_label(one))
        found.append(
            Found(
                *(one.start, one.end, one.text, one.type, one.fine, one.box, one.readable),
                boundary=candidate.boundary if candidate else None,
                type_confidence=candidate.type_confidence if candidate else None,
                known=about.get(one.text, ""),
                thought=grounding.reply.partition("<think>")[2].partition("</think>")[0].strip(),
                reply=grounding.reply,
            )
        )
    return tuple(found)


def _look(tweet: Tweet) -> tuple[tuple[int, int] | None, list[Mark]]:
    """The size of the image, and what is wrong with it."""
    try:
        size = read_image(tweet.image).size
    except ValueError as error:
        return None, [Mark("image", str(error))]
    if tweet.size in (None, size):
        return size, []
    return size, [Mark("image size", "{} x {} pixels, {} x {} in the xml".format(*size, *tweet.size))]


def _marks(known: Knowledge, corrected: Correction, found: Iterable[Found]) -> list[Mark]:
    asked = corrected.asked
    return [
        *(Mark("knowledge", problem) for problem in known.problems if problem != NO_IMAGE),
        *(Mark("correction", problem) for problem in corrected.problems),
        *(Mark("search down", f"{one.name}: {one.down}") for one in asked if one.down),
        *(Mark("page unread", page) for one in asked for page in one.unread),
        *(Mark("tweet searched", one.query) for one in asked if one.holds_tweet),
        *(Mark("place unread", one.text) for one in found if not one.readable),
    ]

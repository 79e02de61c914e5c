"""MAKAR's pipeline on tweets, with one vision-language checkpoint as all of its agents, without tagger and search.

    own names     what the checkpoint knows, asked once -> names and types -> a box or None for each
    gold names    a box or None for each of gold's, with nothing known of them

MNER, EEG and GMNER are micro-F1 of its own names by the index-keyed convention (`setaria.rewards.entity_scores`).
acc@0.5 and None accuracy (`setaria.agents.makar.results`) are of gold names, so that they are of all entities and can
be compared between checkpoints that find different names. All is greedy, so every confidence is 1; a reasoned answer
needs a `max_new_tokens` that holds it.

RUN/makar/SETTING/predictions.jsonl    of its own names, which `setaria agent makar-page` shows
RUN/makar/SETTING/replies.N.jsonl      what it knows, as process N was told
"""

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import PartialState

from setaria.agents.makar.grounding import GroundingAgent
from setaria.agents.makar.json_records import from_json
from setaria.agents.makar.knowledge import KnowledgeAgent
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts
from setaria.agents.makar.known import NoKnowledge
from setaria.agents.makar.pipeline import Pipeline
from setaria.agents.makar.predictions import Prediction, prediction_line
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.results import grounding_scores
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.datasets_builders.mner.layouts import GMNER, IMAGES
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task, Value
from setaria.evaluation.vision_chat import family, vision_chat
from setaria.rewards.entity_scores import entity_scores
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.intervals import Interval


NAME, SPLIT, CONVENTION = "makar", "test", "index_keyed"
F1, SHARES = ("GMNER", "MNER", "EEG"), ("acc@0.5", "None accuracy")
OWN, GOLD = "own names", "gold names"


class Makar(Task):
    """Test tweets of a folder in Twitter-GMNER's layout."""

    name = NAME
    metrics = (
        *(Metric(NAME, name, True, "micro-F1") for name in F1),
        *(Metric(NAME, name, True) for name in SHARES),
    )

    def __init__(self, folder: Path, config: EvalConfig):
        self.folder, self.config = folder, config

    def samples(self, checkpoint: Checkpoint) -> dict[str, Tweet]:
        """Tweets by id.

        Raises:
            ValueError: for a checkpoint that takes no images or whose boxes are not known, and tweets that cannot be
                used.
            OSError: for a file or folder that is not there.
        """
        _prompts(checkpoint)
        return {tweet.id: tweet for tweet in self._tweets[: self.config.limit]}

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, Tweet]]) -> list[Item]:
        """Finished tweets, each predicted with its own names and with gold's."""
        chat = vision_chat(checkpoint, setting, self.config.max_new_tokens, len(samples))
        replies = self._folder_of(setting) / f"replies.{PartialState().process_index}.jsonl"
        recorded = RecordingChat(chat, setting.name, replies, len(samples))
        knowledge = KnowledgeAgent(recorded, KnowledgePrompts(GMNER), samples=1)
        places = GroundingAgent(chat, _prompts(checkpoint))
        images, tweets = self.folder / IMAGES, [tweet for _, tweet in samples]
        with hooked(checkpoint.model, setting):
            own = Pipeline(images, knowledge, places).predict(tweets)
            gold = Pipeline(images, NoKnowledge(), places, gold_names=True).predict(tweets)
        return [_item(*both) for both in zip(own, gold, strict=True)]

    def finish(self, setting: Setting, items: Sequence[Item]) -> list[Item]:
        """Writes the predictions with its own names."""
        lines = (json.dumps(item.extra[OWN]) + "\n" for item in items)
        write_atomically(self._folder_of(setting) / "predictions.jsonl", "".join(lines))
        return list(items)

    def score(self, metric: Metric, items: Sequence[Item], seed: int) -> Value | None:
        """A metric of all tweets; the number of items is that of the tweets that have something to count."""
        having = sum(metric.name in item.scores for item in items)
        if not having:
            return None
        own, gold = ([prediction_of(item, which) for item in items] for which in (OWN, GOLD))
        found = _measured(own, gold, seed)[metric.name]
        return found.value, found.low, found.high, having

    @cached_property
    def _tweets(self) -> list[Tweet]:
        tweets = read_gmner(self.folder, SPLIT)
        ids = [tweet.id for tweet in tweets]
        if not ids or len(set(ids)) < len(ids):
            found = "a tweet is there twice" if ids else "no tweets"
            raise ValueError(f"{self.folder}: split {SPLIT!r}: {found}")
        return tweets

    def _folder_of(self, setting: Setting) -> Path:
        folder = self.config.output / NAME / setting.slug
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _prompts(checkpoint: Checkpoint) -> GroundingPrompts:
    processor = checkpoint.processor
    return GroundingPrompts.of_processor(family(checkpoint), processor)


def _item(own: Prediction, gold: Prediction) -> Item:
    measured = {name: interval.value for name, interval in _measured([own], [gold], 0).items()}
    scores = {name: value for name, value in measured.items() if not math.isnan(value)}
    extra = {OWN: _plain(own), GOLD: _plain(gold)}
    said, target = ("\n".join(map(_named, entities)) for entities in (own.predicted, own.gold))
    return Item(own.id, own.text, said, target, scores, "generation", extra)


def _measured(own: Sequence[Prediction], gold: Sequence[Prediction], seed: int) -> dict[str, Interval]:
    scores = entity_scores([one.scored for one in own], CONVENTION, seed)
    places = grounding_scores(gold, seed)
    shares = dict(zip(SHARES, (places.right_groundable, places.right_none), strict=True))
    return {name: scores[name]["all"].f1 for name in F1} | shares


def _plain(prediction: Prediction) -> dict[str, Any]:
    """As it comes out of a file again."""
    return json.loads(json.dumps(prediction_line(prediction)))


def prediction_of(item: Item, which: str) -> Prediction:
    """The prediction that an item keeps, of `OWN` or `GOLD` names."""
    return from_json(Prediction, item.extra[which], f"{item.id}: {which}")


def _named(entity: GoldEntity | PredictedEntity) -> str:
    if isinstance(entity, GoldEntity):
        places = [", ".join(f"{side:g}" for side in box) for box in entity.boxes]
        return f"{entity.text} ({entity.type}): {' or '.join(f'[{place}]' for place in places) or 'None'}"
    if not entity.readable:
        return f"{entity.text} ({entity.type}): not to be read"
    box = entity.box and ", ".join(f"{side:g}" for side in entity.box)
    return f"{entity.text} ({entity.type}): {f'[{box}]' if box else 'None'}"

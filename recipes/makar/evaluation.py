"""Runs the pipeline over the tweets that have no prediction yet, measures all, and writes what came out."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.progress import track
from transformers import set_seed

from setaria.agents.makar.correction import CorrectionAgent
from setaria.agents.makar.correction_prompts import CorrectionPrompts
from setaria.agents.makar.grounding import GroundingAgent
from setaria.agents.makar.json_lines import GrowingFile
from setaria.agents.makar.knowledge import KnowledgeAgent
from setaria.agents.makar.known import NoKnowledge, WrittenKnowledge
from setaria.agents.makar.pipeline import Grounder, KnowledgeSource, Pipeline
from setaria.agents.makar.predictions import Prediction, prediction_line, read_predictions
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.recorded_model import RecordedModel
from setaria.agents.makar.results import Results, measure
from setaria.agents.makar.stand_ins import GoldPlaces, NeverSeen, WholeImage
from setaria.agents.makar.tagger import CandidateTagger
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.datasets_builders.mner.layouts import IMAGES
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.recipes.makar.build import READERS, Source
from setaria.recipes.makar.chat import load_chat
from setaria.recipes.makar.evaluate_arguments import EvaluateArguments
from setaria.recipes.makar.knowledge_run import THRESHOLD, read_tau
from setaria.recipes.makar.knowledge_setup import REPLIES, knowledge_prompts, recording_chats, web
from setaria.recipes.makar.processor import family_of_checkpoint, grounding_processor
from setaria.recipes.run_folder import resolved_config, write_atomically, write_run_folder


PREDICTIONS, METRICS = "predictions.jsonl", "metrics.json"
SCHEMA = "setaria.makar/1"
AGENTS = ("knowledge", "search", "ner", "grounding")
# Between two starts of one evaluation.
MAY_CHANGE = ("at_once", "batch", "conventions", "device", "output", "recordings", "tweets")


def evaluate(arguments: EvaluateArguments) -> Results:
    """Predict what is missing and measure all; writes predictions, metrics and `run/` to `output`.

    Missing is also what was predicted while the search was down.

    Raises:
        ValueError: for settings, data, knowledge or an adapter that cannot be used, and a folder with predictions of
            other settings.
    """
    output = Path(arguments.output)
    settings = resolved_config(arguments)
    _claim(output, settings)
    source = Source(Path(arguments.data), arguments.layout, Path(arguments.images) if arguments.images else None)
    tweets = source.read(arguments.split)[: arguments.tweets]
    if not tweets:
        raise ValueError(f"{arguments.data}: split {arguments.split!r} has no tweets")
    write_run_folder(arguments.output, settings, processes=1)
    done = {one.id: one for one in read_predictions(output / PREDICTIONS)} if _has_some(output) else {}
    left = [tweet for tweet in tweets if tweet.id not in done or done[tweet.id].marked("search down")]
    done |= {one.id: one for one in _predict(arguments, tweets, left, output / PREDICTIONS)} if left else {}
    results = measure([done[tweet.id] for tweet in tweets], arguments.conventions, arguments.seed)
    report = {
        "schema": SCHEMA,
        "data": arguments.data,
        "images": str(_images(arguments)),
        "split": arguments.split,
        "agents": {name: getattr(arguments, name) for name in AGENTS},
        **asdict(results),
        "missing_images": [{"id": name, "problem": problem} for name, problem in results.missing_images],
        "config": settings,
        "environment": json.loads((output / "run" / "environment.json").read_text(encoding="utf-8")),
    }
    write_atomically(output / METRICS, json.dumps(_without_nan(report), indent=2, ensure_ascii=False) + "\n")
    return results


def load_pipeline(arguments: EvaluateArguments, tweets: Sequence[Tweet]) -> Pipeline:
    """The agents that the settings name, with their models.

    Args:
        tweets: whose gold the ablation with gold boxes uses.
    """
    recorded = replace(arguments, output=arguments.recordings or arguments.output)
    searches = arguments.search not in (None, "off")
    places = web(recorded) if searches else None
    knowledge: KnowledgeSource = NoKnowledge()
    correction = None
    if arguments.knowledge == "file":
        layout = READERS[arguments.layout][1]
        knowledge = WrittenKnowledge(Path(arguments.known or ""), arguments.split, layout)
    if arguments.knowledge == "model" or searches:
        prompts = knowledge_prompts(recorded)
        sampling, steady = recording_chats(recorded)
        if arguments.knowledge == "model":
            knowledge = KnowledgeAgent(sampling, prompts, arguments.samples, arguments.at_once)
        if places:
            config = arguments.correction(_tau(arguments))
            correction = CorrectionAgent(steady, CorrectionPrompts(prompts), *places, config)
    return Pipeline(
        _images(arguments),
        knowledge,
        _grounder(recorded, tweets),
        _tagger(arguments) if arguments.ner == "tagger" else None,
        correction,
        arguments.last_word,
        gold_names=arguments.ner == "gold",
        told=arguments.grounding_knowledge,
    )


def _predict(
    arguments: EvaluateArguments, tweets: Sequence[Tweet], left: Sequence[Tweet], file: Path
) -> Iterator[Prediction]:
    """Predict the tweets that are left, and append them to the file."""
    pipeline = load_pipeline(arguments, tweets)
    growing = GrowingFile(file)
    for start in track(range(0, len(left), arguments.at_once), "tweets"):
        set_seed(arguments.seed + len(tweets) - len(left) + start)
        for prediction in pipeline.predict(left[start : start + arguments.at_once]):
            growing.add(prediction_line(prediction))
            yield prediction


def _grounder(arguments: EvaluateArguments, tweets: Sequence[Tweet]) -> Grounder:
    match arguments.grounding:
        case "gold":
            return GoldPlaces({tweet.id: tweet.entities for tweet in tweets})
        case "whole-image":
            return WholeImage()
        case "off":
            return NeverSeen()
    chosen = arguments.grounding_chat
    checkpoint = chosen.model_name_or_path or ""
    processor = grounding_processor(checkpoint, image_max_pixels=arguments.image_max_pixels)
    prompts = GroundingPrompts.of_processor(family_of_checkpoint(checkpoint, arguments.family), processor)
    served = chosen.endpoint_model if chosen.endpoint else checkpoint
    adapter = f" + {chosen.adapter}" if chosen.adapter else ""
    name = f"{served}{adapter}, at most {chosen.max_new_tokens} tokens, temperature 0"
    chat = RecordingChat(load_chat(chosen, processor), name, Path(arguments.output) / REPLIES, chosen.batch)
    return GroundingAgent(RecordedModel(chat, "grounding"), prompts)


def _tagger(arguments: EvaluateArguments) -> CandidateTagger:
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return CandidateTagger.load(arguments.tagger or "", arguments.batch, device)


def _tau(arguments: EvaluateArguments) -> float:
    return arguments.tau if arguments.tau is not None else read_tau(Path(arguments.known or "") / THRESHOLD)


def _images(arguments: EvaluateArguments) -> Path:
    return Path(arguments.images) if arguments.images else Path(arguments.data) / IMAGES


def _has_some(output: Path) -> bool:
    return (output / PREDICTIONS).exists()


def _claim(output: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder with predictions of other settings."""
    config = output / "run" / "config.yaml"
    if not _has_some(output) or not config.exists():
        return
    before = yaml.safe_load(config.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if name not in MAY_CHANGE and before.get(name) != value:
            raise ValueError(
                f"{output} holds predictions with {name}={before.get(name)}, not {value}: choose another --output"
            )


def _without_nan(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nan(one) for name, one in value.items()}
        case list() | tuple():
            return [_without_nan(one) for one in value]
        case float() if math.isnan(value):
            return None
    return value

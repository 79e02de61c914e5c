"""Runs the knowledge agent and the correction agent over a split, for `setaria.recipes.makar.knowledge`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from transformers import set_seed

from setaria.agents.makar.correction import Correction, CorrectionAgent
from setaria.agents.makar.correction_prompts import CorrectionPrompts
from setaria.agents.makar.knowledge import NO_IMAGE, Knowledge, KnowledgeAgent, tagged
from setaria.agents.makar.knowledge_prompts import Unlabelled
from setaria.agents.makar.tagger import CandidateTagger
from setaria.agents.makar.tuning import tune_correction
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.recipes.makar.build import Source
from setaria.recipes.makar.knowledge_arguments import KnowledgeArguments
from setaria.recipes.makar.knowledge_setup import knowledge_prompts, recording_chats, web
from setaria.recipes.run_folder import write_atomically, write_run_folder
from setaria.rewards.grounded_entities import PredictedEntity


DEV = "dev"
THRESHOLD = "threshold.json"


def run_knowledge(arguments: KnowledgeArguments) -> dict[str, int]:
    """Write what is known of the tweets of a split; what `output` has recordings of is not asked for again.

    Returns:
        Counts, as they are in the report.

    Raises:
        ValueError: for data and settings that cannot be used, and a tau that is neither given nor tuned.
    """
    output = Path(arguments.output)
    tau = _tau(arguments)
    source = Source(Path(arguments.data), arguments.layout, Path(arguments.images) if arguments.images else None)
    tweets = source.read(arguments.split)
    prompts = knowledge_prompts(arguments)
    places = web(arguments) if arguments.search else None
    sampling, steady = recording_chats(arguments)
    set_seed(arguments.seed + sampling.recorded)

    bare = [Unlabelled.of(tweet) for tweet in tweets]
    agent = KnowledgeAgent(sampling, prompts, arguments.samples)
    known = list(track(agent.knowledge(bare), "knowledge", len(bare)))
    if arguments.tagger:
        known = _tagged(arguments, tweets, known)
    corrected: list[Correction] = []
    if places:
        corrector = CorrectionAgent(steady, CorrectionPrompts(prompts), *places, arguments.correction(tau or 0.0))
        pairs = list(zip(bare, known, strict=True))
        if tau is None:
            gold = [tweet.entities for tweet in tweets]  # the only place where labels are looked at
            watch = partial(track, description="correction at each tau")
            tuned = tune_correction(corrector, pairs, gold, arguments.cost, watch=watch)
            write_atomically(output / THRESHOLD, _json(asdict(tuned)))
            tau = tuned.best.tau
            corrector = replace(corrector, config=arguments.correction(tau))
        corrected = list(track(corrector.corrections(pairs), "correction", len(pairs)))

    counts = _counts(known, corrected)
    after: Sequence[Correction | None] = corrected or [None] * len(known)
    _write_lines(output / f"{arguments.split}.jsonl", map(_line, known, after))
    _write_lines(output / f"{arguments.split}_entities.jsonl", _entity_lines(corrected or known))
    report = {"settings": vars(arguments), "tau": tau, "counts": counts}
    write_atomically(output / f"{arguments.split}_report.json", _json(report))
    write_run_folder(arguments.output, vars(arguments), 1)
    return counts


def read_tau(file: Path) -> float:
    """The tau that was tuned.

    Raises:
        ValueError: for a file that is not there, or has none.
    """
    if not file.is_file():
        raise ValueError(f"tau is missing: give it, or let --split {DEV} tune it into {file}")
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["best"]["tau"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: there is no best.tau ({error})") from None


def _tau(arguments: KnowledgeArguments) -> float | None:
    """The tau that is known before the run; `None` if it will be tuned, or is not needed."""
    if not arguments.search or arguments.tau is not None or arguments.split == DEV:
        return arguments.tau
    return read_tau(Path(arguments.output) / THRESHOLD)


def _tagged(arguments: KnowledgeArguments, tweets: Sequence[Tweet], known: Sequence[Knowledge]) -> list[Knowledge]:
    """The same texts with the entities of a tagger that reads them."""
    tagger = CandidateTagger.load(
        arguments.tagger or "", arguments.batch, arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    )
    bare = [replace(tweet, entities=(), size=None) for tweet in tweets]
    found = tagger.candidates(bare, {one.tweet: one.text for one in known})
    return [tagged(one, candidates) for one, candidates in zip(known, found, strict=True)]


def _line(known: Knowledge, corrected: Correction | None) -> dict[str, Any]:
    """What is written of a tweet; the tagger reads `tweet` and `text`."""
    line = {
        "tweet": known.tweet,
        "text": known.text,
        "entities": list(map(_entity, known.entities)),
        "candidates": [asdict(candidate) for candidate in known.candidates],
        "unread": known.unread,
        "problems": list(known.problems),
    }
    if corrected is None:
        return line
    return line | {
        "text": corrected.text,
        "entities": list(map(_entity, corrected.entities)),
        "problems": [*known.problems, *(f"correction: {problem}" for problem in corrected.problems)],
        "decided": corrected.decided,
        "degraded": corrected.degraded,
        "asked": [asdict(lookup) for lookup in corrected.asked],
    }


def _entity(entity: PredictedEntity) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in ("start", "end", "text", "type", "fine")}


def _entity_lines(final: Iterable[Knowledge | Correction]) -> Iterator[dict[str, str]]:
    """What is known of each name, for the grounding agent."""
    for one in final:
        for words, text in one.about.items():
            yield {"tweet": one.tweet, "entity": words, "text": text}


def _counts(known: Sequence[Knowledge], corrected: Sequence[Correction]) -> dict[str, int]:
    counts = {
        "tweets": len(known),
        "without image": sum(NO_IMAGE in one.problems for one in known),
        "without text": sum(not one.text for one in known),
        "with problems": sum(bool(one.problems) for one in known),
        "unread answers": sum(one.unread for one in known),
    }
    if corrected:
        counts |= {
            "looked up": sum(bool(one.asked) for one in corrected),
            "decided again": sum(one.decided for one in corrected),
            "search down": sum(bool(one.degraded) for one in corrected),
            "whole tweet searched": sum(any(lookup.holds_tweet for lookup in one.asked) for one in corrected),
        }
    return counts


def _write_lines(file: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    write_atomically(file, "".join(json.dumps(entry) + "\n" for entry in entries))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"

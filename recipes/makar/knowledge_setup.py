"""What the knowledge's generation runs with, as its settings name it: prompts, the model twice, and the web."""

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

from setaria.agents.backtrack.chat import ReplyModel
from setaria.agents.backtrack.endpoint import Endpoint
from setaria.agents.backtrack.local_chat import LocalChat
from setaria.agents.makar.corpus_search import CorpusSearch
from setaria.agents.makar.ddgs_search import DdgsSearch
from setaria.agents.makar.json_lines import read_lines, texts_of
from setaria.agents.makar.knowledge_prompts import Demonstrations, KnowledgePrompts
from setaria.agents.makar.pages import Pages
from setaria.agents.makar.patience import Patience, TriedOnce
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.recorded_pages import RecordedPages, RecordingPages
from setaria.agents.makar.recorded_search import RecordedSearch, RecordingSearch
from setaria.agents.makar.search import PageReader, Searcher
from setaria.agents.makar.searxng import Searxng
from setaria.datasets_builders.mner.gmner import read_split
from setaria.models.image_size import to_fixed_point
from setaria.recipes.makar.build import READERS, TRAIN
from setaria.recipes.makar.chat import load_chat
from setaria.recipes.makar.knowledge_arguments import KnowledgeArguments
from setaria.recipes.makar.processor import grounding_processor


REPLIES, SEARCHES, PAGES = "replies.jsonl", "searches.jsonl", "pages.jsonl"


def knowledge_prompts(arguments: KnowledgeArguments) -> KnowledgePrompts:
    """The prompts, with examples if there is reasoning for some, and images at the size of the model's processor.

    Raises:
        ValueError: for reasoning and budgets of pixels that cannot be used.
        OSError: for files that are not there.
    """
    _, layout = READERS[arguments.layout]
    shown = fit = None
    if arguments.reasoning:
        entries = (texts_of(entry, ("tweet", "text"), where) for where, entry in read_lines(Path(arguments.reasoning)))
        reasoning = {entry["tweet"]: entry["text"] for entry in entries}
        shown = Demonstrations(read_split(Path(arguments.data), TRAIN, layout), reasoning, arguments.examples)
    if arguments.image_max_pixels:
        checkpoint = arguments.model_name_or_path or ""
        processor = grounding_processor(checkpoint, image_max_pixels=arguments.image_max_pixels)
        fit = partial(to_fixed_point, processor=processor)
    return KnowledgePrompts(layout, shown, fit)


def recording_chats(arguments: KnowledgeArguments) -> tuple[RecordingChat, RecordingChat]:
    """The model that samples, and the same at temperature 0; both record in `REPLIES`.

    Recordings go by the name of the model, not by its weights: another model needs another name or output.
    """
    model = arguments.endpoint_model if arguments.endpoint else arguments.model_name_or_path
    adapter = f" + {arguments.adapter}" if arguments.adapter else ""
    limit = f"at most {arguments.max_new_tokens} tokens"
    names = (f"temperature {arguments.temperature}, seed {arguments.seed}", "temperature 0")
    sampling, steady = (
        RecordingChat(chat, f"{model}{adapter}, {limit}, {name}", Path(arguments.output) / REPLIES, arguments.batch)
        for chat, name in zip(load_both(arguments), names, strict=True)
    )
    return sampling, steady


def load_both(arguments: KnowledgeArguments) -> tuple[ReplyModel, ReplyModel]:
    """The model at its temperature, and at temperature 0; weights are loaded once."""
    chat = load_chat(arguments)
    if isinstance(chat, Endpoint):
        return chat, replace(chat, temperature=0.0)
    steady = copy.copy(chat)
    assert isinstance(steady, LocalChat)
    steady.temperature = 0.0
    return chat, steady


def web(arguments: KnowledgeArguments, polite: Polite | None = None) -> tuple[Searcher, PageReader]:
    """Who searches and who reads pages; what comes from a network is recorded in `SEARCHES` and `PAGES`.

    Args:
        polite: how servers are asked; by default as `Polite` does.

    Raises:
        ValueError: for an address or a corpus that cannot be used.
        OSError: for files that are not there.
        ImportError: for what is not installed.
    """
    searches, pages = Path(arguments.output) / SEARCHES, Path(arguments.output) / PAGES
    place = arguments.web or ""
    if arguments.search == "corpus":
        corpus = CorpusSearch.read(Path(place))
        return corpus, corpus
    if arguments.search == "recorded":
        return RecordedSearch(searches), RecordedPages(pages)
    polite = polite or Polite(seed=arguments.seed)
    engine = Searxng(place, polite=polite) if arguments.search == "searxng" else DdgsSearch(polite=polite)
    reader = Pages(arguments.extractor, polite=polite)
    return RecordingSearch(Patience(engine), searches), RecordingPages(TriedOnce(reader), pages)

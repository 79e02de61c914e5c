"""Builds the grounding agent's data: a generated world, rows, reasoning, and the split by difficulty.

Knowledge and reasoning are JSON lines, {"tweet": id, "entity": words of the tweet, "text": ...}; a line of reasoning
with a `fault` is not taught. Looks are JSON lines as a world's facts.jsonl: {"name", "type", "look"}.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk
from rich.progress import track
from transformers import ProcessorMixin, set_seed

from setaria.agents.makar.json_lines import GrowingFile, read_lines, texts_of
from setaria.datasets_builders.gui.rows import save_rows
from setaria.datasets_builders.mner.bio import read_tagged
from setaria.datasets_builders.mner.difficulty import Difficulty, pass_rates, split_by_difficulty
from setaria.datasets_builders.mner.gmner import read_fmnerg, read_gmner
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.datasets_builders.mner.grounding_rows import (
    GroundingSample,
    Key,
    LeftOut,
    check_sizes,
    family_of,
    grounding_rows,
    grounding_samples,
    with_none_share,
    with_thoughts,
    write_left_out,
)
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER
from setaria.datasets_builders.mner.reasoning import ask_reasoning, fault_of, template_reasoning
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.recipes.backtrack.world_tasks import empty_folder
from setaria.recipes.makar.chat import load_chat
from setaria.recipes.makar.processor import grounding_processor
from setaria.recipes.makar.script_arguments import ReasoningArguments, SplitArguments
from setaria.recipes.run_folder import write_atomically


READERS = {"gmner": (read_gmner, GMNER), "fmnerg": (read_fmnerg, FMNERG)}
TRAIN = "train"
LEFT_OUT = "left_out.txt"
EASY, HARD, RATES, REPORT = "easy", "hard", "rates.jsonl", "difficulty.json"
ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Source:
    """Annotated tweets on disk.

    Attributes:
        root: folder in the layout.
        layout: key of `READERS`.
        images: folder of the images; `None`: `images/` in `root`.
    """

    root: Path
    layout: str = "gmner"
    images: Path | None = None

    def read(self, split: str) -> list[Tweet]:
        """The tweets of a split; see `read_gmner` for what is raised."""
        return READERS[self.layout][0](self.root, split, self.images)

    def ids_outside(self, split: str) -> set[str]:
        """The ids of all tweets in the other text files."""
        layout = READERS[self.layout][1]
        files = [file for file in (self.root / layout.text).glob("*.txt") if file.stem != split]
        return {tweet.id for file in files for tweet in read_tagged(file, len(layout.columns))[0]}


def build_rows(
    source: Source,
    split: str,
    prompts: GroundingPrompts,
    output: Path,
    reasoning: Path | None = None,
    looks: Path | None = None,
    knowledge: Path | None = None,
    none_share: float | None = None,
    seed: int = 0,
) -> tuple[Dataset, list[LeftOut]]:
    """Rows of a split, and the entities that make none, which `LEFT_OUT` beside the rows names too.

    Args:
        reasoning, looks: what the thoughts come from, one of the two; without either they are empty. Reasoning is
            checked again, wherever it comes from.
        none_share: share of None among the rows; `None`: all there are.

    Raises:
        ValueError: for a folder that is not empty, input that cannot be used, and if there is no row.
    """
    empty_folder(output)
    thoughts: dict[Key, str] | None = None
    samples, left_out = grounding_samples(source.read(split), prompts)
    if reasoning is not None:
        thoughts = _checked_thoughts(samples, read_keyed(reasoning))
    elif looks is not None:
        thoughts = _template_thoughts(samples, looks)
    if thoughts is not None:
        samples, without = with_thoughts(samples, thoughts)
        left_out = left_out + without
    chosen = with_none_share(samples, none_share, seed)
    known = None if knowledge is None else read_keyed(knowledge)
    rows = save_rows(grounding_rows(chosen, prompts, thoughts, known), output)
    if left_out:
        write_left_out(left_out, output / LEFT_OUT)
    return rows, left_out


def build_reasoning(arguments: ReasoningArguments) -> dict[str, int]:
    """Ask a model for the reasoning of the training entities; what `output` already holds is not asked for again.

    Returns:
        How many texts are in the file (`texts`), how many of them are faulty (`faulty`), and how many entities could
        not be asked about for their image or boxes (`left out`).
    """
    source = Source(Path(arguments.data), arguments.layout, Path(arguments.images) if arguments.images else None)
    # Any family that writes shares of the image: the model that is asked sees images as they are.
    samples, left_out = grounding_samples(source.read(TRAIN), GroundingPrompts("qwen3_vl"))
    output = Path(arguments.output)
    done = {_key(entry, where) for where, entry in read_lines(output)} if output.exists() else set()
    waiting = list({sample.key: sample for sample in samples if sample.key not in done}.values())
    known = read_keyed(Path(arguments.knowledge)) if arguments.knowledge else None
    chat = load_chat(arguments)
    set_seed(arguments.seed + len(done))
    asked = ask_reasoning(waiting, chat.generate, source.ids_outside(TRAIN), known, arguments.tries)
    file = GrowingFile(output)
    for one in track(asked, "reasoning", len(waiting)):
        tweet, entity = one.key
        file.add({"tweet": tweet, "entity": entity, "text": one.text, "fault": one.fault})
    faults = [bool(entry.get("fault")) for _, entry in read_lines(output)]
    return {"texts": len(faults), "faulty": sum(faults), "left out": len(left_out)}


def build_split(arguments: SplitArguments) -> Difficulty:
    """Rate the rows and write `EASY`, `HARD` and a report; an interrupted run goes on from its rates.

    Raises:
        ValueError: for a finished output, rates of other settings, and rows that do not suit the model's processor.
    """
    output = Path(arguments.output)
    for name in (EASY, HARD):
        empty_folder(output / name)
    rows = load_from_disk(arguments.rows)
    family_of(rows)
    processor = grounding_processor(arguments.model_name_or_path or "", image_max_pixels=arguments.image_max_pixels)
    check_sizes(rows, processor)
    rates = _rate(rows, arguments, processor, output / RATES)
    found = split_by_difficulty(rates, [not boxes for boxes in rows["gold_boxes"]], arguments.config)
    for name, numbers in ((EASY, found.easy), (HARD, found.hard)):
        rows.select(numbers).save_to_disk(output / name)
    report = {
        **_settings(rows, arguments),
        "split": asdict(arguments.config),
        "counts": found.counts,
        "rates": {kind: dict(sorted(rates.items())) for kind, rates in found.rates.items()},
    }
    write_atomically(output / REPORT, json.dumps(report, indent=2) + "\n")
    return found


def read_keyed(file: Path) -> dict[Key, str]:
    """The texts of a file of JSON lines, without those that have a fault.

    Raises:
        ValueError: naming file, line and field of what cannot be read.
        OSError: for a file that is not there.
    """
    return {
        _key(entry, where): texts_of(entry, ("text",), where)["text"]
        for where, entry in read_lines(file)
        if not entry.get("fault")
    }


def _key(entry: dict, where: str) -> Key:
    fields = texts_of(entry, ("tweet", "entity"), where)
    return fields["tweet"], fields["entity"]


def _checked_thoughts(samples: Iterable[GroundingSample], texts: Mapping[Key, str]) -> dict[Key, str]:
    """The texts that can be taught."""
    seen = {sample.key: sample.box is not None for sample in samples}
    return {key: text for key, text in texts.items() if key in seen and not fault_of(text, seen[key])}


def _template_thoughts(samples: Iterable[GroundingSample], looks: Path) -> dict[Key, str]:
    """Thoughts from the looks of a world; an ambiguous name is told by its type."""
    read = (texts_of(entry, ("name", "type", "look"), where) for where, entry in read_lines(looks))
    known = {(fields["name"], fields["type"]): fields["look"] for fields in read}
    named = ((sample, known.get((sample.entity.text, sample.entity.type))) for sample in samples)
    return {sample.key: template_reasoning(look, sample.box is not None) for sample, look in named if look}


def _rate(rows: Dataset, arguments: SplitArguments, processor: ProcessorMixin, file: Path) -> list[float]:
    """The rate of each row; those in `file` are not computed again."""
    settings = _settings(rows, arguments)
    header, *entries = ([entry for _, entry in read_lines(file)] if file.exists() else []) or [{}]
    if header not in ({}, settings):
        raise ValueError(f"{file} holds rates of other settings: choose another folder with --output")
    rates = [float(entry["rate"]) for entry in entries]
    if len(rates) == len(rows):
        return rates
    growing = GrowingFile(file)
    if not header:
        growing.add(settings)
    ask = load_chat(arguments, processor).generate
    for start in track(range(len(rates), len(rows), ROWS_AT_ONCE), "rating"):
        set_seed(arguments.seed + start)
        chosen = rows.select(range(start, min(start + ROWS_AT_ONCE, len(rows))))
        for rate in pass_rates(chosen, ask, arguments.samples, ROWS_AT_ONCE):
            growing.add({"rate": rate})
            rates.append(rate)
    return rates


def _settings(rows: Dataset, arguments: SplitArguments) -> dict[str, Any]:
    """What rates depend on."""
    names = (
        *("rows", "model_name_or_path", "adapter", "endpoint", "endpoint_model", "image_max_pixels"),
        *("samples", "temperature", "max_new_tokens", "seed"),
    )
    return {name: getattr(arguments, name) for name in names} | {"count": len(rows)}

"""Training rows of the grounding agent, one per entity: TRL's columns for SFT, and what rewards and checks need.

    prompt, images    the conversation, the image as the model sees it
    completion        the reply that is taught; for SFT only
    gold_boxes        all of them in pixels of the original image, the taught one first; [] for None
    image_size        [width, height] of the original image
    processed_size    [width, height] that the model sees
    family            whose numbers the completion is written in
    tweet, entity, type    where the row comes from

Of several gold boxes the largest is taught, of equal ones the first (our choice): any of them is right, and the
largest is the easiest to see. Boxes are cut at the edges of the image. An entity whose boxes all lie outside it, or in
an image of another size, or that has no image at all, makes no row; it is listed, since as a None it would be wrong.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from datasets import Dataset
from transformers import ProcessorMixin

from setaria.datasets_builders.gui.rows import without_images
from setaria.datasets_builders.mner.grounding_prompts import Conversation, GroundingPrompts, type_text
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.image_size import processed_size
from setaria.rewards.boxes import Box, area, clip
from setaria.rewards.grounded_entities import GoldEntity


Key: TypeAlias = tuple[str, str]  # id of the tweet, words of the entity


@dataclass(frozen=True)
class GroundingSample:
    """An entity to ask for; its boxes lie inside the image, the largest first."""

    tweet: Tweet
    entity: GoldEntity

    @property
    def key(self) -> Key:
        """What knowledge and thoughts are looked up by. Mentions of the same words share their boxes."""
        return self.tweet.id, self.entity.text

    @property
    def box(self) -> Box | None:
        """The box that is taught, `None` for an entity that is not in the image."""
        return self.entity.boxes[0] if self.entity.boxes else None


@dataclass(frozen=True)
class LeftOut:
    """An entity that makes no row.

    Attributes:
        kind: why, in short: `image`, `boxes` or `reasoning`.
        reason: why, in this case.
    """

    tweet: str
    entity: str
    kind: str
    reason: str

    def __str__(self):
        return f"tweet {self.tweet}: {self.entity!r}: {self.reason}"


class Samples(NamedTuple):
    """Entities that can be asked for, in the order of the data, and those that cannot."""

    samples: list[GroundingSample]
    left_out: list[LeftOut]


def grounding_samples(tweets: Iterable[Tweet], prompts: GroundingPrompts) -> Samples:
    """Every entity of the tweets, once all images have been looked at."""
    found = Samples([], [])
    for tweet in tweets:
        if not tweet.entities:
            continue
        try:
            size = prompts.show(tweet.image).size
            if tweet.size not in (None, size):
                raise ValueError("the image has {} x {} pixels, {} x {} in the xml".format(*size, *tweet.size))
        except ValueError as error:
            reason = f"{tweet.image}: {error}"
            found.left_out.extend(LeftOut(tweet.id, entity.text, "image", reason) for entity in tweet.entities)
            continue
        for entity in tweet.entities:
            inside = [box for box in (clip(box, size) for box in entity.boxes) if area(box)]
            if entity.boxes and not inside:
                reason = f"none of its boxes {entity.boxes} is in the image of {size[0]} x {size[1]} pixels"
                found.left_out.append(LeftOut(tweet.id, entity.text, "boxes", reason))
                continue
            boxes = tuple(sorted(inside, key=area, reverse=True))
            found.samples.append(GroundingSample(tweet, replace(entity, boxes=boxes)))
    return found


def with_thoughts(samples: Iterable[GroundingSample], thoughts: Mapping[Key, str]) -> Samples:
    """The entities that have a thought, and those that have none."""
    found = Samples([], [])
    for sample in samples:
        if sample.key in thoughts:
            found.samples.append(sample)
        else:
            found.left_out.append(LeftOut(*sample.key, "reasoning", "no reasoning that can be taught"))
    return found


def with_none_share(samples: Sequence[GroundingSample], share: float | None, seed: int = 0) -> list[GroundingSample]:
    """All entities with a box, and as many others, drawn at random, as make up this share of the result.

    All of those if they are too few, or `share` is `None`.

    Raises:
        ValueError: for a share that is not from 0 to below 1.
    """
    if share is None:
        return list(samples)
    if not 0 <= share < 1:
        raise ValueError(f"none_share={share} is no share from 0 to below 1")
    nones = [number for number, sample in enumerate(samples) if sample.box is None]
    wanted = round((len(samples) - len(nones)) * share / (1 - share))
    kept = set(random.Random(seed).sample(nones, min(wanted, len(nones))))
    return [sample for number, sample in enumerate(samples) if sample.box is not None or number in kept]


def grounding_rows(
    samples: Iterable[GroundingSample],
    prompts: GroundingPrompts,
    thoughts: Mapping[Key, str] | None = None,
    knowledge: Mapping[Key, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """One row per entity; images are read as rows are made.

    The first entity with a box comes first of all: `datasets` reads the types of columns off the first rows.

    Args:
        thoughts: the reasoning of each entity; without them the thought is empty.
        knowledge: what is quoted in the question, where there is any.

    Raises:
        KeyError: for an entity without a thought.
        ValueError: for a thought with tags, and for an image that has changed since the samples were made.
    """
    waiting = list(samples)
    first = next((number for number, sample in enumerate(waiting) if sample.box is not None), 0)
    for sample in waiting[first : first + 1] + waiting[:first] + waiting[first + 1 :]:
        tweet, entity = sample.tweet, sample.entity
        shown = prompts.show(tweet.image)
        known = (knowledge or {}).get(sample.key, "")
        conversation = prompts.ask(shown, tweet.text, entity.text, type_text(entity), known)
        prompt, images = without_images(conversation)
        reply = prompts.write("" if thoughts is None else thoughts[sample.key], sample.box, shown)
        yield {
            "prompt": prompt,
            "completion": [{"role": "assistant", "content": [{"type": "text", "text": reply}]}],
            "images": images,
            "gold_boxes": [list(map(float, box)) for box in entity.boxes],
            "image_size": list(shown.size),
            "processed_size": list(shown.image.size),
            "family": prompts.family,
            "tweet": tweet.id,
            "entity": entity.text,
            "type": type_text(entity),
        }


def count_rows(rows: Dataset) -> Counter[str]:
    """How many rows there are, and how many of them are None and have several boxes."""
    counts = Counter({"rows": len(rows), "None": 0, "several boxes": 0})
    for boxes in rows["gold_boxes"]:
        counts["None"] += not boxes
        counts["several boxes"] += len(boxes) > 1
    return counts


def sft_rows(rows: Dataset) -> Dataset:
    """The columns that SFT takes."""
    return rows.select_columns(["prompt", "completion", "images"])


def rollout_rows(rows: Dataset) -> Dataset:
    """The columns that GRPO and `setaria.rewards.grounding` take."""
    return rows.select_columns(["prompt", "images", "gold_boxes", "image_size", "processed_size"])


def question(row: Mapping[str, Any]) -> Conversation:
    """The conversation of a row, its images in place: what a chat model is asked."""
    images = iter(row["images"])
    return [
        {
            "role": turn["role"],
            "content": [
                {"type": "image", "image": next(images)} if part["type"] == "image" else part
                for part in turn["content"]
            ],
        }
        for turn in row["prompt"]
    ]


def family_of(rows: Dataset) -> str:
    """The family whose numbers the rows are written in.

    Raises:
        ValueError: for rows of several families, and for rows of something else.
    """
    if missing := {"family", "gold_boxes", "image_size", "processed_size"} - set(rows.column_names):
        raise ValueError(f"these are no rows of the grounding agent: there is no column {', '.join(sorted(missing))}")
    family, *others = rows.unique("family")
    if others:
        raise ValueError(f"the rows are written for several families: {family}, {', '.join(others)}")
    return family


def check_sizes(rows: Dataset, processor: ProcessorMixin) -> None:
    """Refuse rows whose images a processor would show at another size than they were written for.

    Each image must be at the size that the processor gives to the original, and stay there. So SFT, GRPO and inference
    with this processor see the same, and numbers mean the same place.

    Raises:
        ValueError: naming the first such row, both sizes and the processor's budget.
    """
    expected: dict[tuple[int, int], tuple[int, int]] = {}
    for number, row in enumerate(rows.select_columns(["image_size", "processed_size"])):
        original, written = tuple(row["image_size"]), tuple(row["processed_size"])
        for size in (original, written):
            if size not in expected:
                expected[size] = processed_size(processor, size)
            if expected[size] != written:
                budget = processor.image_processor.size
                raise ValueError(
                    f"row {number} was written for an image of {written}, but this processor makes {expected[size]} "
                    f"of {size}, within {budget.shortest_edge}..{budget.longest_edge} pixels: rows and all stages "
                    "need the same image_max_pixels"
                )


def write_left_out(left_out: Iterable[LeftOut], file: Path) -> None:
    """Write one line for each."""
    file.write_text("".join(f"{one}\n" for one in left_out), encoding="utf-8", errors="backslashreplace")

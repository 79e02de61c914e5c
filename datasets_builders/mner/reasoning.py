"""The reasoning of the cold start: what stands in the think tags of the rows that SFT is taught.

    asked       a chat model sees the tweet, the image with the gold box framed in it, or hears that the entity is not
                there, and says how one comes to that answer
    template    where looks are known, as in a generated world

The paper's generator of reasoning is not known; this is ours. A frame in place of numbers suits any chat model. Gold
is told, so only entities of training tweets may be asked about. What comes back is checked before it is taught: a text
is refused if it is empty or too long, holds tags, special tokens or coordinates, shows that the answer was told, or
contradicts it, as far as words show that. The lists of words err on the side of refusal.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from PIL import ImageDraw

from setaria.datasets_builders.mner.grounding_prompts import (
    Conversation,
    describe,
    read_image,
    type_text,
    user_turn,
)
from setaria.datasets_builders.mner.grounding_rows import GroundingSample, Key
from setaria.rewards.grounding_answer import TAGS


FRAME = "#ff0000"
LONGEST_THOUGHT = 600  # characters
AT_ONCE = 32

IN_IMAGE = "The entity is in the image, in the red frame."
NOT_IN_IMAGE = "The entity is not in the image."
REASON = (
    "Explain in two or three plain sentences how one finds that out from the tweet and the image alone: what the "
    "entity is, what it looks like, and what in the image speaks for or against it. Write as if nobody had told you "
    "the answer: do not mention the frame, give no coordinates and use no tags."
)

# Signs that the answer was told.
TOLD = re.compile(
    r"ground[- ]truth|annotat|bounding box|\bframed?\b|\bred (?:box|rectangle|outline)|\bhighlighted\b|\boutlined\b"
    r"|\b(?:given|provided|correct|gold) (?:answer|box|label)|\bwas told\b",
    re.IGNORECASE,
)
_SHOWN = r"(?:\w+ly )?(?:visible|seen|shown|present|depicted|pictured|in the (?:image|picture|photo))\b"
SEEN = re.compile(rf"\b(?:is|are|be) {_SHOWN}|\bappears? in the\b", re.IGNORECASE)
NOT_SEEN = re.compile(
    rf"(?:\bnot|cannot|n't) (?:be )?{_SHOWN}|(?:\bnot|n't) (?:appear|show)|\bno (?:sign|trace|image|picture) of\b"
    rf"|\b(?:no|none|nothing|nobody)\b[^.]* {_SHOWN}|\babsent\b|\bnowhere\b",
    re.IGNORECASE,
)
COORDINATES = re.compile(r"\d+(?:\.\d+)?\s*,\s*\d+(?:\.\d+)?\s*[,)\]]")


@dataclass(frozen=True)
class Reasoning:
    """What was said about an entity.

    Attributes:
        key: of the entity, see `GroundingSample`.
        text: without white space around it.
        fault: why it is not taught; empty if it is.
    """

    key: Key
    text: str
    fault: str


def ask_reasoning(
    samples: Sequence[GroundingSample],
    ask: Callable[[Sequence[Conversation]], list[str]],
    held_out: Collection[str],
    knowledge: Mapping[Key, str] | None = None,
    tries: int = 2,
) -> Iterator[Reasoning]:
    """One text for each entity, in order; what is faulty is asked for again, which helps if the model samples.

    Args:
        ask: the chat model; it gets at most `AT_ONCE` conversations at a time.
        held_out: ids of all tweets of the other splits.
        knowledge: as in the rows.
        tries: how often an entity is asked about at most.

    Raises:
        ValueError: for an entity of a held-out tweet, before anything is asked.
    """
    for sample in samples:
        if sample.tweet.id in held_out:
            raise ValueError(f"tweet {sample.tweet.id} is held out: its gold must not be told to a model")
    waiting = iter(samples)
    while chosen := list(islice(waiting, AT_ONCE)):
        conversations = [reasoning_prompt(sample, (knowledge or {}).get(sample.key, "")) for sample in chosen]
        said: list[Reasoning | None] = [None] * len(chosen)
        for _ in range(tries):
            open_ones = [number for number, one in enumerate(said) if one is None or one.fault]
            if not open_ones:
                break
            replies = ask([conversations[number] for number in open_ones])
            for number, reply in zip(open_ones, replies, strict=True):
                text = reply.strip()
                said[number] = Reasoning(chosen[number].key, text, fault_of(text, chosen[number].box is not None))
        yield from (one for one in said if one is not None)


def reasoning_prompt(sample: GroundingSample, knowledge: str = "") -> Conversation:
    """The question about an entity, with its answer; any chat model can be asked."""
    image = read_image(sample.tweet.image).convert("RGB")
    if sample.box is not None:
        width = max(2, min(image.size) // 100)
        x1, y1, x2, y2 = sample.box
        ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), outline=FRAME, width=width)
    answer = NOT_IN_IMAGE if sample.box is None else IN_IMAGE
    context = describe(sample.tweet.text, sample.entity.text, type_text(sample.entity), knowledge)
    return user_turn(image, f"{context}\n{answer} {REASON}")


def fault_of(text: str, seen: bool) -> str:
    """Why a text cannot be taught as the thought before an answer; empty if it can.

    Args:
        seen: whether the answer is a box, not None.
    """
    if not text:
        return "empty"
    if len(text) > LONGEST_THOUGHT:
        return f"longer than {LONGEST_THOUGHT} characters"
    if held := next((tag for tag in (*TAGS, "<|") if tag in text.casefold()), ""):
        return f"holds {held}"
    if told := TOLD.search(text):
        return f"shows that the answer was told: {told[0]!r}"
    if written := COORDINATES.search(text):
        return f"holds coordinates: {written[0]!r}"
    claimed, denied = SEEN.search(text), NOT_SEEN.search(text)
    if seen and denied:
        return f"contradicts the box: {denied[0]!r}"
    if not seen and claimed and not denied:
        return f"contradicts None: {claimed[0]!r}"
    return ""


def template_reasoning(look: str, seen: bool) -> str:
    """The thought about an entity whose look is known, such as "red coat".

    It leaves the name out, which a small model cannot spell if it has not met it.
    """
    return f"Look for the {look}. It is {'here' if seen else 'not here'}."

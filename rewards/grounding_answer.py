"""What a reply of the grounding agent says: where an entity is in the image, or that it is not there.

    <think>what the image shows</think><answer>[x1, y1, x2, y2]</answer>
    <think>what the image shows</think><answer>None</answer>

A reply is one think and one answer, in this order, each tag once, nothing beside them; white space around and between
them is fine. Otherwise it has no answer: a right box inside the thought, a second answer and a box without tags are
worth nothing. An answer is the word None, in any case, or one box in JSON, in the numbers of the model's family: a
list, or Qwen-VL's own {"bbox_2d": [x1, y1, x2, y2]}, either alone in a list and in a code fence too. Several boxes
are no answer, also where gold has several: any one of those is right, and more would be guesses. The marks of other
families' own forms are special tokens, which decoding drops; their models are taught the list.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setaria.models.box_codec import BoxCodec
from setaria.rewards.boxes import FARTHEST, Box


TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# In characters; longer ones are not read.
LONGEST_REPLY = 100_000
LONGEST_ANSWER = 1_000


@dataclass(frozen=True)
class GroundingAnswer:
    """An answer that could be read.

    Attributes:
        numbers: x1, y1, x2, y2 as written, in the family's units, inverted and outside the image too; `None`: the
            entity is not in the image.
    """

    numbers: tuple[float, float, float, float] | None

    def box(
        self, codec: BoxCodec, image_size: tuple[int, int], processed_size: tuple[int, int] | None = None
    ) -> Box | None:
        """The box in pixels of the original image, `None` if it is not there; arguments as of `BoxCodec.decode`.

        Raises:
            ValueError: where the family needs `processed_size` and it is missing.
        """
        return self.numbers and codec.decode(self.numbers, image_size, processed_size)


def parse_reply(reply: str) -> GroundingAnswer | None:
    """The answer of a reply, `None` if it is not written as above. Never raises, whatever the text."""
    answer = answer_text(reply)
    return None if answer is None else parse_answer(answer)


def answer_text(reply: str) -> str | None:
    """What stands in the answer's tags, without white space around; `None` if the reply is not of the form."""
    if len(reply) > LONGEST_REPLY or any(reply.count(tag) != 1 for tag in TAGS):
        return None
    form = re.fullmatch(r"<think>.*</think>\s*<answer>(.*)</answer>", reply.strip(), re.DOTALL)
    return form and form[1].strip()


def parse_answer(answer: str) -> GroundingAnswer | None:
    """The answer that stood in the tags, `None` if it is neither None nor one box of four finite numbers."""
    if len(answer) > LONGEST_ANSWER:
        return None
    if answer.casefold() == "none":
        return GroundingAnswer(None)
    try:
        value = json.loads(answer.removeprefix("```json").removesuffix("```"))
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("bbox_2d")
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_coordinate, value)):
        return None
    x1, y1, x2, y2 = value
    return GroundingAnswer((x1, y1, x2, y2))


def write_reply(thought: str, numbers: Sequence[float] | None) -> str:
    """A reply as it is taught; `parse_reply` reads it.

    Args:
        thought: the reasoning.
        numbers: the box in the family's units, as `BoxCodec.encode` gives it; `None` for an entity not in the image.

    Raises:
        ValueError: for a thought that holds one of the tags.
    """
    held = [tag for tag in TAGS if tag in thought]
    if held:
        raise ValueError(f"thought {thought!r} holds {held[0]}, so that no one could tell where it ends")
    answer = "None" if numbers is None else json.dumps(list(numbers))
    return f"<think>{thought}</think><answer>{answer}</answer>"


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and -FARTHEST <= value <= FARTHEST

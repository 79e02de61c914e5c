"""What the grounding agent is shown and asked, and what it answers: one contract for SFT, GRPO and inference.

    image       brought to the size at which the family's processor shows it, so that no stage resizes it again
    question    the form of the answer, the tweet, what is known about the entity if anything is, the entity
    answer      <think>...</think><answer>[x1, y1, x2, y2]</answer> or <answer>None</answer>, in the family's numbers

One entity is asked for at a time. What comes from data stands in quotes as JSON writes them, so that nothing in it
ends the quotation, is cut at `LONGEST_QUOTE` characters, and holds no special token of a chat template: a tweet or a
page with <|im_end|> or <|image_pad|> would otherwise end the turn or ask for another image. The wording is ours.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image
from transformers import ProcessorMixin

from setaria.models.box_codec import BoxCodec, Size, box_codec
from setaria.models.image_size import to_fixed_point
from setaria.rewards.boxes import Box
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.grounding_answer import write_reply


Conversation: TypeAlias = list[dict[str, Any]]

QUESTION = (
    "Where in the image is the entity? Answer <think>what the image shows</think><answer>[x1, y1, x2, y2]</answer>, "
    "or None in place of the box if it is not there."
)
LONGEST_QUOTE = 2_000
MOST_PIXELS = 64_000_000


@dataclass(frozen=True)
class ShownImage:
    """An image of a tweet.

    Attributes:
        image: as the model sees it; its size is the processed size.
        size: (width, height) of the original in pixels, in which gold boxes are.
    """

    image: Image.Image
    size: Size


@dataclass(frozen=True)
class GroundingPrompts:
    """Writes the conversations of a model family.

    Attributes:
        family: one of `setaria.models.box_codec.CODECS`.
        fit: brings an image to the size at which the model sees it. Without it, which only a family that writes shares
            of the image allows, images stay as they are.

    Raises:
        ValueError: for another family, and for one that writes pixels of the processed image without `fit`.
    """

    family: str
    fit: Callable[[Image.Image], Image.Image] | None = None

    def __post_init__(self):
        if self.codec.units is None and self.fit is None:
            raise ValueError(f"fit is missing: {self.family} writes boxes in pixels of the processed image")

    @classmethod
    def of_processor(cls, family: str, processor: ProcessorMixin) -> "GroundingPrompts":
        """Prompts for a model with this processor of Qwen-VL; its budget of pixels decides on the size of images."""
        return cls(family, partial(to_fixed_point, processor=processor))

    @property
    def codec(self) -> BoxCodec:
        """How the family writes boxes."""
        return box_codec(self.family)

    def show(self, file: Path) -> ShownImage:
        """The image in `file`.

        Raises:
            ValueError: saying what is wrong with a file that is missing, no image, cut short or of more than
                `MOST_PIXELS` pixels, and with an image for which the processor has no size.
        """
        image = read_image(file)
        return ShownImage(image if self.fit is None else self.fit(image), image.size)

    def ask(self, shown: ShownImage, tweet: str, entity: str, entity_type: str, knowledge: str = "") -> Conversation:
        """Ask where an entity is.

        Args:
            tweet: its text.
            entity: the words of the tweet that name it.
            entity_type: such as PER; see `type_text`.
            knowledge: what knowledge base and pages say about it; a quotation that the model need not believe.
        """
        return user_turn(shown.image, f"{QUESTION}\n{describe(tweet, entity, entity_type, knowledge)}")

    def write(self, thought: str, box: Box | None, shown: ShownImage) -> str:
        """The reply that is taught.

        Args:
            box: in pixels of the original image; `None` if the entity is not in it.

        Raises:
            ValueError: for a box outside the image, and for a thought with tags.
        """
        numbers = None if box is None else self.codec.encode(box, shown.size, shown.image.size)
        return write_reply(thought, numbers)


def user_turn(image: Image.Image, text: str) -> Conversation:
    """A conversation of one question about an image."""
    return [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}]


def describe(tweet: str, entity: str, entity_type: str, knowledge: str = "") -> str:
    """The lines of a question that come from data; arguments as of `GroundingPrompts.ask`."""
    said = f"Said about it: {_quote(knowledge)}\n" if knowledge else ""
    return f"Tweet: {_quote(tweet)}\n{said}Entity: {_quote(entity)}, {_quote(entity_type)}"


def type_text(entity: GoldEntity | PredictedEntity) -> str:
    """The type of an entity as it is asked for: coarse, and fine if there is one."""
    return f"{entity.type}, {entity.fine}" if entity.fine else entity.type


def read_image(file: Path) -> Image.Image:
    """All of an image.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if not file.is_file():
        raise ValueError("missing image")
    try:
        with Image.open(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"more than {MOST_PIXELS} pixels")
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"broken image: {error}") from None


def _quote(text: str) -> str:
    if len(text) > LONGEST_QUOTE:
        text = f"{text[:LONGEST_QUOTE]} ..."
    encodable = text.encode("utf-8", "replace").decode()  # a lone surrogate stops a tokenizer
    return json.dumps(encodable.replace("<|", "< |"), ensure_ascii=False)

"""Training rows of the three roles: conversations in TRL's columns `prompt`, `completion` and `images`."""

from collections.abc import Iterable
from typing import Any

from datasets import Dataset
from PIL import Image

from setaria.datasets_builders.gui.prompts import Conversation


YES, NO = "Yes", "No"


def training_row(role: str, conversation: Conversation, completion: str, **columns: Any) -> dict[str, Any]:
    """A prompt-completion row; the images of the conversation go into a column of their own, in order.

    Args:
        role: column `role`: generator, judger, reflector or naming.
        columns: further columns, such as the gold action and the page's name.
    """
    prompt, images = without_images(conversation)
    answer = [{"role": "assistant", "content": [{"type": "text", "text": completion}]}]
    return {"role": role, "prompt": prompt, "completion": answer, "images": images, **columns}


def without_images(conversation: Conversation) -> tuple[Conversation, list[Image.Image]]:
    """The conversation with empty image parts, and the images."""
    images = [part["image"] for turn in conversation for part in turn["content"] if part["type"] == "image"]
    prompt = [
        {
            "role": turn["role"],
            "content": [{"type": "image"} if part["type"] == "image" else part for part in turn["content"]],
        }
        for turn in conversation
    ]
    return prompt, images


def row_dataset(rows: Iterable[dict[str, Any]]) -> Dataset:
    """Rows as a dataset, images encoded as PNG."""
    return Dataset.from_list(list(rows))

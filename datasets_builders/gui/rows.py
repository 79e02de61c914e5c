"""Training rows of the three roles: conversations in TRL's columns `prompt`, `completion` and `images`."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import uuid4

from datasets import Dataset, IterableDataset, load_from_disk
from datasets.exceptions import DatasetGenerationError
from PIL import Image

from setaria.datasets_builders.gui.prompts import Conversation


YES, NO = "Yes", "No"
ROWS_IN_MEMORY = 64
Split = TypeVar("Split", Dataset, IterableDataset)


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
    """Rows as a dataset in memory, images encoded as PNG."""
    return Dataset.from_list(list(rows))


def save_rows(rows: Iterable[dict[str, Any]], folder: Path) -> Dataset:
    """Write rows as they come to a folder in the form of `save_to_disk`, and read it; images encoded as PNG.

    Raises:
        ValueError: if there is no row. What making a row raises is passed on, and nothing is written then.
    """
    coming = iter(rows)
    first = next(coming, None)
    if first is None:
        raise ValueError(f"{folder}: there is no row to write")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as draft:
        try:
            written = Dataset.from_generator(
                lambda: chain([first], coming),
                cache_dir=draft,
                fingerprint=uuid4().hex,  # the rows come from models and cannot be hashed
                writer_batch_size=ROWS_IN_MEMORY,
            )
        except DatasetGenerationError as error:
            raise error.__cause__ or error from None
        written.save_to_disk(folder)
    return load_from_disk(str(folder))


def sft_rows(rows: Split, roles: list[str] | None) -> Split:
    """The rows of some roles, in the columns that SFT takes."""
    return of_roles(rows, roles).select_columns(["prompt", "completion", "images"])


def rollout_rows(rows: Split, roles: list[str] | None) -> Split:
    """The rows of some roles for reinforcement: the completion becomes `gold_reply`, task and page stay."""

    def gold_reply(completion: list[dict[str, Any]]) -> dict[str, str]:
        return {"gold_reply": "".join(part["text"] for part in completion[-1]["content"])}

    chosen = of_roles(rows, roles).map(gold_reply, input_columns="completion")
    return chosen.select_columns(["prompt", "images", "gold_reply", "task", "page"])


def of_roles(rows: Split, roles: list[str] | None) -> Split:
    """The rows of some roles, all without `roles`.

    Raises:
        ValueError: for rows without a role, and if no row is left.
    """
    if "role" not in (rows.column_names or []):
        raise ValueError(f"the rows have no column 'role', only {', '.join(rows.column_names or [])}")
    if not roles:
        return rows
    chosen = rows.filter(lambda role: role in roles, input_columns="role")
    if next(iter(chosen), None) is None:
        raise ValueError(f"there is no row of the roles {', '.join(roles)}")
    return chosen

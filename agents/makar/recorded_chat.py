"""A chat model whose answers are kept in a file, so that a run that was interrupted asks nothing twice.

    {"id": .., "prompt": .., "model": .., "sample": .., "reply": ..}

`prompt` is the SHA-256 of all that is asked, images included; `sample` numbers the answers to one question. Of several
lines for one question and sample the last counts.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from setaria.agents.backtrack.chat import Conversation, ReplyModel
from setaria.agents.makar.json_lines import GrowingFile, read_lines, texts_of


Key: TypeAlias = tuple[str, str, str, int]  # tweet, prompt, model, sample
LAST_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Question:
    """What is asked about a tweet, and for the how-manieth time, from 0."""

    id: str
    conversation: Conversation
    sample: int = 0


class RecordingChat:
    """A model that is asked only for what is not recorded yet, and what it answers is recorded.

    Args:
        model: whoever answers; to sample several answers it needs a temperature.
        name: of the model with all that its answers depend on, such as checkpoint, adapter and temperature. Answers of
            another name are not taken for its own.
        path: the file; several models may share it.
        batch: questions that are asked at once. Answers are on the disk when a batch is done.

    Raises:
        ValueError: for a blank name, a batch below 1, and naming file and line of what is no recorded answer.
    """

    def __init__(self, model: ReplyModel, name: str, path: Path, batch: int = 32):
        if not name.strip():
            raise ValueError(f"name={name!r} is blank")
        if batch < 1:
            raise ValueError(f"batch={batch}: at least 1 question is expected")
        self._model, self.name, self._batch = model, name, batch
        self._recorded = read_replies(path) if path.exists() else {}
        self._file = GrowingFile(path)

    @property
    def recorded(self) -> int:
        """How many answers are recorded, those of other models in the file included."""
        return len(self._recorded)

    def replies(self, questions: Sequence[Question]) -> list[str]:
        """One answer per question, in order; raises what the model raises, and keeps the batches before.

        Raises:
            ValueError: if the model gives more or fewer answers than it is asked for.
        """
        keys = [(one.id, prompt_hash(one.conversation), self.name, one.sample) for one in questions]
        left = [
            (key, one) for key, one in dict(zip(keys, questions, strict=True)).items() if key not in self._recorded
        ]
        for start in range(0, len(left), self._batch):
            asked = left[start : start + self._batch]
            said = self._model.generate([question.conversation for _, question in asked])
            if len(said) != len(asked):
                raise ValueError(f"{self.name} gave {len(said)} answers to {len(asked)} questions")
            for (key, _), reply in zip(asked, said, strict=True):
                self._file.add({**dict(zip(("id", "prompt", "model", "sample"), key, strict=True)), "reply": reply})
                self._recorded[key] = reply
        return [self._recorded[key] for key in keys]


def read_replies(path: Path) -> dict[Key, str]:
    """The recorded answers of a file.

    Raises:
        ValueError: naming file and line of what is none; a last line that was cut is left out with a warning.
    """
    replies = {}
    for where, entry in read_lines(path):
        texts = texts_of(entry, ("id", "prompt", "model", "reply"), where)
        sample = entry.get("sample")
        if type(sample) is not int or not 0 <= sample <= LAST_SAMPLE:
            raise ValueError(f"{where}: sample={str(sample)[:80]} is no number of a sample")
        replies[texts["id"], texts["prompt"], texts["model"], sample] = texts["reply"]
    return replies


def prompt_hash(conversation: Conversation) -> str:
    """A hash of roles, texts and pixels, so that whatever a model sees differently is another question."""
    seen = [[message["role"], *map(_seen, message["content"])] for message in conversation]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _seen(part: dict[str, Any]) -> list:
    if part["type"] == "text":
        return ["text", part["text"]]
    pixels = part["image"].convert("RGBA")
    return ["image", *pixels.size, hashlib.sha256(pixels.tobytes()).hexdigest()]

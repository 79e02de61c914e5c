"""Recall: a fact in a long prompt is asked for, by the length of the prompt and the depth of the fact in it.

    needle      one sentence with a number among sentences that have nothing to do with it
    key_value   one line `name: number` among many of its kind, so that all of the prompt looks like the answer

The prompt ends where the number follows, so that models without instructions can answer, too. Prompts are generated,
the same for every setting. A depth of 0 is the beginning of the prompt, 1 its end.

    exact_match                  1 if the first number of the reply is the right one
    exact_match at 256 tokens    the same, of prompts of about that length
    exact_match at depth 0.25    the same, of facts at that depth
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.replies import as_prompt, complete
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task


NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Milo", "Nora")
SENTENCES = (
    "The river was slow that day.",
    "A cat slept on the wall.",
    "They bought bread and some cheese.",
    "It rained a little in the evening.",
    "The old man told a long story.",
    "A boat came in from the sea.",
    "Nobody had seen the red ball again.",
    "The garden was full of bees.",
)
PER_CELL = 4  # prompts of a length and depth


@dataclass(frozen=True)
class Question:
    """A prompt, the number that should follow, and where the fact is."""

    prompt: str
    answer: str
    length: int
    depth: float


class Recall(Task):
    """Both kinds; `lengths` and `depths` of the configuration span the grid of prompts."""

    def __init__(self, file: Path | None, config: EvalConfig):
        if file is not None:
            raise ValueError(f"tasks: {self.name} makes its prompts and reads no file ({file})")
        self.config = config
        self.metrics = tuple(
            Metric(self.name, name, True)
            for name in ("exact_match", *map(_at_length, config.recall_lengths), *map(_at_depth, config.depths))
        )

    def samples(self, checkpoint: Checkpoint) -> dict[str, Question]:
        """Questions by item.

        Raises:
            ValueError: for a length that the model cannot read or that holds no fact.
        """
        longest = getattr(checkpoint.model.config.get_text_config(), "max_position_embeddings", None)
        reply = self.config.recall_tokens
        found = []
        for length in self.config.recall_lengths:
            if longest is not None and length + reply > longest:
                raise ValueError(f"lengths: {length} tokens and a reply of {reply} do not fit into {longest}")
            for depth in self.config.depths:
                for number in range(PER_CELL):
                    rng = random.Random(f"{self.name} {self.config.seed} {length} {depth} {number}")
                    found.append(self._question(checkpoint, length, depth, rng))
        return {f"{number:05}": question for number, question in enumerate(found[: self.config.limit])}

    def _question(self, checkpoint: Checkpoint, length: int, depth: float, rng: random.Random) -> Question:
        def tokens(text: str) -> int:
            return len(checkpoint.tokenizer(text).input_ids)

        answer = str(rng.randrange(10_000, 100_000))
        fact, asked, filler = self._texts(answer, rng)
        room = length - tokens(as_prompt(checkpoint, [f"{fact}\n{asked}"], self.config.apply_chat_template))
        if room < 0:
            raise ValueError(f"lengths: {length} tokens do not hold a fact and its question")
        pieces: list[str] = []
        while True:
            piece = filler()
            room -= tokens(f"\n{piece}")
            if room < 0:
                break
            pieces.append(piece)
        pieces.insert(round(depth * len(pieces)), fact)
        prompt = as_prompt(checkpoint, ["\n".join([*pieces, asked])], self.config.apply_chat_template)
        return Question(prompt, answer, length, depth)

    def _texts(self, answer: str, rng: random.Random):
        """The fact, the question, and a function that gives filler."""
        raise NotImplementedError

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, Question]]) -> list[Item]:
        """Finished items of some questions."""
        prompts = [question.prompt for _, question in samples]
        chat = self.config.apply_chat_template
        replies = complete(checkpoint, setting, prompts, self.config.recall_tokens, chat)
        return [self._item(id, question, reply.text) for (id, question), reply in zip(samples, replies, strict=True)]

    def _item(self, id: str, question: Question, said: str) -> Item:
        number = re.search(r"\d+", said)
        right = float(number is not None and number[0] == question.answer)
        scores = dict.fromkeys(("exact_match", _at_length(question.length), _at_depth(question.depth)), right)
        place = {"length": question.length, "depth": question.depth}
        return Item(id, question.prompt, said, question.answer, scores, "generation", place)


class Needle(Recall):
    """A sentence with a number in a story without."""

    name = "needle"

    def _texts(self, answer: str, rng: random.Random):
        name = rng.choice(NAMES)
        return f"The number of {name} is {answer}.", f"The number of {name} is", lambda: rng.choice(SENTENCES)


class KeyValue(Recall):
    """A line among lines of its kind."""

    name = "key_value"

    def _texts(self, answer: str, rng: random.Random):
        name = f"{rng.choice(NAMES)}-0"  # no other name has that number

        def filler() -> str:
            return f"{rng.choice(NAMES)}-{rng.randrange(1, 100)}: {rng.randrange(10_000, 100_000)}"

        return f"{name}: {answer}", f"{name}:", filler


def _at_length(length: int) -> str:
    return f"exact_match at {length} tokens"


def _at_depth(depth: float) -> str:
    return f"exact_match at depth {depth:g}"

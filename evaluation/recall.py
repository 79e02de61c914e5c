"""Recall: what a model still finds in its prompt, by the prompt's length and by the depth at which it stands.

Texts are generated from the seed and fill a length, in tokens of the checkpoint, with room for the reply:

    needle      a sentence with a number among random sentences; the question comes last
    key_value   random keys and values, one pair a line; one key is asked for

The prompt ends where the answer begins, in the words it stands in, so that a base model can continue it. A reply is
right if it holds the value as a word of its own.
"""

import bisect
import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.generating import Reply, as_prompt, greedy_replies
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task


TEXTS = 5  # of each kind, length and depth
REPLY_TOKENS = 32
LEAST_FILLER_TOKENS = 8  # of a sentence or a line, so that enough of them are at hand

CITIES = ("Oslo", "Lima", "Cairo", "Paris", "Delhi", "Tokyo", "Quito", "Accra", "Hanoi", "Minsk", "Dakar", "Bern")
KINDS_OF = ("old", "small", "green", "quiet", "tall", "brown", "clever", "young", "slow", "happy", "round", "cold")
THINGS = ("farmer", "river", "horse", "teacher", "tree", "house", "sailor", "garden", "bird", "baker", "road", "cat")
DEEDS = ("sees", "follows", "likes", "leaves", "finds", "paints", "knows", "forgets", "helps", "meets", "hears")


@dataclass(frozen=True)
class Haystack:
    """Filler, as much as may be needed, and what is hidden in it."""

    filler: list[str]
    hidden: str
    separator: str
    question: str
    value: str

    def text(self, count: int, depth: float) -> str:
        """With the first `count` pieces of filler; the hidden one is first at depth 0 and last at 1."""
        place = round(depth * count)
        pieces = [*self.filler[:place], self.hidden, *self.filler[place:count]]
        return f"{self.separator.join(pieces)}\n\n{self.question}"


def needle(count: int, rng: random.Random) -> Haystack:
    """Up to `count` random sentences and a number of 7 digits."""

    def sentence() -> str:
        words = (rng.choice(words) for words in (KINDS_OF, THINGS, DEEDS, KINDS_OF, THINGS))
        return "The {} {} {} the {} {}.".format(*words)

    city, value = rng.choice(CITIES), str(rng.randrange(10**6, 10**7))
    stem = f"The secret number of {city} is"
    question = f"What is the secret number of {city}? {stem}"
    return Haystack([sentence() for _ in range(count)], f"{stem} {value}.", " ", question, value)


def key_value(count: int, rng: random.Random) -> Haystack:
    """Up to `count` lines `"key": "value",`, both of 8 hexadecimal digits; no key comes twice."""
    keys = [f"{key:08x}" for key in rng.sample(range(16**8), count + 1)]
    values = [f"{rng.randrange(16**8):08x}" for _ in keys]
    *filler, hidden = (f'"{key}": "{value}",' for key, value in zip(keys, values, strict=True))
    return Haystack(filler, hidden, "\n", f'Which value has "{keys[-1]}"?\n"{keys[-1]}":', values[-1])


KINDS = {"needle": needle, "key_value": key_value}


class Recall(Task):
    """`recall_lengths` x `recall_depths` x kinds, each with the same number of texts, shorter ones first."""

    name = "recall"

    def __init__(self, file: None, config: EvalConfig):
        self.config = config
        cells = itertools.product(KINDS, config.recall_lengths, config.recall_depths)
        names = zip(*(_metrics(*cell) for cell in cells), strict=True)  # of all kinds, lengths, depths
        self.metrics = tuple(Metric(self.name, one, True) for one in dict.fromkeys(itertools.chain(*names)))

    def samples(self, checkpoint: Checkpoint) -> dict[str, dict]:
        """Prompts with their values by item. With a `limit`, every length and depth has one text before any has two.

        Raises:
            ValueError: for a length that the model does not take, and for one that is too short for a text.
        """
        config = self.config
        positions = getattr(checkpoint.model.config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and max(config.recall_lengths) > positions:
            raise ValueError(f"recall_lengths={config.recall_lengths}: the model has {positions} positions")
        cells = itertools.product(range(TEXTS), config.recall_lengths, config.recall_depths, KINDS)
        return {
            f"{number:02}-{kind}-{length:07}-{depth:g}": self._sample(checkpoint, number, length, depth, kind)
            for number, length, depth, kind in itertools.islice(cells, config.limit)
        }

    def _sample(self, checkpoint: Checkpoint, number: int, length: int, depth: float, kind: str) -> dict:
        seeded = random.Random(f"{self.config.seed} {number} {length} {depth} {kind}")
        haystack = KINDS[kind](length // LEAST_FILLER_TOKENS, seeded)
        room = length - REPLY_TOKENS

        def tokens(count: int) -> int:
            return len(as_prompt(checkpoint, haystack.text(count, depth), self.config.apply_chat_template))

        count = bisect.bisect_right(range(1, len(haystack.filler) + 1), room, key=tokens)
        if not count:
            least = tokens(1) + REPLY_TOKENS
            raise ValueError(f"recall_lengths={length}: the shortest text of {kind} and its reply have {least} tokens")
        text = haystack.text(count, depth)
        return {"prompt": text, "value": haystack.value, "kind": kind, "length": length, "depth": depth}

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, dict]]) -> list[Item]:
        """Finished items of some samples."""
        prompts = [as_prompt(checkpoint, sample["prompt"], self.config.apply_chat_template) for _, sample in samples]
        replies = greedy_replies(checkpoint, setting, prompts, min(REPLY_TOKENS, self.config.max_new_tokens))
        return [_item(id, sample, reply) for (id, sample), reply in zip(samples, replies, strict=True)]


def recalled(reply: str, value: str) -> float:
    """1 if the value is a word of the reply."""
    return float(re.search(rf"\b{re.escape(value)}\b", reply) is not None)


def _item(id: str, sample: dict, reply: Reply) -> Item:
    right = recalled(reply.text, sample["value"])
    cell = {name: sample[name] for name in ("kind", "length", "depth")}
    scores = dict.fromkeys(_metrics(**cell), right)
    return Item(id, sample["prompt"], reply.text, sample["value"], scores, "generation", cell | reply.bits)


def _metrics(kind: str, length: int, depth: float) -> tuple[str, str, str]:
    return kind, f"{kind} {length} tokens", f"{kind} depth {depth:g}"

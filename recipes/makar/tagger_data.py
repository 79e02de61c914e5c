"""The tagger's data: rows from annotated tweets or released files, in pieces, with a count of what did not fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from setaria.agents.makar.json_lines import read_lines, texts_of
from setaria.datasets_builders.mner.gmner import read_fmnerg, read_gmner
from setaria.datasets_builders.mner.tagger_rows import (
    TaggerRow,
    entities_of,
    label_numbers,
    read_tagger_rows,
    tagger_rows,
)
from setaria.models.tagger_inputs import EncodedTweet, encode_tweet, pad_tweets
from setaria.recipes.makar.tagger_arguments import TaggerArguments


Example: TypeAlias = tuple[EncodedTweet, list[int]]  # the numbers of its words' labels

READERS = {"gmner": read_gmner, "fmnerg": read_fmnerg}
NAMED = 5


@dataclass(frozen=True)
class Truncation:
    """What of a split is longer than the tagger reads.

    Attributes:
        rows: of the split.
        knowledge: rows whose knowledge was cut.
        words: unread words of each tweet that was cut, by id.
        entities: annotated entities in them, by id; where there are none, the tweet is left out.
    """

    rows: int
    knowledge: int
    words: dict[str, int]
    entities: dict[str, int]

    def __str__(self):
        said = f"{self.knowledge} of {self.rows} rows are cut in their knowledge"
        words, entities = sum(self.words.values()), sum(self.entities.values())
        return f"{said}, {words} words and {entities} entities of {len(self.words)} tweets" if words else said


def read_rows(arguments: TaggerArguments, split: str) -> list[TaggerRow]:
    """The rows of a split.

    Raises:
        ValueError: naming file and line of what cannot be read, the tweet without knowledge, or an empty split.
        OSError: for a file that is not there.
    """
    if arguments.rows:
        rows = read_tagger_rows(Path(arguments.rows) / f"{split}.txt")
    else:
        tweets = READERS[arguments.layout](Path(arguments.data or ""), split)
        knowledge = None if arguments.knowledge is None else read_knowledge(Path(arguments.knowledge))
        rows = tagger_rows(tweets, knowledge, fine=arguments.layout == "fmnerg")
    if not any(row["words"] for row in rows):
        raise ValueError(f"{arguments.rows or arguments.data}: split {split!r} has no words, there is nothing to read")
    return rows


def read_knowledge(file: Path) -> dict[str, str]:
    """The text of each tweet, from JSON lines {"tweet": id, "text": ...}; of several the last.

    Raises:
        ValueError: naming file, line and field of what cannot be read.
        OSError: for a file that is not there.
    """
    entries = (texts_of(entry, ("tweet", "text"), where) for where, entry in read_lines(file))
    return {entry["tweet"]: entry["text"] for entry in entries}


def encode_rows(
    rows: Sequence[TaggerRow], labels: list[str], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Example], Truncation]:
    """Rows in pieces, in order, and what of them was cut.

    Raises:
        ValueError: naming row, word and tag, for a tag that is no label.
    """
    examples: list[Example] = []
    words: dict[str, int] = {}
    entities: dict[str, int] = {}
    knowledge = 0
    for row in rows:
        tweet = encode_tweet(tokenizer, row["words"], row["knowledge"])
        read = len(tweet.first_pieces)
        examples.append((tweet, label_numbers(row, labels)[:read]))
        knowledge += tweet.unread_knowledge > 0
        if tweet.unread:
            words[row["id"]] = tweet.unread
            if lost := sum(entity.end > read for entity in entities_of(row["words"], row["tags"])):
                entities[row["id"]] = lost
    return examples, Truncation(len(rows), knowledge, words, entities)


def refuse_lost_entities(truncation: Truncation, max_length: int) -> None:
    """Training on a tweet that was cut would teach that its entities are none, or shorter.

    Raises:
        ValueError: naming the first tweets whose entities were cut.
    """
    if truncation.entities:
        named = ", ".join(list(truncation.entities)[:NAMED])
        raise ValueError(
            f"max_length={max_length} cuts annotated entities of {len(truncation.entities)} tweets ({named}): raise "
            "max_length, or leave these tweets out"
        )


@dataclass(frozen=True)
class Collator:
    """Makes batches of examples."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        return pad_tweets([tweet for tweet, _ in examples], [labels for _, labels in examples], self.tokenizer)

"""Training rows of the tagger: the words of a tweet with their tags, and the words of its knowledge.

    {"id": "O_1", "words": ["Brno", "!"], "tags": ["B-LOC", "O"], "knowledge": ["Named", "entities:", ...]}

As MAKAR and RiVEG release them, in text files:

    token<TAB>tag        of the tweet
    <EOS><TAB>X          then the knowledge, whose X is no label
    token<TAB>X
    (blank line)

Such files hold no ids; read rows have their numbers, from 1. With fine types a tag is `B-person/politician`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from setaria.datasets_builders.mner.bio import MOST_BYTES, TAG, read_spans
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.tagger_inputs import EOS
from setaria.rewards.grounded_entities import GoldEntity


NO_LABEL = "X"


class TaggerRow(TypedDict):
    """A tweet for the tagger; `tags` are of `words`, `knowledge` has none."""

    id: str
    words: list[str]
    tags: list[str]
    knowledge: list[str]


def tagger_rows(
    tweets: Iterable[Tweet], knowledge: Mapping[str, str] | None = None, fine: bool = False
) -> list[TaggerRow]:
    """Rows of tweets, in order, those without entities or words included.

    Args:
        knowledge: text of each tweet, by id, split at white space; may be empty. `None`: there is none of any.
        fine: whether tags are of the fine types too.

    Raises:
        ValueError: naming the tweet that has no text in `knowledge`, or an entity without a fine type.
    """
    rows: list[TaggerRow] = []
    for tweet in tweets:
        if knowledge is not None and tweet.id not in knowledge:
            raise ValueError(f"tweet {tweet.id}: there is no knowledge of it")
        text = knowledge[tweet.id] if knowledge is not None else ""
        tags = ["O"] * len(tweet.tokens)
        for entity in tweet.entities:
            if fine and not entity.fine:
                raise ValueError(f"tweet {tweet.id}: {entity.text!r} has no fine type")
            name = f"{entity.type}/{entity.fine}" if fine else entity.type
            tags[entity.start : entity.end] = [f"B-{name}", *[f"I-{name}"] * (entity.end - entity.start - 1)]
        rows.append({"id": tweet.id, "words": list(tweet.tokens), "tags": tags, "knowledge": text.split()})
    return rows


def label_names(rows: Iterable[TaggerRow]) -> list[str]:
    """The labels of a tagger for the types of `rows`: O, then B- and I- of each type, in alphabetical order."""
    types = sorted({tag[2:] for row in rows for tag in row["tags"] if tag != "O"})
    return ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]


def label_numbers(row: TaggerRow, labels: list[str]) -> list[int]:
    """The number of each tag of a row.

    Raises:
        ValueError: naming row, word and tag, for a tag that is no label.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for word, tag in zip(row["words"], row["tags"], strict=True):
        if tag not in numbers:
            raise ValueError(f"tweet {row['id']}: the tag {tag!r} of {word!r} is none of {', '.join(labels)}")
    return [numbers[tag] for tag in row["tags"]]


def entities_of(words: list[str], tags: list[str]) -> tuple[GoldEntity, ...]:
    """The entities that tags mean, without boxes; a type `person/politician` is taken apart."""
    entities = []
    for start, end, name in read_spans(tags)[0]:
        coarse, _, fine = name.partition("/")
        entities.append(GoldEntity(start, end, " ".join(words[start:end]), coarse, fine))
    return tuple(entities)


def write_tagger_rows(rows: Iterable[TaggerRow], file: Path) -> None:
    """Write rows in the released form, UTF-8; ids are left out.

    Raises:
        ValueError: naming the row, for a word that is empty or would break the line. Nothing is written then.
    """
    blocks = []
    for row in rows:
        lines = list(zip(row["words"], row["tags"], strict=True))
        lines += [(word, NO_LABEL) for word in (EOS, *row["knowledge"])]
        for word, _ in lines:
            if not word or {"\t", "\n", "\r"} & set(word):
                raise ValueError(f"tweet {row['id']}: the word {word!r} cannot be written")
        blocks.append("".join(f"{word}\t{tag}\n" for word, tag in lines) + "\n")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(blocks).encode())


def read_tagger_rows(file: Path) -> list[TaggerRow]:
    """Rows of a text file in the released form; a row without `<EOS>` has no knowledge.

    Raises:
        ValueError: naming file and line: no UTF-8, no two columns, a tag that is none, a tag after `<EOS>`, knowledge
            without `<EOS>` before it.
        OSError: for a file that is not there.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: larger than {MOST_BYTES} bytes")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: no UTF-8: {error}") from None
    rows: list[TaggerRow] = []
    row: TaggerRow | None = None
    in_knowledge = False
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip(" "):
            row, in_knowledge = None, False
            continue
        if row is None:
            row = {"id": str(len(rows) + 1), "words": [], "tags": [], "knowledge": []}
            rows.append(row)
        word, _, tag = line.partition("\t")
        if fault := _fault(word, tag, in_knowledge):
            raise ValueError(f"{file}:{number}: {line[:80]!r} {fault}")
        if tag != NO_LABEL:
            row["words"].append(word)
            row["tags"].append(tag)
        elif in_knowledge:
            row["knowledge"].append(word)
        in_knowledge = in_knowledge or tag == NO_LABEL
    return rows


def _fault(word: str, tag: str, in_knowledge: bool) -> str:
    """What is wrong with a line; empty if nothing is."""
    if not word or not tag:
        return "is no token<TAB>tag"
    if tag == NO_LABEL:
        return "" if in_knowledge or word == EOS else f"is knowledge, and no {EOS} comes before it"
    if in_knowledge:
        return f"has a tag, but stands after {EOS}: knowledge has {NO_LABEL}"
    return "" if TAG.fullmatch(tag) else f"has no tag: O, B-<type>, I-<type> or {NO_LABEL}"

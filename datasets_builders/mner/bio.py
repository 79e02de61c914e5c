"""Tagged tweets in text files, and the spans that their BIO tags mean.

    IMGID:<id>
    token<TAB>tag            or token<TAB>coarse tag<TAB>fine tag
    ...
    (blank line)

UTF-8. Lines end at line feeds and columns at tabs, nowhere else: emoji, zero-width characters and HTML entities such
as `&amp` stay as they are. Tags are O, B-<type> and I-<type>.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from setaria.datasets_builders.mner.irregularity import Irregularity


Span: TypeAlias = tuple[int, int, str]  # first token, end, type

MARK = "IMGID:"
TWEET_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")  # a file name of its own, which leads nowhere else
TAG = re.compile(r"O|[BI]-[\w./-]+")
MOST_BYTES = 200_000_000


@dataclass(frozen=True)
class TaggedTweet:
    """A tweet as it is written in a text file.

    Attributes:
        id: of the tweet.
        line: number of its `IMGID` line, from 1.
        tokens: as written.
        tags: of each token, one per column.
        lines: number of each token's line.
    """

    id: str
    line: int
    tokens: list[str] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def column(self, number: int) -> list[str]:
        """The tags of one column."""
        return [row[number] for row in self.tags]


def read_tagged(file: Path, columns: int) -> tuple[list[TaggedTweet], list[Irregularity]]:
    """The tweets of a text file, and its lines that cannot be read, which are in none of them.

    Args:
        columns: number of tag columns.

    Raises:
        OSError: for a file that is not there.
    """
    if file.stat().st_size > MOST_BYTES:
        return [], [Irregularity("broken text", file, 0, f"larger than {MOST_BYTES} bytes")]
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Irregularity("broken text", file, content.count(b"\n", 0, error.start) + 1, f"no UTF-8: {error}")]
    tweets: list[TaggedTweet] = []
    broken: list[Irregularity] = []
    current: TaggedTweet | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if line.startswith(MARK) and "\t" not in line:
            tweet_id = line.removeprefix(MARK)
            if TWEET_ID.fullmatch(tweet_id):
                current = TaggedTweet(tweet_id, number)
                tweets.append(current)
            else:
                current = TaggedTweet("", number)
                broken.append(Irregularity("broken text", file, number, f"{_excerpt(tweet_id)} is no id of a tweet"))
        elif not line.strip(" "):
            current = None
        elif current is None:
            message = f"{_excerpt(line)} belongs to no tweet: {MARK} is missing before it"
            broken.append(Irregularity("broken text", file, number, message))
        elif reason := _fault(line, columns):
            broken.append(Irregularity("broken text", file, number, reason, current.id))
        else:
            token, *tags = line.split("\t")
            current.tokens.append(token)
            current.tags.append(tags)
            current.lines.append(number)
    return tweets, broken


def read_spans(tags: Sequence[str]) -> tuple[list[Span], list[int]]:
    """The spans of a column of tags, and the positions of the I- tags that continue none.

    An I- after O, at the start, or after a tag of another type starts a span of its own, as in conlleval.
    """
    spans: list[Span] = []
    malformed = []
    for position, tag in enumerate(tags):
        prefix, _, entity_type = tag.partition("-")
        if prefix == "O":
            continue
        if prefix == "I" and spans and spans[-1][1:] == (position, entity_type):
            spans[-1] = (spans[-1][0], position + 1, entity_type)
            continue
        if prefix == "I":
            malformed.append(position)
        spans.append((position, position + 1, entity_type))
    return spans, malformed


def _fault(line: str, columns: int) -> str:
    """Why a line is not a token with its tags; empty if it is."""
    token, *tags = line.split("\t")
    if len(tags) != columns:
        return f"{_excerpt(line)} has {len(tags) + 1} columns, expected {columns + 1}"
    if not token:
        return f"{_excerpt(line)} has no token"
    wrong = [tag for tag in tags if not TAG.fullmatch(tag)]
    return f"{_excerpt(wrong[0])} is no tag: O, B-<type> or I-<type>" if wrong else ""


def _excerpt(text: str) -> str:
    return repr(text[:80])

"""What a language model answers when it is asked for the named entities of a tweet.

    Named entities:
    1. Lena Okoye (person, musician): she is singing
    2. Brno (location, city)
    Reasoning: the photo shows a stage, ...

or JSON, {"entities": [{"text": .., "type": .., "fine": .., "reason": ..}], "reasoning": ..}, or the list alone. Models
vary, so numbers or dashes, bold type, code fences, a thought in front, one line for all, and common names of types
such as Person for PER are fine. A line without a type that the data have is left out and reported. An answer is unread
if nothing of a list that is not empty can be read: such a list is no list.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from setaria.datasets_builders.mner.layouts import Layout


LONGEST_REPLY = 20_000  # characters; longer ones are not read
LONGEST_NAME, LONGEST_REASON, LONGEST_REASONING = 200, 500, 1500
MOST_ENTITIES = 50
HEADING = re.compile(r"^[ \t#>*-]*named entities[ \t]*(?::|$)", re.IGNORECASE | re.MULTILINE)
REASONING = re.compile(r"\breasoning\s*:", re.IGNORECASE)
NONE = re.compile(r"\W*(?:none|n/a|no named entities)\W*", re.IGNORECASE)
ITEM = re.compile(
    r"(?:\d{1,3}[.)]|[-*\u2022])? ?(?P<text>.+?) ?\((?P<type>[^()]*)\) ?(?:[:;,.\u2013\u2014-](?P<reason>.*))?"
)
NEXT_ITEM = re.compile(r"(?<=\))\s*(?=\d{1,3}\.\s)")  # of a list on one line
QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")
SYNONYMS = (
    {"per", "person"},
    {"loc", "location"},
    {"org", "organization", "organisation"},
    {"other", "misc", "miscellaneous"},
)


class ReplyError(ValueError):
    """An answer cannot be read; the message says why."""


@dataclass(frozen=True)
class Named:
    """An entity as it is written in an answer."""

    text: str
    type: str
    fine: str = ""
    reason: str = ""


@dataclass(frozen=True)
class EntityReply:
    """An answer.

    Attributes:
        entities: in its order.
        reasoning: on one line.
        left_out: what of its list is no entity, or has no type that the data have.
    """

    entities: tuple[Named, ...]
    reasoning: str = ""
    left_out: tuple[str, ...] = ()


def write_entities(entities: Iterable[Named], reasoning: str) -> str:
    """An answer as it is taught and as examples show it; `parse_entities` reads it."""
    lines = []
    for number, one in enumerate(entities, 1):
        label = f"{one.type}, {one.fine}" if one.fine else one.type
        lines.append(f"{number}. {one.text} ({label}){f': {one.reason}' if one.reason else ''}")
    return "\n".join(["Named entities:", *(lines or ["none"]), f"Reasoning: {reasoning}".rstrip()])


def parse_entities(reply: str, layout: Layout) -> EntityReply:
    """The entities of an answer.

    Args:
        layout: the types that there are.

    Raises:
        ReplyError: for what is neither a list nor JSON, and for more or longer text than anyone would need.
    """
    if len(reply) > LONGEST_REPLY:
        raise ReplyError(f"{len(reply)} characters, more than {LONGEST_REPLY}")
    text = reply.rpartition("</think>")[2].replace("**", "")
    if "<think>" in text:
        raise ReplyError("a thought without an end")
    heading = HEADING.search(text)
    body = text[heading.end() :] if heading else text
    opening = re.search(r"[\[{]", body)
    if opening and (heading is None or re.match(r"\s*(?:```|[\[{])", body)):
        entries, reasoning = _from_json(body[opening.start() :])
    elif heading:
        entries, reasoning = _from_lines(body)
    else:
        raise ReplyError(f"neither `Named entities:` nor JSON in {reply[:80]!r}")
    if len(entries) > MOST_ENTITIES:
        raise ReplyError(f"{len(entries)} entities, more than {MOST_ENTITIES}")
    labels = _labels(layout)
    entities, left_out = [], []
    for entry in entries:
        named = _named(entry, labels)
        if named is None:
            left_out.append(_line(str(entry), LONGEST_NAME))
        else:
            entities.append(named)
    if left_out and not entities:
        raise ReplyError(f"no entity with a type can be read in {left_out[0]!r}")
    return EntityReply(tuple(entities), _line(reasoning, LONGEST_REASONING), tuple(left_out))


def _from_lines(body: str) -> tuple[list[Any], str]:
    """The lines of the list, as fields if they have them, and the reasoning."""
    listed, *after = REASONING.split(body, maxsplit=1)
    lines = [" ".join(line.split()) for line in NEXT_ITEM.sub("\n", listed).splitlines()]
    lines = [line for line in lines if line and not line.startswith("```")]
    if not lines and not after:
        raise ReplyError("the list is missing")
    entries: list[Any] = []
    for line in lines:
        item = ITEM.fullmatch(line)
        if item:
            entries.append({"text": _unquoted(item["text"]), "type": item["type"], "reason": item["reason"] or ""})
        elif not NONE.fullmatch(line):
            entries.append(line)
    return entries, "".join(after)


def _from_json(body: str) -> tuple[list[Any], str]:
    """The list and the reasoning of the JSON that `body` begins with."""
    try:
        value, _ = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"no JSON ({error}) in {body[:80]!r}") from None
    reasoning = ""
    if isinstance(value, dict):
        value = {key.strip().casefold().replace(" ", "_"): held for key, held in value.items()}
        reasoning = _text(value, "reasoning", "reason")
        value = value.get("entities", value.get("named_entities"))
    if not isinstance(value, list):
        raise ReplyError(f"no list of entities in {body[:80]!r}")
    return value, reasoning


def _named(entry: Any, labels: dict[str, tuple[str, str]]) -> Named | None:
    """The entity of an entry; `None` if it has no name or no known type, or types that contradict each other."""
    if not isinstance(entry, dict):
        return None
    text = " ".join(_text(entry, "text", "name", "entity").split())
    written = f"{_text(entry, 'type', 'label')},{_text(entry, 'fine', 'fine_type')}"
    words = (re.sub(r"[\s_]+", "_", word.strip().casefold()) for word in re.split(r"[,/;|:>]|\s-\s", written))
    known = list(dict.fromkeys(labels[word] for word in words if word in labels))
    coarse = {label for label, _ in known}
    fine = [label for _, label in known if label]
    if not 0 < len(text) <= LONGEST_NAME or len(coarse) != 1 or len(fine) > 1:
        return None
    return Named(text, coarse.pop(), "".join(fine), _line(_text(entry, "reason", "reasoning"), LONGEST_REASON))


def _labels(layout: Layout) -> dict[str, tuple[str, str]]:
    """Coarse and fine type that a word means."""
    labels = {coarse.casefold(): (coarse, "") for coarse in layout.types}
    for words in SYNONYMS:
        for known in words & labels.keys():
            labels |= dict.fromkeys(words - labels.keys(), labels[known])
    return labels | {fine: (coarse, fine) for coarse, several in layout.types.items() for fine in several}


def _text(entry: dict, *names: str) -> str:
    """The first of these fields that is a text."""
    return next((entry[name] for name in names if isinstance(entry.get(name), str)), "")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] + text[-1] in QUOTES else text


def _line(text: str, most: int) -> str:
    return " ".join(text.split())[:most].rstrip()

"""Names that a language model wrote, found again among the tokens of its tweet.

    exact              Brno                "Brno"
    unescaped          AT&T                "AT&ampT"
    without spaces     @daily_pics         "@" "daily_pics"

A name is whole tokens, exact ones rather than others. The n-th time that it is written it means its n-th occurrence.
Entities of a tweet do not overlap, so longer names choose first. Case counts: "us" is not "US".
"""

import html
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias


Place: TypeAlias = tuple[int, int]  # first token, end


def align(names: Sequence[str], tokens: Sequence[str]) -> list[Place | None]:
    """The tokens that each name means; `None` for a name that does not occur, not so often, or only inside others.

    Args:
        names: as the model wrote them, in its order.
        tokens: of the tweet.
    """
    taken: set[int] = set()
    places: list[Place | None] = [None] * len(names)
    for number in sorted(range(len(names)), key=lambda number: -len(_without_spaces(names[number]))):
        for start, end in _occurrences(names[number], tokens):
            if taken.isdisjoint(range(start, end)):
                places[number] = start, end
                taken.update(range(start, end))
                break
    return places


def _occurrences(name: str, tokens: Sequence[str]) -> Iterator[Place]:
    """Where a name is in the tweet, exact places first, each once."""
    ways: tuple[tuple[Callable[[str], str], str], ...] = ((str, " "), (html.unescape, " "), (_without_spaces, ""))
    found: dict[Place, None] = {}
    for form, joint in ways:
        wanted = form(" ".join(name.split()))
        forms = [form(token) for token in tokens]
        found.update(dict.fromkeys(_runs(forms, joint, wanted)))
    yield from found


def _runs(forms: Sequence[str], joint: str, wanted: str) -> Iterator[Place]:
    """The runs of tokens that make up `wanted`, from left to right."""
    for start in range(len(forms) if wanted else 0):
        for end in range(start + 1, len(forms) + 1):
            joined = joint.join(forms[start:end])
            if len(joined) >= len(wanted):
                if joined == wanted:
                    yield start, end
                break


def _without_spaces(text: str) -> str:
    return "".join(html.unescape(text).split())

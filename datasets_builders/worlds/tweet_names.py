"""The names of the tweets world: invented, and each stands for something of a type and a look.

A look is a colour and a thing, and the thing goes with the type, so that a small model can see it: a person wears a
coat, a place has a tower, an organisation a logo, and what is none of these is a car. An ambiguous name stands for
two. Common names occur in every split and a knowledge base knows them; a long-tail name belongs to one split, and only
pages explain it. Some common names have a namesake, of another type and colour, which all pages on that name are
about. All of it is our choice.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product


# Type: the thing in its look.
THINGS = {"PER": "coat", "LOC": "tower", "ORG": "logo", "OTHER": "car"}
TYPE_WEIGHTS = {"PER": 0.4, "LOC": 0.18, "ORG": 0.24, "OTHER": 0.18}
COLOURS = {
    "red": "#e0201b",
    "orange": "#f98a00",
    "yellow": "#f8db0c",
    "green": "#17a02e",
    "blue": "#1a55e3",
    "purple": "#8a25d9",
    "pink": "#ff5cb8",
    "black": "#1d1d22",
}
SYLLABLES = (
    *("bex", "bol", "bru", "dax", "dov", "dril", "fal", "fen", "fro", "gaz", "gil", "gom", "gru", "hax", "hul"),
    *("jav", "jin", "jol", "kab", "kel", "kov", "kru", "laz", "lif", "lom", "lux", "maz", "mik", "mol", "mux"),
    *("naz", "nel", "nov", "pex", "pil", "plo", "pum", "quen", "quil", "raf", "rix", "rol", "ruz", "sab", "siv"),
    *("sol", "taz", "tev", "tif", "vab", "vex", "vim", "vol", "wab", "wex", "yel", "yor", "zab", "zel", "zur"),
)
AMBIGUOUS_PER_TYPE = 2  # common names with two meanings; there is one with a single meaning for each look
WITH_NAMESAKE = 0.6  # of the common names with a single meaning
AMBIGUOUS_LONG_TAIL = 0.15
TWO_WORDS = 0.25  # of the names
LONG_TAIL_PER_TWEET = 0.23  # different long-tail names of a split, per tweet: each is mentioned 2.4 times on average


@dataclass(frozen=True)
class Meaning:
    """What a name stands for: a type such as PER, and the colour of its thing."""

    type: str
    colour: str

    @property
    def look(self) -> str:
        """How it is recognised in an image, such as "red coat"."""
        return f"{self.colour} {THINGS[self.type]}"


MEANINGS = tuple(Meaning(*both) for both in product(THINGS, COLOURS))


@dataclass(frozen=True)
class Name:
    """A name.

    Attributes:
        text: one or two words.
        meanings: what it stands for in tweets; two if it is ambiguous, of different types and colours.
        split: the only split that mentions it; empty for a common name.
        namesake: what the pages on it are about instead, if they mislead.
    """

    text: str
    meanings: tuple[Meaning, ...]
    split: str = ""
    namesake: Meaning | None = None

    @property
    def long_tail(self) -> bool:
        """Whether only pages explain it."""
        return bool(self.split)

    @property
    def ambiguous(self) -> bool:
        """Whether it has two meanings."""
        return len(self.meanings) > 1


def common_names(texts: Iterator[str], rng: random.Random) -> list[Name]:
    """The names that every split mentions: one for each look, and the ambiguous ones."""
    clear, ambiguous = [], []
    for entity_type in THINGS:
        alike = [meaning for meaning in MEANINGS if meaning.type == entity_type]
        misleading = rng.sample(alike, round(WITH_NAMESAKE * len(alike)))
        for meaning in alike:
            clear.append(Name(next(texts), (meaning,), "", _unlike(meaning, rng) if meaning in misleading else None))
        for meaning in rng.sample(alike, AMBIGUOUS_PER_TYPE):
            ambiguous.append(Name(next(texts), (meaning, _unlike(meaning, rng))))
    return clear + ambiguous


def long_tail_names(texts: Iterator[str], rng: random.Random, split: str, tweets: int) -> list[Name]:
    """The names of one split that only pages explain."""
    names = []
    for _ in range(max(8, round(LONG_TAIL_PER_TWEET * tweets))):
        entity_type = rng.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))[0]
        meaning = Meaning(entity_type, rng.choice(list(COLOURS)))
        also = (_unlike(meaning, rng),) if rng.random() < AMBIGUOUS_LONG_TAIL else ()
        names.append(Name(next(texts), (meaning, *also), split))
    return names


def invent(rng: random.Random) -> Iterator[str]:
    """Texts of names, in random order; no word is in two of them.

    Raises:
        ValueError: when no word is left.
    """
    words = [(first + second).capitalize() for first, second in product(SYLLABLES, repeat=2) if first != second]
    rng.shuffle(words)
    try:
        while True:
            yield " ".join(words.pop() for _ in range(2 if rng.random() < TWO_WORDS else 1))
    except IndexError:
        raise ValueError("the tweets world has names for about 12000 tweets, and more are asked for") from None


def _unlike(meaning: Meaning, rng: random.Random) -> Meaning:
    """A meaning of another type and another colour."""
    return rng.choice([other for other in MEANINGS if other.type != meaning.type and other.colour != meaning.colour])

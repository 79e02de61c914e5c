"""The words of the tweets world: what its tweets say of names, and the pages of its offline web.

Told words fit one type only ("driving to X"); all others fit any. Tweets have 5 to 14 tokens, as published: split at
spaces and before punctuation, with `&amp`, emoji, mentions and split addresses left as they are. There are fewer than
400 different words in tweets and pages, names aside.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from setaria.datasets_builders.worlds.tweet_names import Meaning, Name


FEWEST_TOKENS, MOST_TOKENS = 5, 14
TOLD = {
    "PER": (
        "{} sang for us",
        "{} said yes",
        "met {} at lunch",
        "happy birthday {}",
        "{} smiled at me",
        "{} wrote a new book",
        "my friend {} is here",
        "{} and his dog",
    ),
    "LOC": (
        "driving to {}",
        "rain in {} all day",
        "moving to {} soon",
        "born in {}",
        "on the road to {}",
        "two nights in {}",
        "the streets of {} are empty",
        "sunny morning in {}",
    ),
    "ORG": (
        "{} is hiring again",
        "{} closed two shops",
        "working for {} since May",
        "{} raised its prices",
        "a letter from {}",
        "{} lost the final",
        "the boss of {} is out",
        "{} opens a new office",
    ),
    "OTHER": (
        "bought a new {}",
        "my {} broke down",
        "the {} is too fast",
        "test drive of the {}",
        "washing the {} today",
        "no fuel in my {}",
        "parked the {} outside",
        "a used {} for sale",
    ),
}
OPEN = (
    "{} again",
    "look at {}",
    "still thinking about {}",
    "everybody talks about {}",
    "so happy about {}",
    "who else loves {}",
    "{} made my day",
    "one more picture of {}",
    "this is {}",
    "{} is the best",
    "what a day for {}",
    "no news about {}",
    "never forget {}",
    "here comes {}",
    "I like {} a lot",
    "thank you {}",
    "{} was worth it",
    "can not stop looking at {}",
)
OPEN_TWICE = ("{0} , oh {0}", "{0} ? yes , {0}", "first {0} , then {0} again", "{0} here , {0} there")
OPEN_PAIRS = (
    "{} and {} again",
    "{} or {}",
    "first {} , then {}",
    "still thinking about {} and {}",
    "{} is better than {}",
    "{} with {} today",
    "{} &amp {}",
    "I like {} , not {}",
)
OPEN_TRIPLES = (
    "{} , {} and {} today",
    "{} , {} &amp {} again",
    "all about {} , {} and {}",
    "{} and {} , not {}",
    "thank you {} , {} and {}",
)
# Tweets about nothing that has a name.
IDLE = (
    *("I need more coffee", "my phone is dead", "nobody told me about this", "so much rain", "can not sleep"),
    *("the best pizza of my life", "this song is so good", "new shoes , old jeans", "too much homework"),
    *("we are late again", "my dog ate the cake", "what a game", "the sun is out", "I forgot my keys"),
)
WHEN = ("today", "again", "this morning", "on Monday", "on Friday night", "at work", "at home", "all week")
JOINTS = (",", "and", "while", "but", "&amp", "...")
STARTS = (
    *("RT @ fan77 :", "RT @ daily_pics :", "@ mike_b", "Wow !", "Good morning !", "Happy Easter !", "OMG", "LOL"),
    *("Breaking :", "Photo :", "Sunday :", "Just saw this :"),
)
ENDS = (
    *("!", "!", "!", ".", ".", "...", "😂", "😍😍", "🙌", "❤️", "🎉 !", "# blessed", "# MondayMood", "# tbt 😂"),
    *("http://t. co/x7Kq2", "http://t. co/Zp0aW", "http://t. co/m3Lr9", "via @ daily_pics", "# photo 🙌"),
)
START_SHARE, END_SHARE, CAPITAL_SHARE = 0.3, 0.6, 0.8
TWICE = 0.03  # of tweets with one name that nothing tells
SLOT = "@@"  # before the number of a name in a draft
WEB = "https://pages.example"

# Kinds of what a page is about, and what it says of the look, by type.
KINDS = {
    "PER": ("singer", "dancer", "player", "writer"),
    "LOC": ("town", "village", "valley", "harbor"),
    "ORG": ("company", "club", "bank", "band"),
    "OTHER": ("racer", "taxi", "van", "truck"),
}
LOOKS = {
    "PER": ("{0} always wears the {1}.", "Fans know the {1} of {0}.", "Look for the {1} and you see {0}."),
    "LOC": ("Visitors of {0} look for the {1}.", "The {1} stands in {0}.", "{0} is proud of the {1}."),
    "ORG": ("{0} shows the {1} on every door.", "The {1} means {0}.", "Look for the {1} of {0}."),
    "OTHER": ("The {1} is called {0}.", "{0} is the {1} of this year.", "Look for the {1} named {0}."),
}
FILLERS = (
    "The first news came in May.",
    "There are two books about it.",
    "Much was written on Monday.",
    "Nobody knows the whole story.",
    "More pictures are on the next page.",
    "This page was changed last week.",
)
IN_PASSING = (
    "We talked about {0}, {1} and {2} all night.",
    "Letters about {0}, {1} and {2} are still missing.",
    "Next week: more on {0}, on {1} and on {2}.",
)
SECOND_PAGE = 0.3  # of the meanings that have a page
NAMES_PER_PASSING_PAGE = 6


@dataclass(frozen=True)
class Page:
    """A page of the offline web; `about` is the name and the meaning that it explains, if any."""

    title: str
    url: str
    text: str
    about: tuple[str, Meaning] | None = None


def write_text(
    names: Sequence[str], told: Sequence[str], rng: random.Random
) -> tuple[tuple[str, ...], list[tuple[int, int, int]]]:
    """The tokens of a tweet, and (number of the name, start, end) of each mention in their order.

    Args:
        names: at most three.
        told: for each, the type that the words tell, or "" where any would fit; of three names at most one is told.
    """
    while True:
        tokens: list[str] = []
        spans = []
        for word in _draft(told, rng).split():
            start = len(tokens)
            if word.startswith(SLOT):
                number = int(word.removeprefix(SLOT))
                tokens += names[number].split()
                spans.append((number, start, len(tokens)))
            else:
                tokens.append(word)
        if FEWEST_TOKENS <= len(tokens) <= MOST_TOKENS:
            return tuple(tokens), spans


def write_pages(names: Sequence[Name], rng: random.Random) -> list[Page]:
    """What the offline web has: pages that explain a name, or its namesake alone, and pages that only mention some."""
    pages: list[Page] = []
    for name in names:
        for meaning in [name.namesake] if name.namesake else name.meanings:
            for _ in range(1 + (rng.random() < SECOND_PAGE)):
                pages.append(_explain(name.text, meaning, len(pages), rng))
    for _ in range(len(names) // NAMES_PER_PASSING_PAGE):
        some = [name.text for name in rng.sample(names, 3)]
        text = f"{rng.choice(FILLERS)} {rng.choice(IN_PASSING).format(*some)}"
        pages.append(Page("Notes of the week", f"{WEB}/notes-{len(pages)}", text))
    rng.shuffle(pages)
    return pages


def _draft(told: Sequence[str], rng: random.Random) -> str:
    """A tweet with slots for names."""
    clauses = [rng.choice(TOLD[kind]).format(f"{SLOT}{number}") for number, kind in enumerate(told) if kind]
    open_slots = [f"{SLOT}{number}" for number, kind in enumerate(told) if not kind]
    rng.shuffle(open_slots)
    if open_slots:
        twice = len(told) == 1 and rng.random() < TWICE
        forms = OPEN_TWICE if twice else (OPEN, OPEN_PAIRS, OPEN_TRIPLES)[len(open_slots) - 1]
        clauses.append(rng.choice(forms).format(*open_slots))
    if not told:
        clauses.append(f"{rng.choice(IDLE)} {rng.choice(WHEN)}")
    rng.shuffle(clauses)
    body = clauses[0] + "".join(f" {rng.choice(JOINTS)} {clause}" for clause in clauses[1:])
    if rng.random() < CAPITAL_SHARE:
        body = body[0].upper() + body[1:]
    start = f"{rng.choice(STARTS)} " if rng.random() < START_SHARE else ""
    end = f" {rng.choice(ENDS)}" if rng.random() < END_SHARE else ""
    return f"{start}{body}{end}"


def _explain(name: str, meaning: Meaning, number: int, rng: random.Random) -> Page:
    kind = rng.choice(KINDS[meaning.type])
    sentences = [f"{name} is a {kind}.", rng.choice(LOOKS[meaning.type]).format(name, meaning.look)]
    sentences.insert(rng.randint(0, 2), rng.choice(FILLERS))
    url = f"{WEB}/{name.lower().replace(' ', '-')}-{kind}-{number}"
    return Page(f"{name} ({kind})", url, " ".join(sentences), (name, meaning))

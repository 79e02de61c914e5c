"""The lab's stand-in for a large model: it answers the prompts of the knowledge and the correction agent by rules.

    names          runs of words that no training tweet has outside its names
    types          of what the knowledge base knows, or of all four, those that the words around fit, drawn by chance
    knowledge      what `known.jsonl` of the tweets world has, the common names; without it, nothing
    pages          the looks beside the name; of several, one whose type the words around fit
    decisions      the web is believed, whoever it means

So what the lab says about knowledge and search holds for a knowledge base and a reader that make no other mistakes
than these. It does not look at images. The words around names are learned from the training tweets.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from setaria.agents.backtrack.chat import Conversation
from setaria.agents.makar.entity_reply import Named, write_entities
from setaria.agents.makar.quoting import MARK
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.datasets_builders.worlds.tweet_names import COLOURS, THINGS


NEAR = 2  # words on each side of a name
SMOOTHING = 0.05
TYPES = {thing: entity_type for entity_type, thing in THINGS.items()}
LOOK = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(TYPES)})\b")
PROPOSED = re.compile(r"(?P<name>.+) \((?P<type>[A-Z]+)\); sure of")
WEB_ON = re.compile(r'^The web on "(?P<name>[^"\n]+)":$', re.MULTILINE)


class Words:
    """What the words of training tweets tell: which are no names, and which stand near names of a type."""

    def __init__(self, tweets: Iterable[Tweet]):
        self._plain: set[str] = set()
        self._types: Counter[str] = Counter()
        self._near: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
        for tweet in tweets:
            named = {place for entity in tweet.entities for place in range(entity.start, entity.end)}
            self._plain |= {token for place, token in enumerate(tweet.tokens) if place not in named}
            for entity in tweet.entities:
                self._types[entity.type] += 1
                self._near[entity.type].update(_near(tweet.tokens, entity.start, entity.end))

    def names(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """Runs of words that are no others, start and end."""
        runs: list[tuple[int, int]] = []
        for place, token in enumerate(tokens):
            if token.isalpha() and token not in self._plain:
                joined = bool(runs) and runs[-1][1] == place
                start = runs.pop()[0] if joined else place
                runs.append((start, place + 1))
        return runs

    def chances(self, tokens: Sequence[str], start: int, end: int, types: Iterable[str]) -> dict[str, float]:
        """How well each of these types fits the words around a span; they sum to 1."""
        near = _near(tokens, start, end)
        logs = {}
        for one in types:
            met = self._types[one] + 1
            logs[one] = math.log(met) + sum(math.log((self._near[one][word] + SMOOTHING) / met) for word in near)
        highest = max(logs.values())
        weights = {one: math.exp(value - highest) for one, value in logs.items()}
        return {one: weight / sum(weights.values()) for one, weight in weights.items()}


class StandIn:
    """A `ReplyModel`.

    Args:
        words: of the training tweets.
        known: looks of the names that it knows, by type; empty: it knows none.
        seed: of what it draws.
    """

    def __init__(self, words: Words, known: Mapping[str, Mapping[str, str]], seed: int = 0):
        self._words, self._known, self._rng = words, known, random.Random(seed)

    def generate(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply each."""
        return [self._answer(conversation[-1]["content"][-1]["text"]) for conversation in conversations]

    def _answer(self, text: str) -> str:
        tokens = _quoted_after(text, "Tweet:").split()
        if "Web page 1:" in text:
            return self._summary(text, tokens)
        if "A first look proposes:" in text:
            return self._decision(text)
        return self._entities(tokens)

    def _entities(self, tokens: Sequence[str]) -> str:
        named = []
        for start, end in self._words.names(tokens):
            name = " ".join(tokens[start:end])
            looks = self._known.get(name, {})
            kind = self._drawn(tokens, start, end, looks or THINGS)
            named.append(Named(name, kind, reason=looks.get(kind, "")))
        return write_entities(named, "")

    def _summary(self, text: str, tokens: list[str]) -> str:
        name = text.rpartition("say about ")[2].split('"')[1]
        pages = [_quoted_after(text, f"Web page {number}:") for number in range(1, text.count("Web page ") + 1)]
        looks = {TYPES[thing]: f"{colour} {thing}" for page in pages for colour, thing in _looks_beside(name, page)}
        if not looks:
            return "nothing"
        words = name.split()
        start = next((at for at in range(len(tokens)) if tokens[at : at + len(words)] == words), 0)
        return looks[self._drawn(tokens, start, start + len(words), looks)]

    def _decision(self, text: str) -> str:
        web = {found["name"]: LOOK.search(_quoted_after(text, found[0])) for found in WEB_ON.finditer(text)}
        proposed = _quoted_after(text, "A first look proposes:").splitlines()
        named = []
        for found in filter(None, map(PROPOSED.match, proposed)):
            look = web.get(found["name"])
            named.append(Named(found["name"], TYPES[look[2]] if look else found["type"]))
        return write_entities(named, "")

    def _drawn(self, tokens: Sequence[str], start: int, end: int, types: Iterable[str]) -> str:
        chances = self._words.chances(tokens, start, end, types)
        return self._rng.choices(list(chances), list(chances.values()))[0]


def _near(tokens: Sequence[str], start: int, end: int) -> list[tuple[int, str]]:
    """The words around a span, with their distance."""
    places = [*range(start - NEAR, start), *range(end, end + NEAR)]
    return [
        (place - start if place < start else place - end + 1, tokens[place].casefold())
        for place in places
        if 0 <= place < len(tokens)
    ]


def _quoted_after(text: str, heading: str) -> str:
    """The quotation below a line."""
    lines = iter(text.split(f"{heading}\n", 1)[1].splitlines() if f"{heading}\n" in text else ())
    quoted = []
    for line in lines:
        if not line.startswith(MARK):
            break
        quoted.append(line.removeprefix(MARK))
    return "\n".join(quoted)


def _looks_beside(name: str, page: str) -> list[tuple[str, str]]:
    """Colour and thing of each sentence of a page with this name."""
    sentences = re.split(r"(?<=[.!?])\s", page)
    return [found for sentence in sentences if name in sentence for found in LOOK.findall(sentence)]

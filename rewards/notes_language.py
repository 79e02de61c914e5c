"""The language of the notes world: who writes to whom about what, and every sentence that is right to say.

A request names a tone, a friend and one to three things. A note greets the friend, says one sentence about each thing
and a courtesy, and closes, all in the tone:

    Write a cheerful note to Anna. Mention the cake and the train.
    Hi Anna! I baked a cake for you. The train leaves at nine. I hope you are well. See you soon!
"""

import re
from dataclasses import dataclass


NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Farid", "Grace", "Hugo")

GREETINGS = {"cheerful": "Hi {name}!", "polite": "Dear {name},", "thankful": "Hello {name},"}
COURTESIES = {
    "cheerful": ("I hope you are well.", "It was fun to see you."),
    "polite": ("Please let me know if this suits you.", "Please take your time."),
    "thankful": ("Thank you for your help.", "You were so kind to us."),
}
CLOSINGS = {"cheerful": "See you soon!", "polite": "With kind regards.", "thankful": "Many thanks again!"}

THINGS = {
    "bike": ("The bike has a new bell.", "You can take my bike."),
    "boat": ("The boat is ready for the lake.", "We painted the boat blue."),
    "book": ("I liked the book you sent.", "Your book is on my desk."),
    "cake": ("I baked a cake for you.", "The cake is on the table."),
    "cat": ("The cat is asleep on the sofa.", "Feed the cat at six."),
    "dog": ("The dog found a ball.", "I will walk the dog today."),
    "garden": ("The garden is full of roses.", "We sat in the garden all day."),
    "key": ("The key is under the mat.", "I left the key with Tom."),
    "lamp": ("The lamp is working again.", "I found a lamp for your room."),
    "letter": ("Your letter came on Monday.", "I read your letter twice."),
    "party": ("The party starts at eight.", "Will you come to the party?"),
    "picnic": ("The picnic is by the river.", "Bring a hat to the picnic."),
    "rain": ("Take a coat because of the rain.", "The rain will stop at noon."),
    "soup": ("There is hot soup on the stove.", "I made soup for lunch."),
    "tea": ("Let us have tea on Sunday.", "The tea is for your mother."),
    "train": ("The train leaves at nine.", "I will meet you at the train."),
}
TONES = tuple(GREETINGS)

REQUEST = re.compile(r"Write a (\w+) note to (\w+)\. Mention ([\w, ]+)\.")


@dataclass(frozen=True)
class Request:
    """What a note is to be: its tone, the friend's name and the things to mention, in the order asked."""

    tone: str
    name: str
    things: tuple[str, ...]

    @property
    def text(self) -> str:
        """The request as the user types it."""
        *first, last = (f"the {thing}" for thing in self.things)
        mention = f"{', '.join(first)} and {last}" if first else last
        return f"Write a {self.tone} note to {self.name}. Mention {mention}."

    @classmethod
    def parse(cls, text: str) -> "Request":
        """Read a request back from its text; ValueError for any other text."""
        match = REQUEST.fullmatch(text)
        if match is None or match[1] not in TONES or match[2] not in NAMES:
            raise ValueError(f"not a request of the notes world: {text!r}")
        return cls(match[1], match[2], tuple(re.findall(r"the (\w+)", match[3])))

    @property
    def greeting(self) -> str:
        """How the note begins."""
        return GREETINGS[self.tone].format(name=self.name)

    @property
    def closing(self) -> str:
        """How the note ends."""
        return CLOSINGS[self.tone]


def split_sentences(text: str) -> list[str]:
    """The greeting and the sentences of a note, each with its punctuation; an unfinished end counts as a sentence."""
    return [sentence for sentence in re.split(r"(?<=[.!?,])\s+", text.strip()) if sentence]


def thing_of(sentence: str) -> str | None:
    """The thing that a well-formed sentence is about, or None."""
    return THING_OF_SENTENCE.get(sentence)


THING_OF_SENTENCE = {sentence: thing for thing, sentences in THINGS.items() for sentence in sentences}
PHRASES = frozenset(
    [greeting.format(name=name) for greeting in GREETINGS.values() for name in NAMES]
    + [courtesy for courtesies in COURTESIES.values() for courtesy in courtesies]
    + list(CLOSINGS.values())
    + list(THING_OF_SENTENCE)
)

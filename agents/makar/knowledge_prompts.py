"""What the knowledge agent is shown and asked, by code that cannot see gold.

    examples    (tweet, answer), from the training split alone
    question    the image and the tokens of a tweet: an `Unlabelled`, which has nothing else
    answer      see `entity_reply`

The authors' released knowledge of Twitter-FMNERG was asked for with the labels of the test tweets in the prompt. Here
no builder takes a tweet with labels, and examples come out of a `Split` that was read from a file of the training
split, never those about the tweet itself. `setaria check leak` looks at what came of it. The wording is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from setaria.agents.backtrack.chat import Conversation
from setaria.agents.makar.bm25 import BM25
from setaria.agents.makar.corpus_search import words_of
from setaria.agents.makar.entity_reply import Named, write_entities
from setaria.agents.makar.quoting import MARK, QUOTED, quoted
from setaria.datasets_builders.mner.gmner import Split
from setaria.datasets_builders.mner.grounding_prompts import read_image
from setaria.datasets_builders.mner.layouts import Layout
from setaria.datasets_builders.mner.tweets import Tweet


TRAIN = "train"
LONGEST_TWEET = 2000  # characters
FORM = (
    "Answer with `Named entities:`, then one line for each in the order of the tweet, `1. name (type): why`, or "
    "`none`; then `Reasoning:` and what you know about them and see in the image. Copy names letter by letter. "
    f"{QUOTED}"
)


@dataclass(frozen=True)
class Unlabelled:
    """A tweet as a knowledge prompt may see it.

    Attributes:
        id, tokens, image: as of `Tweet`.
    """

    id: str
    tokens: tuple[str, ...]
    image: Path

    @classmethod
    def of(cls, tweet: Tweet) -> "Unlabelled":
        """The tweet without its entities and without the size of its image, which tells whether any is groundable."""
        return cls(tweet.id, tweet.tokens, tweet.image)

    @property
    def text(self) -> str:
        """The tokens, joined by one space."""
        return " ".join(self.tokens)


class Demonstrations:
    """Answered tweets of the training split, of which a prompt shows the most similar ones by BM25 over their words.

    Args:
        split: the training split, as `read_split(root, "train", layout)` gives it.
        reasoning: of each tweet that may be shown, by id, written by hand or by a model.
        count: examples per prompt.

    Raises:
        ValueError: for another split, no reasoning, reasoning for a tweet that is not in it, and a count below 1.
    """

    def __init__(self, split: Split, reasoning: Mapping[str, str], count: int = 4):
        if split.file.stem != TRAIN:
            raise ValueError(f"split: {split.file.name} is not {TRAIN}.txt, and examples show gold")
        if count < 1:
            raise ValueError(f"count={count}: at least 1 example is expected")
        tweets = {tweet.id: tweet for tweet in split.tweets}
        if strange := [name for name in reasoning if name not in tweets]:
            raise ValueError(f"reasoning is for tweet {strange[0]!r}, which is not in {split.file.name}")
        if not reasoning:
            raise ValueError("reasoning is empty: there is no example to show")
        self.layout = split.layout
        self._count = count
        self._tweets = [tweets[name] for name in reasoning]
        self._answers = [
            gold_answer(tweet, text) for tweet, text in zip(self._tweets, reasoning.values(), strict=True)
        ]
        self._index = BM25([words_of(tweet.text) for tweet in self._tweets])

    def like(self, tweet: Unlabelled) -> list[tuple[Unlabelled, str]]:
        """Examples and their answers, the most similar one last; fewer where fewer have a word in common."""
        shown = []
        for number, _ in self._index.best(words_of(tweet.text), len(self._tweets)):
            one = self._tweets[number]
            if one.id != tweet.id and one.tokens != tweet.tokens:
                shown.append((Unlabelled.of(one), self._answers[number]))
        return shown[: self._count][::-1]


@dataclass(frozen=True)
class KnowledgePrompts:
    """Writes the conversations of the knowledge agent.

    Attributes:
        layout: its types are asked for.
        demonstrations: shown before each question, without their images; `None`: no examples.
        fit: what is done to each image, so that a model sees the same pixels as in its training.

    Raises:
        ValueError: for demonstrations of other types.
    """

    layout: Layout
    demonstrations: Demonstrations | None = None
    fit: Callable[[Image.Image], Image.Image] | None = None

    def __post_init__(self):
        if self.demonstrations is not None and self.demonstrations.layout != self.layout:
            raise ValueError(f"demonstrations are of {self.demonstrations.layout.name}, not of {self.layout.name}")

    def show(self, tweet: Unlabelled) -> Image.Image | None:
        """The image as the model sees it; `None` if it is missing or broken, or `fit` has no size for it."""
        try:
            photo = read_image(tweet.image).convert("RGB")
            return self.fit(photo) if self.fit else photo
        except ValueError:
            return None

    def ask(self, tweet: Unlabelled, photo: Image.Image | None) -> Conversation:
        """Ask for the entities of a tweet.

        Args:
            photo: as `show` gives it; `None`: the question says that the image is missing.

        Raises:
            TypeError: for a tweet that has labels.
        """
        conversation: Conversation = []
        for example, answer in self.demonstrations.like(tweet) if self.demonstrations else ():
            conversation += turn("user", f"{self.task}\n{show_tweet(example)}"), turn("assistant", answer)
        return [*conversation, self.question(tweet, photo, self.task)]

    @property
    def task(self) -> str:
        """What is asked for, with the types."""
        fine = bool(self.layout.fine_types)
        listed = (f"{name} ({', '.join(several)})" if fine else name for name, several in self.layout.types.items())
        kinds = "type, fine type" if fine else "type"
        return f"List the named entities of the tweet with their {kinds}: {', '.join(listed)}. {FORM}"

    def question(self, tweet: Unlabelled, photo: Image.Image | None, task: str) -> dict:
        """The turn that asks something about a tweet; also for the prompts of the correction agent."""
        if not isinstance(tweet, Unlabelled):
            raise TypeError(f"{type(tweet).__name__} is no Unlabelled: a prompt must not see labels")
        missing = "\nIts image is missing." if photo is None else ""
        return turn("user", f"{task}\n{show_tweet(tweet)}{missing}", photo)


def gold_answer(tweet: Tweet, reasoning: str) -> str:
    """The right answer for a training tweet, as examples show it and as a model may be taught it."""
    return write_entities((Named(one.text, one.type, one.fine) for one in tweet.entities), reasoning)


def turn(role: str, text: str, image: Image.Image | None = None) -> dict:
    """A message, the image first."""
    shown = [] if image is None else [{"type": "image", "image": image}]
    return {"role": role, "content": [*shown, {"type": "text", "text": text}]}


def show_tweet(tweet: Unlabelled) -> str:
    """The tokens of a tweet as a quotation."""
    return f"Tweet:\n{quoted(tweet.text, LONGEST_TWEET) or MARK.strip()}"

"""What the correction agent searches for, and what it shows and asks.

    query       the name in doubt and the longest words of the tweet, which are its rarest, but no other names: in the
                tweets world these lead to their own pages (the right page is first for 53 % of names, else for 88 %)
    summary     pages found for a name, quoted -> what they say about it
    decision    tweet, image, candidates with their confidences, summaries, quoted -> all entities of the tweet

Nothing here sees gold: tweets are `Unlabelled`, candidates are a model's own. Pages are somebody's text, and summaries
may repeat what they say, so both stand in quotations (`quoting`). The paper's prompts are not known; these are ours.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from setaria.agents.backtrack.chat import Conversation
from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts, Unlabelled, show_tweet, turn
from setaria.agents.makar.quoting import QUOTED, cut, neutral, passage, quoted
from setaria.agents.makar.search import WebPage, plain_words


LONGEST_TITLE, LONGEST_NAME, LONGEST_SUMMARY, LONGEST_LIST = 200, 200, 800, 4000  # characters
NOTHING = "nothing"


@dataclass(frozen=True)
class CorrectionPrompts:
    """Writes the conversations of the correction agent.

    Attributes:
        knowledge: the prompts of the knowledge agent, whose task and form of the answer are the same.
        most_page: characters of a page that are shown, around the name.
    """

    knowledge: KnowledgePrompts
    most_page: int = 3000

    def __post_init__(self):
        if self.most_page < 1:
            raise ValueError(f"most_page={self.most_page}: at least 1 is expected")

    def summarise(self, tweet: Unlabelled, name: str, pages: Iterable[WebPage]) -> Conversation:
        """Ask what pages say about a name of a tweet."""
        lines = [QUOTED, show_tweet(tweet)]
        for number, page in enumerate(pages, 1):
            part = f"{cut(neutral(page.title), LONGEST_TITLE)}\n{passage(page.text, name, self.most_page)}"
            lines.append(f"Web page {number}:\n{quoted(part, LONGEST_TITLE + self.most_page)}")
        lines.append(
            f"What do the pages say about {_named(name)} as the tweet means it: who or what it is, and how it looks? "
            f"Answer in at most three sentences, from the pages alone, or with `{NOTHING}` if they do not say."
        )
        return [turn("user", "\n".join(lines))]

    def decide(
        self,
        tweet: Unlabelled,
        photo: Image.Image | None,
        candidates: Sequence[Candidate],
        summaries: Mapping[str, str],
    ) -> Conversation:
        """Ask for the entities again.

        Args:
            photo: the image; `None` if there is none.
            summaries: what the web says, by name.

        Raises:
            TypeError: for a tweet that has labels.
        """
        listed = "\n".join(map(_describe, candidates))
        lines = [self.knowledge.task, "A first look proposes:", quoted(listed, LONGEST_LIST)]
        for name, summary in summaries.items():
            lines += [f"The web on {_named(name)}:", quoted(summary, LONGEST_SUMMARY)]
        lines.append("The proposals may be wrong, and the web may mean another one of the same name. Decide.")
        return [self.knowledge.question(tweet, photo, "\n".join(lines))]


def query_of(name: str, tweet: Unlabelled, words: int, names: Iterable[str] = ()) -> str:
    """What is searched for: the name, then so many words of the tweet, in its order; "" if no word is in the name.

    Args:
        names: what else is proposed as a name; its words are not added.
    """
    own = plain_words(name)
    left_out = {word for one in (own, *map(plain_words, names)) for word in one.casefold().split()}
    others: dict[str, str] = {}
    for token in tweet.tokens:
        plain = plain_words(token)
        if plain.casefold() not in left_out and plain.isalpha():  # no addresses, numbers, marks
            others.setdefault(plain.casefold(), plain)
    kept = sorted(others, key=lambda word: -len(word))[:words]
    return " ".join([own, *(word for key, word in others.items() if key in kept)]) if own else ""


def holds_tweet(query: str, tweet: Unlabelled) -> bool:
    """Whether all words of a tweet are in a query, which then could find the tweet itself."""
    return bool(query) and set(plain_words(tweet.text).casefold().split()) <= set(query.casefold().split())


def read_summary(reply: str) -> str:
    """The summary in an answer, on one line; "" for one that says nothing, or thinks without an end."""
    text = reply.rpartition("</think>")[2]
    said = "" if "<think>" in text else neutral(text)
    return "" if said.casefold().strip("`'\"*. ") == NOTHING else cut(said, LONGEST_SUMMARY)


def _named(name: str) -> str:
    """A name within a line of ours: in quotes as JSON writes them, which nothing in it ends."""
    return json.dumps(neutral(cut(name, LONGEST_NAME)), ensure_ascii=False)


def _describe(candidate: Candidate) -> str:
    label = f"{candidate.type}, {candidate.fine}" if candidate.fine else candidate.type
    sure = f"sure of the span {candidate.boundary:.0%}, of the type {candidate.type_confidence:.0%}"
    return f"{candidate.text} ({label}); {sure}{f'; {candidate.reason}' if candidate.reason else ''}"

"""The knowledge agent (KEA): a vision-language model as implicit knowledge base, asked for the entities of tweets.

    k answers, sampled  ->  names aligned to tokens  ->  candidates with confidences  ->  text for the tagger

Text for the tagger, as released: `Named entities: 1. Lena Okoye (PER) 2. Brno (LOC) Reasoning: ...`. It lists the
entities in more than half of the answers, and has the reasoning of the answer that comes closest to them. Confidence
is the agreement of the answers (`confidence`), or the marginals of a tagger that has read the text (`tagged`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from setaria.agents.makar.alignment import align
from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.confidence import Said, agreed, entity, lowest, majority
from setaria.agents.makar.entity_reply import Named, ReplyError, parse_entities, write_entities
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts, Unlabelled
from setaria.agents.makar.quoting import neutral
from setaria.agents.makar.recorded_chat import Question, RecordingChat
from setaria.datasets_builders.mner.layouts import Layout
from setaria.rewards.grounded_entities import PredictedEntity


NO_IMAGE = "the image is missing or broken"


@dataclass(frozen=True)
class Knowledge:
    """What is known about a tweet.

    Attributes:
        tweet: its id.
        candidates: every span that was proposed, in order; they may overlap.
        entities: those that count, in order; their boxes are not known.
        text: for the tagger, on one line; empty if no answer could be read.
        problems: what could not be used, and why: answers, lines, names that are not in the tweet, the image.
        unread: answers that could not be read.
    """

    tweet: str
    candidates: tuple[Candidate, ...]
    entities: tuple[PredictedEntity, ...]
    text: str
    problems: tuple[str, ...] = ()
    unread: int = 0

    @property
    def confidence(self) -> float:
        """The lowest in any boundary or type of a candidate; infinite without candidates."""
        return lowest(self.candidates)

    @property
    def about(self) -> dict[str, str]:
        """What was said of single names, by their words; of two candidates with the same words, of the surer one."""
        by_doubt = sorted(self.candidates, key=lambda one: lowest([one]))
        return {one.text: one.reason for one in by_doubt if one.reason}


@dataclass(frozen=True)
class KnowledgeAgent:
    """Asks a model.

    Attributes:
        chat: a model that samples; at temperature 0 all answers are one, and every confidence is 1.
        prompts: what it is asked.
        samples: k, answers per tweet.
        at_once: tweets whose images are held at once.

    Raises:
        ValueError: naming the field that is below 1.
    """

    chat: RecordingChat
    prompts: KnowledgePrompts
    samples: int = 5
    at_once: int = 32

    def __post_init__(self):
        for name in ("samples", "at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1 is expected")

    def knowledge(self, tweets: Iterable[Unlabelled]) -> Iterator[Knowledge]:
        """What the model knows about each tweet, in order; raises what the model raises."""
        left = iter(tweets)
        while chunk := list(islice(left, self.at_once)):
            photos = [self.prompts.show(tweet) for tweet in chunk]
            asked = [self.prompts.ask(tweet, photo) for tweet, photo in zip(chunk, photos, strict=True)]
            questions = [
                Question(tweet.id, conversation, sample)
                for tweet, conversation in zip(chunk, asked, strict=True)
                for sample in range(self.samples)
            ]
            replies = iter(self.chat.replies(questions))
            for tweet, photo in zip(chunk, photos, strict=True):
                found = self._weigh(tweet, list(islice(replies, self.samples)))
                yield replace(found, problems=(NO_IMAGE, *found.problems)) if photo is None else found

    def _weigh(self, tweet: Unlabelled, replies: Sequence[str]) -> Knowledge:
        answers = [read_answer(reply, tweet.tokens, self.prompts.layout) for reply in replies]
        said = [answer.said for answer in answers]
        unread = said.count(None)
        candidates = agreed(said, tweet.tokens)
        entities = majority(candidates, len(answers), len(answers) - unread)
        problems = tuple(
            f"answer {number}: {problem}" for number, answer in enumerate(answers, 1) for problem in answer.problems
        )
        text = ""
        if unread < len(answers):
            reasoning = _closest(answers, entities).reasoning
            text = knowledge_text(entities, reasoning or _reasons(candidates, entities))
        return Knowledge(tweet.id, candidates, entities, text, problems, unread)


@dataclass(frozen=True)
class Answer:
    """What an answer says about a tweet.

    Attributes:
        said: its entities at their tokens; `None` if it cannot be read, or all its names are of another tweet.
        reasoning: on one line; may be empty.
        problems: what of it cannot be used, and why.
    """

    said: tuple[Said, ...] | None
    reasoning: str = ""
    problems: tuple[str, ...] = ()


def read_answer(reply: str, tokens: Sequence[str], layout: Layout) -> Answer:
    """Read an answer to `KnowledgePrompts.ask`; see `entity_reply` and `alignment`."""
    try:
        parsed = parse_entities(reply, layout)
    except ReplyError as error:
        return Answer(None, problems=(str(error),))
    said = []
    problems = [f"{line!r} is no entity with a type" for line in parsed.left_out]
    places = align([one.text for one in parsed.entities], tokens)
    for one, place in zip(parsed.entities, places, strict=True):
        if place is None:
            problems.append(f"{one.text!r} is not in the tweet, or not so often, or part of another entity")
        else:
            said.append(Said(*place, one.type, one.fine, one.reason))
    foreign = bool(parsed.entities) and not said
    return Answer(None if foreign else tuple(said), parsed.reasoning, tuple(problems))


def knowledge_text(entities: Iterable[PredictedEntity], reasoning: str) -> str:
    """Text for the tagger."""
    return neutral(write_entities((Named(one.text, one.type, one.fine) for one in entities), reasoning))


def tagged(knowledge: Knowledge, candidates: Sequence[Candidate]) -> Knowledge:
    """Knowledge with the candidates of the tagger that read it, whose marginals are their confidences.

    The text stays; a candidate without a reason gets what the knowledge says of these words.
    """
    about = knowledge.about
    known = tuple(one if one.reason else replace(one, reason=about.get(one.text, "")) for one in candidates)
    return replace(knowledge, candidates=known, entities=tuple(map(entity, known)))


def _closest(answers: Iterable[Answer], entities: Iterable[PredictedEntity]) -> Answer:
    """The answer that differs in the fewest entities."""
    wanted = {(one.start, one.end, one.type, one.fine) for one in entities}

    def difference(answer: Answer) -> float:
        return float("inf") if answer.said is None else len(wanted ^ {(*one.place, *one.label) for one in answer.said})

    return min(answers, key=difference)


def _reasons(candidates: Iterable[Candidate], entities: Iterable[PredictedEntity]) -> str:
    """What was said for single entities, where there is no reasoning for all."""
    places = {(one.start, one.end) for one in entities}
    return " ".join(f"{one.text}: {one.reason}" for one in candidates if one.reason and (one.start, one.end) in places)

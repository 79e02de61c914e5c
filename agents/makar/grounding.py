"""The grounding agent: where in the image of a tweet its entities are, one question for each.

A reply is read as the rewards read it (`setaria.rewards.grounding.grade_reply`): numbers outside the image count as
its edge, an inverted or empty box stays one and overlaps nothing, and a reply without one readable answer is marked so
and is not a None. Nor is an entity whose image is missing or broken: nothing is asked then.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from setaria.agents.backtrack.chat import ReplyModel
from setaria.datasets_builders.mner.grounding_prompts import Conversation, GroundingPrompts, ShownImage, type_text
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import PredictedEntity
from setaria.rewards.grounding import grade_reply


AT_ONCE = 64


@dataclass(frozen=True)
class GroundingTask:
    """The entities found in a tweet.

    Attributes:
        tweet: its gold entities are not looked at.
        entities: what was found, in order; their boxes are not looked at.
        knowledge: what is quoted in the question, by the words of the entity.
    """

    tweet: Tweet
    entities: Sequence[PredictedEntity]
    knowledge: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grounding:
    """An answer.

    Attributes:
        entity: as it was found, with its box in pixels of the original image.
        reply: the text of the model; empty if it was not asked.
        problem: why it was not asked; else empty.
    """

    entity: PredictedEntity
    reply: str
    problem: str = ""


@dataclass(frozen=True)
class GroundingAgent:
    """Answers with a chat model.

    Attributes:
        chat: the model; its `generate` gets at most `AT_ONCE` questions at a time.
        prompts: of the model's family and processor, the same as in its training.
    """

    chat: ReplyModel
    prompts: GroundingPrompts

    def ground(self, tasks: Iterable[GroundingTask]) -> list[list[Grounding]]:
        """The answers for the entities of each task, in order. Raises what the chat model raises."""
        answers: list[list[Grounding]] = []
        questions = self._questions(tasks, answers)
        while asked := list(islice(questions, AT_ONCE)):
            replies = self.chat.generate([question.conversation for question in asked])
            for question, reply in zip(asked, replies, strict=True):
                answers[question.task][question.number] = self._read(question, reply)
        return answers

    def _questions(self, tasks: Iterable[GroundingTask], answers: list[list[Grounding]]) -> Iterator["_Question"]:
        """What there is to ask; puts an unreadable answer in place for each entity."""
        for number, task in enumerate(tasks):
            unread = [replace(entity, box=None, readable=False) for entity in task.entities]
            answers.append([Grounding(entity, "") for entity in unread])
            if not unread:
                continue
            try:
                shown = self.prompts.show(task.tweet.image)
            except ValueError as error:
                problem = f"{task.tweet.image}: {error}"
                answers[number] = [Grounding(entity, "", problem) for entity in unread]
                continue
            for place, entity in enumerate(unread):
                known = task.knowledge.get(entity.text, "")
                conversation = self.prompts.ask(shown, task.tweet.text, entity.text, type_text(entity), known)
                yield _Question(number, place, entity, shown, conversation)

    def _read(self, question: "_Question", reply: str) -> Grounding:
        shown = question.shown
        grade = grade_reply(reply, (), self.prompts.codec, shown.size, shown.image.size)
        return Grounding(replace(question.entity, box=grade.box, readable=grade.readable), reply)


@dataclass(frozen=True)
class _Question:
    """The question about an entity, and where its answer belongs."""

    task: int
    number: int
    entity: PredictedEntity
    shown: ShownImage
    conversation: Conversation

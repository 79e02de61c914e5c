"""The three roles: what they are asked, and who answers.

A question carries the conversation for a model and, for the Judger, the attempt itself, so that an oracle or a coin
can stand in for a model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from setaria.agents.backtrack.chat import ChatModel, SteerableModel
from setaria.agents.backtrack.environment import Outcome
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Conversation
from setaria.datasets_builders.gui.tasks import Task
from setaria.rewards.gui.actions import Action


Role: TypeAlias = Literal["generator", "judger", "reflector"]


@dataclass(frozen=True)
class Ask:
    """A question to one of the roles.

    Attributes:
        attempt: what the Judger is asked about.
        beginnings: texts, with one of which the reply has to begin; none: it is free.
    """

    role: Role
    conversation: Conversation
    task: Task
    attempt: tuple[Page, Action, Outcome] | None = None
    beginnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A reply, or P(Yes) of the Judger, and its share of the batch's seconds."""

    value: Any
    seconds: float = 0.0


class Gold(Protocol):
    """What is known to be right, for the trace and for oracle judgers."""

    def action(self, page: Page) -> Action | None:
        """A right action on a page."""

    def matches(self, page: Page, action: Action, outcome: Outcome) -> bool:
        """Whether an action was right."""

    def reached(self, page: Page) -> bool | None:
        """Whether an episode that ends on this page was a success; None where that is not known."""


@dataclass(frozen=True)
class Agent:
    """Who answers for the three roles, in batches."""

    generator: Callable[[Sequence[Ask]], Sequence[str]]
    judger: Callable[[Sequence[Ask]], Sequence[float]]
    reflector: Callable[[Sequence[Ask]], Sequence[str]]

    @classmethod
    def of_models(cls, generator: ChatModel, judger: ChatModel, reflector: ChatModel) -> "Agent":
        """Models for the roles; all three may be the same one."""
        return cls(
            lambda asks: _replies(generator, asks),
            lambda asks: judger.yes_probability([ask.conversation for ask in asks]),
            lambda asks: _replies(reflector, asks),
        )


def _replies(model: ChatModel, asks: Sequence[Ask]) -> list[str]:
    conversations = [ask.conversation for ask in asks]
    if not any(ask.beginnings for ask in asks):
        return model.generate(conversations)
    if not isinstance(model, SteerableModel):
        raise ValueError(f"{type(model).__name__} cannot be told how a reply begins")
    return model.continue_from(conversations, [ask.beginnings for ask in asks])

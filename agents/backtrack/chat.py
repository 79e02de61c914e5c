"""The models behind the roles: anything that answers conversations with images."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable


# Messages as transformers' chat templates take them: {"role", "content": [{"type": "text" | "image", ...}]}; an image
# part holds its PIL image.
Conversation: TypeAlias = list[dict[str, Any]]


class ReplyModel(Protocol):
    """A model that answers batches of conversations."""

    def generate(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply per conversation."""


class ChatModel(ReplyModel, Protocol):
    """One that can also be asked for a verdict."""

    def yes_probability(self, conversations: Sequence[Conversation]) -> list[float]:
        """P(Yes) over {Yes, No} for the first token of each reply."""


@runtime_checkable
class SteerableModel(Protocol):
    """A model that can be told how its replies begin."""

    def continue_from(self, conversations: Sequence[Conversation], beginnings: Sequence[Sequence[str]]) -> list[str]:
        """One reply per conversation, which begins with one of its texts; where it has none, the reply is free."""

"""A recorded chat as a chat model, for agents that know nothing of recordings, such as the grounding agent."""

from collections.abc import Sequence
from dataclasses import dataclass

from setaria.agents.backtrack.chat import Conversation
from setaria.agents.makar.recorded_chat import Question, RecordingChat


@dataclass(frozen=True)
class RecordedModel:
    """Asks the model behind `chat` only what is not recorded yet.

    Attributes:
        chat: the recording.
        role: stands in it in place of the id of a tweet.
    """

    chat: RecordingChat
    role: str

    def generate(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply per conversation."""
        return self.chat.replies([Question(self.role, conversation) for conversation in conversations])

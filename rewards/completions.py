"""What a reward function is handed as a completion, as text."""

from typing import Any


def reply_text(completion: str | list[dict[str, Any]]) -> str:
    """The text of a completion as TRL hands it over: a string, or messages with text or text parts."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)

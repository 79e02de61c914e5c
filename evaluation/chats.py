"""Answers in a chat, decoded greedily: by the tokenizer's chat template, or else as a transcript of both speakers.

    User: ...

    Assistant: ...

A model that goes on for the user in a transcript is cut off there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from setaria.evaluation.generating import Reply, as_prompt, greedy_replies
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Setting


SPEAKERS = {"user": "User:", "assistant": "Assistant:"}
Talk = Sequence[Mapping[str, str]]  # `role`, `content`


@dataclass(frozen=True)
class Answer:
    """What the assistant says.

    Attributes:
        tokens: generated ones.
        seconds: wall time of its batch, shared equally.
        bits: see `counted_bits`.
        cut: whether it ends because `max_new_tokens` were generated.
    """

    text: str
    tokens: int
    seconds: float
    bits: dict[str, float]
    cut: bool


def note_missing_template(checkpoint: Checkpoint) -> None:
    """Add to the checkpoint's notes that a transcript stands in for its chat template, if it has none."""
    tokenizer = checkpoint.tokenizer
    if not tokenizer.chat_template:
        checkpoint.notes.append(f"{tokenizer.name_or_path}: no chat template; a transcript stands in for it")


def answers(checkpoint: Checkpoint, setting: Setting, talks: Sequence[Talk], max_new_tokens: int) -> list[Answer]:
    """The assistant's next turn in each talk, which ends with a turn of the user."""
    template = bool(checkpoint.tokenizer.chat_template)
    prompts = [as_prompt(checkpoint, talk if template else _transcript(talk), template) for talk in talks]
    replies = greedy_replies(checkpoint, setting, prompts, max_new_tokens)
    end = checkpoint.model.generation_config.eos_token_id
    ends = end if isinstance(end, list) else [end]
    return [
        _answer(reply, template, len(reply.ids) == max_new_tokens and reply.ids[-1] not in ends) for reply in replies
    ]


def cut_note(items: Sequence[Item], max_new_tokens: int) -> list[str]:
    """One note on items whose `extra` says that an answer is `cut`, if there are any."""
    cut = sum(item.extra.get("cut", False) for item in items)
    note = f"{cut} of {len(items)} items have an answer that max_new_tokens={max_new_tokens} cut short"
    return [note] if cut else []


def _transcript(talk: Talk) -> str:
    turns = [f"{SPEAKERS[turn['role']]} {turn['content']}" for turn in talk]
    return "\n\n".join([*turns, SPEAKERS["assistant"]])


def _answer(reply: Reply, template: bool, cut: bool) -> Answer:
    text, ended, _ = (reply.text, "", "") if template else reply.text.partition(f"\n{SPEAKERS['user']}")
    return Answer(text.strip(), len(reply.ids), reply.seconds, reply.bits, cut and not ended)

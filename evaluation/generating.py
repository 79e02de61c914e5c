"""What a checkpoint says to prompts, decoded greedily with a setting's cache and drafter."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from setaria.evaluation.config import NONE
from setaria.evaluation.hooks import counted_bits, hooked
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Setting


@dataclass(frozen=True)
class Reply:
    """A completion.

    Attributes:
        text: without special tokens.
        ids: of its tokens, the end token included.
        seconds: wall time of its batch, shared equally.
        bits: see `counted_bits`.
    """

    text: str
    ids: list[int]
    seconds: float
    bits: dict[str, float] = field(default_factory=dict)


def as_prompt(
    checkpoint: Checkpoint, messages: str | Sequence[Mapping[str, str]], apply_chat_template: bool
) -> list[int]:
    """Token ids of a conversation that waits for its next turn.

    Args:
        messages: what a user says, or turns with `role` and `content`.
        apply_chat_template: else the contents follow each other with an empty line between.
    """
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    if apply_chat_template:
        return checkpoint.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    return checkpoint.tokenizer("\n\n".join(turn["content"] for turn in turns)).input_ids


def greedy_replies(
    checkpoint: Checkpoint, setting: Setting, prompts: Sequence[list[int]], max_new_tokens: int
) -> list[Reply]:
    """Replies to prompts (token ids, see `as_prompt`) of at most `max_new_tokens` tokens.

    Prompts share a batch, padded on the left; where drafts go over a quantised cache each is a batch of its own, since
    only then they change nothing.
    """
    if NONE not in (setting.cache, setting.drafter) and len(prompts) > 1:
        return [reply for one in prompts for reply in greedy_replies(checkpoint, setting, [one], max_new_tokens)]
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    inputs = tokenizer.pad({"input_ids": prompts}, return_attention_mask=True, return_tensors="pt")
    began = time.monotonic()
    with hooked(model, setting) as quantised:
        texts = model.generate(
            **inputs.to(checkpoint.device),
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
        )
        bits = counted_bits(quantised.cache)
    ends = model.generation_config.eos_token_id
    replies = [_up_to_end(text, ends) for text in texts[:, inputs.input_ids.size(1) :].tolist()]
    seconds = (time.monotonic() - began) / len(prompts)
    return [Reply(tokenizer.decode(ids, skip_special_tokens=True), ids, seconds, bits) for ids in replies]


def _up_to_end(ids: list[int], ends: int | list[int] | None) -> list[int]:
    """Without the padding after the first end token."""
    known = ends if isinstance(ends, list) else [ends]
    length = next((place for place, id in enumerate(ids, 1) if id in known), len(ids))
    return ids[:length]

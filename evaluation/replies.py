"""Greedy replies of a checkpoint to prompts, with the cache and the drafter of a setting."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from setaria.evaluation.config import NONE
from setaria.evaluation.hooks import hooked
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Setting


@dataclass(frozen=True)
class Reply:
    """What was said after a prompt; `tokens` were generated, the end of the text among them."""

    text: str
    tokens: int


def as_prompt(checkpoint: Checkpoint, turns: Sequence[str], chat: bool) -> str:
    """Prompt of a conversation whose turns are the user's and the model's by turns, the last one the user's.

    Without the chat template (`chat=False`) turns are paragraphs.
    """
    if not chat:
        return "\n\n".join(turns)
    messages = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return checkpoint.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def complete(
    checkpoint: Checkpoint, setting: Setting, prompts: Sequence[str], max_new_tokens: int, chat: bool
) -> list[Reply]:
    """Replies to prompts: at once, or one by one where drafts over a quantised cache ask for it.

    Args:
        chat: the prompts come from the chat template, which has put the special tokens in.
    """
    if NONE not in (setting.cache, setting.drafter) and len(prompts) > 1:
        return [reply for prompt in prompts for reply in complete(checkpoint, setting, [prompt], max_new_tokens, chat)]
    tokenizer = checkpoint.tokenizer
    inputs = tokenizer(
        list(prompts), padding=True, add_special_tokens=not chat, return_tensors="pt", return_token_type_ids=False
    ).to(checkpoint.device)
    with torch.no_grad(), hooked(checkpoint.model, setting):
        texts = checkpoint.model.generate(
            **inputs, do_sample=False, max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id
        )
    said = texts[:, inputs.input_ids.size(1) :]
    return [Reply(tokenizer.decode(row, skip_special_tokens=True), _length(row, tokenizer)) for row in said]


def _length(row: torch.Tensor, tokenizer) -> int:
    ended = (row == tokenizer.eos_token_id).nonzero()
    return int(ended[0]) + 1 if len(ended) else int((row != tokenizer.pad_token_id).sum())

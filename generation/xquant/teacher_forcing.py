"""Likelihoods through a quantised cache.

A plain forward over a text never reads a KV cache, so that likelihood tasks (lm-eval's `loglikelihood`, perplexity)
show nothing of its quantisation. Here the text is fed through the cache a few tokens at a time, as if it was being
decoded.
"""

from collections.abc import Iterator

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from setaria.generation.xquant.cache import XQuantCache
from setaria.generation.xquant.config import XQuantConfig


@torch.no_grad()
def teacher_forced_logits(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    cache: Cache,
    step: int = 1,
    attention_mask: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Feed `input_ids` `[batch, tokens]` through an empty `cache`, `step` tokens per forward.

    Args:
        attention_mask: `[batch, tokens]`, 0 at left padding.

    Yields:
        Logits `[batch, step, vocabulary]` of the next tokens, in the model's dtype; the last may be shorter.
    """
    positions = None if attention_mask is None else (attention_mask.cumsum(-1) - 1).clamp(min=0)
    for start in range(0, input_ids.size(1), step):
        stop = min(start + step, input_ids.size(1))
        yield model(
            input_ids[:, start:stop],
            attention_mask=None if attention_mask is None else attention_mask[:, :stop],
            position_ids=None if positions is None else positions[:, start:stop],
            past_key_values=cache,
            use_cache=True,
        ).logits


def teacher_forced_nll(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    config: XQuantConfig | str | None = None,
    step: int = 1,
    attention_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Negative log-likelihood in nats of every token but the first, read through an [`XQuantCache`].

    Args:
        input_ids: `[batch, tokens]`.
        config: settings, or the name of a preset.
        step: tokens per forward. With 1 every token sees what it would when decoded; more is faster, and sees up to
            `step - 1` more tokens in full precision.
        attention_mask: `[batch, tokens]`, 0 at left padding.

    Returns:
        float32 `[batch, tokens - 1]`; 0 for padding and for the first token of a row.
    """
    cache = XQuantCache(model.config, config, attention_mask, simulate=True)
    losses, seen = [], 0
    for logits in teacher_forced_logits(model, input_ids, cache, step, attention_mask):
        targets = input_ids[:, seen + 1 : seen + 1 + logits.size(1)]
        scores = logits[:, : targets.size(1)].float().transpose(1, 2)
        losses.append(torch.nn.functional.cross_entropy(scores, targets, reduction="none"))
        seen += logits.size(1)
    nll = torch.cat(losses, dim=1)
    return nll if attention_mask is None else nll * attention_mask[:, :-1]

"""Attention for rows that share a prompt: causal in front, masked behind.

The slots that are prompt in every row need no mask, only causality, which attention kernels exploit: half the work,
and no mask to read. So a block mask `[pairs, 1, masked, length]` covers the last `masked` queries only, and the
queries before it are causal. At prompt : completion lengths p : c that leaves p^2 / 2 + 2c(p + 2c) products of the
(p + 2c)^2 of a full mask. Any other mask is handled as transformers' sdpa does: the model evaluates and generates.
"""

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask


SHARED_PROMPT_ATTENTION = "sdpa_shared_prompt"


def use_shared_prompt_attention(policy: PreTrainedModel) -> None:
    """Switch the language model of `policy` from sdpa to `shared_prompt_attention`."""
    AttentionInterface.register(SHARED_PROMPT_ATTENTION, shared_prompt_attention)
    AttentionMaskInterface.register(SHARED_PROMPT_ATTENTION, sdpa_mask)
    policy.config.get_text_config()._attn_implementation = SHARED_PROMPT_ATTENTION


def shared_prompt_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface: query, key and value `[batch, heads, length, head_dim]`, the output
    `[batch, length, heads, head_dim]`."""
    causal = 0 if attention_mask is None else query.size(2) - attention_mask.size(2)
    if causal <= 0:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    prompt, _ = sdpa_attention_forward(
        module,
        *(states[:, :, :causal] for states in (query, key, value)),
        attention_mask=None,
        **{**kwargs, "is_causal": True},
    )
    rest, _ = sdpa_attention_forward(module, query[:, :, causal:], key, value, attention_mask, **kwargs)
    return torch.cat((prompt, rest), dim=1), None

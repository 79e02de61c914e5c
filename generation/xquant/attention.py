"""Attention over packed keys and values, in transformers' attention interface under the name `xquant`.

Prefill and everything that is not a quantised past goes to `sdpa`. Over a quantised past, a Triton kernel on CUDA and
chunked torch elsewhere read the codes in place: no key or value of the past is ever dense as a whole.
"""

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import is_triton_available

from setaria.generation.xquant.chunked_attention import chunked_attention
from setaria.generation.xquant.lazy_states import LazyStates
from setaria.generation.xquant.past import QuantizedPast


XQUANT_ATTENTION = "xquant"


def use_packed_attention(model: PreTrainedModel) -> None:
    """Switch the language model of `model` to `xquant_attention`. The mask is that of sdpa: padding counts."""
    AttentionInterface.register(XQUANT_ATTENTION, xquant_attention)
    AttentionMaskInterface.register(XQUANT_ATTENTION, sdpa_mask)
    model.config.get_text_config(decoder=True)._attn_implementation = XQUANT_ATTENTION


def xquant_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Transformers' attention interface: query `[batch, heads, queries, head_dim]`, key and value `[batch, kv_heads,
    slots, head_dim]`, the output `[batch, queries, heads, head_dim]`."""
    biased = kwargs.get("position_bias") is not None or kwargs.get("s_aux") is not None
    causal_without_mask = attention_mask is None and query.size(2) > 1
    if not isinstance(key, LazyStates) or not isinstance(value, LazyStates) or biased or causal_without_mask:
        key, value = (states.dense() if isinstance(states, LazyStates) else states for states in (key, value))
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    scaling = query.size(-1) ** -0.5 if scaling is None else scaling
    output = packed_attention(query, key.past, attention_mask, scaling, kwargs.get("softcap"))
    return output.transpose(1, 2).contiguous(), None


def packed_attention(
    query: torch.Tensor, past: QuantizedPast, mask: torch.Tensor | None, scaling: float, softcap: float | None = None
) -> torch.Tensor:
    """Attention over a quantised past, by the kernel for its device.

    Args:
        query: `[batch, heads, queries, head_dim]`; the heads of one key head are neighbours.
        mask: bool (True attends) or additive, `[batch or 1, 1, queries, slots]`; None attends to all.

    Returns:
        `[batch, heads, queries, head_dim]` in the dtype of `query`.
    """
    if query.is_cuda and is_triton_available():
        from setaria.generation.xquant.triton_attention import is_supported, triton_attention

        if is_supported(query, past):
            return triton_attention(query, past, mask, scaling, softcap)
    return chunked_attention(query, past, mask, scaling, softcap)

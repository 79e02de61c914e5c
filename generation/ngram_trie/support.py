"""Which calls of `generate` can be decoded with drafts, and which models can verify a tree of them."""

import inspect
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import BaseQuantizedLayer, Cache, EncoderDecoderCache, StaticCache
from transformers.generation import GenerationMode

from setaria.generation.ngram_trie.call import GenerateCall
from setaria.generation.ngram_trie.staging import can_stage


# Attention implementations that take a mask of who attends to whom.
MASKED_ATTENTION = ("eager", "sdpa", "xquant")


def check_call(call: GenerateCall) -> None:
    """Raise `ValueError`, naming the remedy, for what drafts do not go with."""
    config = call.generation_config
    mode = config.get_generation_mode()
    cache = call.model_kwargs.get("past_key_values")
    outside = "or call generate outside of the context"
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        raise ValueError(
            f"ngram_trie(): generation mode {mode.value!r}; drafts go with greedy search and sampling. Leave "
            f"num_beams, prompt_lookup_num_tokens and the like unset, {outside}"
        )
    if not call.model_kwargs.get("use_cache") or cache is None:
        raise ValueError(f"ngram_trie(): drafts are verified against a cache; leave use_cache on, {outside}")
    if not isinstance(cache, Cache) or isinstance(cache, StaticCache) or cache.is_compileable:
        raise ValueError(
            f"ngram_trie(): a {type(cache).__name__} has a fixed size; leave cache_implementation unset, or use a "
            "DynamicCache, an XQuantCache or a QuantizedCache"
        )
    if _decoded(cache).offloading:
        raise ValueError("ngram_trie(): offloaded caches cannot stage drafts; use a DynamicCache or an XQuantCache")
    if config.return_dict_in_generate and (config.output_attentions or config.output_hidden_states):
        raise ValueError(
            f"ngram_trie(): attentions and hidden states are not collected; leave them off, {outside}; scores and "
            "logits are"
        )
    if call.streamer is not None and call.rows > 1:
        raise ValueError("ngram_trie(): the rows of a batch advance at their own pace; stream one prompt at a time")


def takes_trees(model: PreTrainedModel, model_kwargs: dict[str, Any]) -> bool:
    """Whether the model can verify a tree of drafts, and rows of a batch that grow at their own pace."""
    text = model.config.get_text_config(decoder=True)
    return (
        not model.config.is_encoder_decoder
        and text._attn_implementation in MASKED_ATTENTION
        and not getattr(text, "alibi", False)  # biases by slot, not by position
        and not model.is_remote_code()
        and "position_ids" in inspect.signature(model.forward).parameters
        and isinstance(model_kwargs.get("position_ids"), torch.Tensor)
        and can_stage(model_kwargs["past_key_values"], model.config)
    )


def check_linear(model: PreTrainedModel, cache: Cache, rows: int) -> None:
    """Raise `ValueError` where linear drafts do not work either."""
    attention = model.config.get_text_config(decoder=True)._attn_implementation
    name = f"{type(model).__name__} with {attention} attention and a {type(cache).__name__}"
    quantized = any(isinstance(layer, BaseQuantizedLayer) for layer in _decoded(cache).layers)
    if model._is_stateful or not cache.is_croppable or quantized:
        raise ValueError(
            f"ngram_trie(): {name} cannot take drafts back; use attn_implementation='sdpa' and a DynamicCache, or "
            "generate outside of the context"
        )
    if rows > 1:
        other = "" if attention in MASKED_ATTENTION else ", or use attn_implementation='sdpa'"
        raise ValueError(
            f"ngram_trie(): {name} is decoded by transformers' assisted loop, one row at a time; generate one prompt "
            f"at a time{other}"
        )


def _decoded(cache: Cache) -> Cache:
    """The cache of the tokens that are decoded."""
    return cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache

"""`with xquant(model, config):` everything that ends in `model.generate` uses a quantised cache.

The hook replaces methods of one model instance and its attention implementation, and puts them back. It thus reaches
pipelines, PEFT models, TRL's rollouts and lm-eval's generation tasks, which all call `generate` of that instance.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accelerate.utils import extract_model_from_parallel
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from setaria.generation.xquant.attention import use_packed_attention
from setaria.generation.xquant.cache import XQuantCache, check_model
from setaria.generation.xquant.config import XQuantConfig
from setaria.generation.xquant.drafts import align_drafts


logger = logging.get_logger(__name__)

# cache_implementation values of generate that the hook can stand in for.
REPLACED_CACHES = (None, "dynamic", "offloaded")


@dataclass
class XQuantHook:
    """What `xquant` yields; `cache` is the cache of the last `generate` call, for its `memory()`."""

    cache: XQuantCache | None = None


@contextmanager
def xquant(model: nn.Module, config: XQuantConfig | str | None = None) -> Iterator[XQuantHook]:
    """Quantise the KV cache of every `model.generate` inside the context.

    A call with its own `past_key_values`, or with `use_cache=False`, is left alone. Models on sdpa or FlashAttention
    attend to packed codes in place; models on eager attention, and those with soft-capped logits, to dequantised
    states. Left padding is known from the attention mask, and prompt lookup or an assistant drafts no further than the
    next token that is quantised, so that the text is that of decoding without drafts.

    Args:
        model: a transformers model, also wrapped by PEFT, DDP or `torch.compile`.
        config: settings, or the name of a preset.

    Raises:
        ValueError: for a model, an adapter or a `cache_implementation` that does not go with it.
    """
    config = XQuantConfig.of(config)
    base = _base_model(model)
    check_model(base.config)
    config.resolve(base.config.get_text_config(decoder=True).num_hidden_layers)
    hook = XQuantHook()
    prepare_default_cache = base._prepare_cache_for_generation
    candidate_generator = base._get_candidate_generator

    def prepare_cache(generation_config, model_kwargs, *args, **kwargs):
        hook.cache = None  # the last call's, before this one needs the memory
        if model_kwargs.get("past_key_values") is not None or generation_config.use_cache is False:
            return prepare_default_cache(generation_config, model_kwargs, *args, **kwargs)
        if generation_config.cache_implementation not in REPLACED_CACHES:
            raise ValueError(
                f"cache_implementation={generation_config.cache_implementation!r} cannot be used inside xquant(): "
                "leave it unset, or call generate outside of the context"
            )
        if base.training:
            logger.warning_once(
                "XQuant: generating with a model in training mode. A quantised cache makes rollouts off-policy: the "
                "policy's log-probabilities are not those that the tokens were sampled with."
            )
        hook.cache = XQuantCache(
            base.config,
            config,
            attention_mask=model_kwargs.get("attention_mask"),
            offloading=generation_config.cache_implementation == "offloaded",
        )
        if generation_config.is_assistant:
            hook.cache.activate_past_recording()
        model_kwargs["past_key_values"] = hook.cache

    def align_candidates(*args, **kwargs):
        candidates = candidate_generator(*args, **kwargs)
        if isinstance(cache := kwargs["model_kwargs"]["past_key_values"], XQuantCache):
            align_drafts(candidates, cache)
        return candidates

    replaced = {"_prepare_cache_for_generation": prepare_cache, "_get_candidate_generator": align_candidates}
    outer = {name: vars(base)[name] for name in replaced if name in vars(base)}
    text_config = base.config.get_text_config(decoder=True)
    attention = text_config._attn_implementation
    try:
        vars(base).update(replaced)
        if _can_attend_packed(text_config):
            use_packed_attention(base)
        yield hook
    finally:
        hook.cache = None
        text_config._attn_implementation = attention
        for name in replaced:
            del vars(base)[name]
        vars(base).update(outer)


def _base_model(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside wrappers."""
    base = extract_model_from_parallel(model, keep_torch_compile=False)
    adapters = getattr(base, "peft_config", {})
    if any(getattr(adapter, "peft_type", None) == "PREFIX_TUNING" for adapter in adapters.values()):
        raise ValueError(
            "xquant(): prefix tuning brings a cache of its own, which is not quantised; merge or drop the adapter"
        )
    base = base.get_base_model() if hasattr(base, "get_base_model") else base
    if not isinstance(base, PreTrainedModel) or not base.can_generate():
        raise ValueError(f"xquant(): {type(model).__name__} is no transformers model that can generate")
    return base


def _can_attend_packed(text_config: PreTrainedConfig) -> bool:
    implementation = text_config._attn_implementation or ""
    takes_mask = implementation == "sdpa" or implementation.startswith("flash_attention")
    return takes_mask and getattr(text_config, "attn_logit_softcapping", None) is None

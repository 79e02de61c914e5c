"""`with ngram_trie(model):` everything that ends in `model.generate` drafts from its context and gives the same text.

The hook replaces methods of one model instance and puts them back. It thus reaches pipelines, PEFT models, TRL's
rollouts and lm-eval's generation tasks, which all call `generate` of that instance.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from transformers import PreTrainedModel
from transformers.distributed.fsdp import is_fsdp_managed_module
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.custom_generate import NGramTrieGenerate
from setaria.generation.ngram_trie.override import override
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.store import TrieStore


@contextmanager
def ngram_trie(
    model: nn.Module, config: NGramTrieConfig | None = None, store: TrieStore | None = None
) -> Iterator[DecodingStats]:
    """Speculative decoding with drafts from the context, for every `model.generate` inside the context.

    Greedy and sampled decoding, batches, several return sequences, logits processors, stopping criteria, stop strings
    and streamers work as without it. In float32 texts are equal, token by token; sampled ones at batch size 1, and in
    distribution beyond. In half precision a forward over several tokens rounds otherwise than one over a single one,
    so that ties may fall differently; see `check_lossless`.

    Args:
        model: a transformers model, also wrapped by PEFT, DDP or `torch.compile`.
        store: drafts from, and adds to, what earlier calls have generated.

    Yields:
        Statistics over the calls inside the context.

    Raises:
        ValueError: for a model or a store that does not go with it; by `generate`, before it starts, for a call that
            does not: beams, an assistant model, a static cache.
    """
    base = _base_model(model)
    vocabulary = base.config.get_text_config(decoder=True).vocab_size
    if store is not None and store.vocabulary > vocabulary:
        raise ValueError(
            f"ngram_trie(): the store's tokenizer has {store.vocabulary} tokens, the model {vocabulary}; make a "
            "TrieStore with the model's tokenizer"
        )
    method = NGramTrieGenerate(config, store)
    plain_generate, signature = base.generate, inspect.signature(base.generate)
    plain_criteria = base._get_stopping_criteria

    @wraps(plain_generate)
    def generate(*args, **kwargs):
        call = signature.bind(*args, **kwargs)
        given = {**call.arguments, **call.arguments.get("kwargs", {})}
        if given.get("custom_generate") is not None:
            return plain_generate(*args, **kwargs)
        if given.get("assistant_model") is not None:
            raise ValueError("ngram_trie(): drafts come from the context; leave assistant_model out")
        tokenizer = given.get("tokenizer")
        if store is not None and tokenizer is not None:
            store.check(tokenizer)

        # With a custom method, generate forgets the tokenizer of the stop strings, streamer and synced_gpus.
        def criteria(**prepared):
            return plain_criteria(**{**prepared, "tokenizer": tokenizer})

        synced = given.get("synced_gpus")
        call.arguments["custom_generate"] = partial(
            method,
            streamer=given.get("streamer"),
            synced_gpus=_processes_must_keep_step(base) if synced is None else synced,
        )
        with override(base, _get_stopping_criteria=criteria):
            return plain_generate(*call.args, **call.kwargs)

    with override(base, generate=generate):
        yield method.stats


def _base_model(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside wrappers."""
    base = extract_model_from_parallel(model, keep_torch_compile=False)
    adapters = getattr(base, "peft_config", {})
    if any(getattr(adapter, "is_prompt_learning", False) for adapter in adapters.values()):
        raise ValueError(
            "ngram_trie(): prompt learning puts virtual tokens before the prompt, at positions unknown here; merge or "
            "drop the adapter"
        )
    base = base.get_base_model() if hasattr(base, "get_base_model") else base
    if not isinstance(base, PreTrainedModel) or not base.can_generate():
        raise ValueError(f"ngram_trie(): {type(model).__name__} is no transformers model that can generate")
    return base


def _processes_must_keep_step(model: PreTrainedModel) -> bool:
    """Whether a forward needs all processes, as `generate` decides it."""
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not is_distributed or torch.distributed.get_world_size() == 1:
        return False
    return is_deepspeed_zero3_enabled() or is_fsdp_managed_module(model)

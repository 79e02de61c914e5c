"""What is hooked into a model while a setting of the grid is measured."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from setaria.evaluation.config import NONE
from setaria.evaluation.scores import Setting
from setaria.generation import XQuantCache, XQuantConfig, ngram_trie, xquant


COUNTED_TOKENS = 256  # beyond those that a preset keeps exact


@contextmanager
def hooked(model: nn.Module, setting: Setting) -> Iterator[None]:
    """Every `model.generate` inside uses the setting's cache and drafter."""
    with ExitStack() as stack:
        if setting.cache != NONE:
            stack.enter_context(xquant(model, setting.cache))
        if setting.drafter != NONE:
            stack.enter_context(ngram_trie(model))
        yield


@torch.no_grad()
def stored_bits(model: nn.Module, cache: str) -> float | None:
    """True bits per quantised number of a cache, metadata included, counted on random tokens; `None` for models that
    cannot read as many as it takes to quantise any."""
    config = model.config.get_text_config()
    length = XQuantConfig.preset(cache).residual_length + COUNTED_TOKENS
    length = min(length, getattr(config, "max_position_embeddings", None) or length)
    tokens = torch.randint(config.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))
    filled = XQuantCache(model.config, cache)
    model(tokens.to(model.get_input_embeddings().weight.device), past_key_values=filled, use_cache=True)
    return filled.memory().stored_bits or None

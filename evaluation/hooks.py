"""What is hooked into a model while a setting of the grid is measured."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from setaria.evaluation.config import NONE
from setaria.evaluation.scores import Setting
from setaria.generation import XQuantCache, ngram_trie, xquant
from setaria.generation.xquant.hook import XQuantHook


@contextmanager
def hooked(model: nn.Module, setting: Setting) -> Iterator[XQuantHook]:
    """Every `model.generate` inside uses the setting's cache and drafter; yields what holds the quantised cache."""
    with ExitStack() as stack:
        quantised = XQuantHook()
        if setting.cache != NONE:
            quantised = stack.enter_context(xquant(model, setting.cache))
        if setting.drafter != NONE:
            stack.enter_context(ngram_trie(model))
        yield quantised


def counted_bits(cache: XQuantCache | None) -> dict[str, float]:
    """`true_bits` of a cache, as items keep them in `extra`; nothing if it has quantised nothing."""
    bits = 0.0 if cache is None else cache.memory().stored_bits
    return {"true_bits": bits} if bits else {}

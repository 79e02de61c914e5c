"""What is hooked into a model while a setting of the grid is measured."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from setaria.evaluation.config import NONE
from setaria.evaluation.scores import Setting
from setaria.generation import ngram_trie, xquant


@contextmanager
def hooked(model: nn.Module, setting: Setting) -> Iterator[None]:
    """Every `model.generate` inside uses the setting's cache and drafter."""
    with ExitStack() as stack:
        if setting.cache != NONE:
            stack.enter_context(xquant(model, setting.cache))
        if setting.drafter != NONE:
            stack.enter_context(ngram_trie(model))
        yield

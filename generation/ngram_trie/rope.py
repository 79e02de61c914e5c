"""Rotary embeddings whose frequencies depend on how long the text is.

`dynamic` changes them at every token beyond the model's context. A draft there would be seen with the frequencies of
its end, where plain decoding uses those of each token. `longrope` changes them once, when a text outgrows the original
context, and models then compute their cache anew.
"""

import sys
from collections.abc import Iterator

from transformers import PreTrainedConfig


def check_lengths(text_config: PreTrainedConfig, prompt: int, max_length: int) -> None:
    """Raise `ValueError` if a text of `prompt` tokens may outgrow the context at which frequencies change."""
    for parameters in _rope_parameters(text_config):
        if parameters["rope_type"] == "longrope":
            context = parameters["original_max_position_embeddings"]
            if prompt <= context < max_length:
                raise ValueError(
                    f"ngram_trie(): this model's rotary embeddings change beyond {context} tokens, where its cache is "
                    f"computed anew; keep prompt and new tokens within {context}, or generate outside of the context"
                )


def draft_room(text_config: PreTrainedConfig, length: int) -> int:
    """How many tokens behind the first `length` are seen with the same frequencies, whatever is drafted."""
    if any("dynamic" in parameters["rope_type"] for parameters in _rope_parameters(text_config)):
        return max(text_config.max_position_embeddings - length, 0)
    return sys.maxsize


def _rope_parameters(text_config: PreTrainedConfig) -> Iterator[dict]:
    """Of the model, or of each of its layer types."""
    parameters = getattr(text_config, "rope_parameters", None) or {}
    yield from (
        candidate
        for candidate in (parameters, *parameters.values())
        if isinstance(candidate, dict) and "rope_type" in candidate
    )

"""Inputs and comparisons for tests of n-gram trie decoding."""

import torch
from tiny_families import tokens

from setaria.generation import NGramTrieConfig, ngram_trie


# Drafts whatever is there: what a cost model would skip is tested too.
EAGER = NGramTrieConfig(width="fixed", budget=8, min_probability=1e-4)


def left_padded(rows: int, length: int = 21, seed: int = 3) -> dict[str, torch.Tensor]:
    """Prompts of `rows` different lengths, the longest `length`."""
    ids, mask = tokens(rows, length, seed), torch.ones(rows, length, dtype=torch.long)
    for row in range(rows):
        mask[row, : 2 * row] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def both(model, inputs, config=EAGER, store=None, **options):
    """What `generate` gives without and with drafts, and the statistics of the latter."""
    options = {"pad_token_id": 0, "do_sample": False, **options}
    torch.manual_seed(0)
    plain = model.generate(**inputs, **options)
    with ngram_trie(model, config, store) as stats:
        torch.manual_seed(0)
        drafted = model.generate(**inputs, **options)
    return plain, drafted, stats

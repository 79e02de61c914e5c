"""Evaluation-time generation hooks: context managers and caches around `generate`, without training code.

Imported at once, not on demand: `xquant` and `ngram_trie` name folders here and the context managers in them, and the
latter are meant.
"""

from setaria.generation.ngram_trie import NGramTrieConfig, ngram_trie
from setaria.generation.xquant import XQuantCache, XQuantConfig, xquant


__all__ = ["NGramTrieConfig", "XQuantCache", "XQuantConfig", "ngram_trie", "xquant"]

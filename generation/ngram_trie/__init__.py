"""N-gram trie speculative decoding (EMNLP 2025): lossless drafts from the context."""

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.custom_generate import NGramTrieGenerate
from setaria.generation.ngram_trie.hook import ngram_trie
from setaria.generation.ngram_trie.lossless import Difference, LosslessReport, check_lossless
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.store import TrieStore


__all__ = [
    "DecodingStats",
    "Difference",
    "LosslessReport",
    "NGramTrieConfig",
    "NGramTrieGenerate",
    "TrieStore",
    "check_lossless",
    "ngram_trie",
]

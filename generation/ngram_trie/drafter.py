"""What decoding and replay need of someone who drafts for a row."""

from collections.abc import Iterable
from typing import Protocol

from setaria.generation.ngram_trie.tree import DraftTree


class Drafter(Protocol):
    """Knows the tokens of one row."""

    def propose(self, budget: int, max_depth: int, least: float) -> DraftTree:
        """What may follow: at most `budget` nodes, at most `max_depth` deep, of at least probability `least`."""

    def extend(self, tokens: Iterable[int]) -> None:
        """`tokens` have followed."""

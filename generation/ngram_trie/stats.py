"""What drafting did: tokens per forward, nodes verified, and where the time went."""

from dataclasses import dataclass, field

from rich.table import Table

from setaria.generation.ngram_trie.tree import DraftTree
from setaria.generation.ngram_trie.trie import NGramTrie


@dataclass
class DecodingStats:
    """Sums over `generate` calls.

    Attributes:
        calls: of `generate`.
        tokens: generated, the first one of each row, which the prompt's forward gives, left out.
        forwards: after the prompt's, counted for every row that took part; so plain decoding has one per token.
        drafted: draft nodes verified.
        accepted: of these, accepted ones.
        hits: forwards that accepted at least one.
        prefill_seconds: forward over the prompt and building the trie.
        draft_seconds, verify_seconds: drafting, and the forwards that verify.
        decode_seconds: everything after the prompt's forward.
        modelled_plain_seconds: of plain decoding of the same tokens, from the forwards seen.
        tries: that the last call drafted from.
    """

    calls: int = 0
    tokens: int = 0
    forwards: int = 0
    drafted: int = 0
    accepted: int = 0
    hits: int = 0
    prefill_seconds: float = 0.0
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0
    decode_seconds: float = 0.0
    modelled_plain_seconds: float = 0.0
    tries: list[NGramTrie] = field(default_factory=list, repr=False)

    def count(self, paths: list[list[int]], trees: list[DraftTree], drafting: float, verifying: float) -> None:
        """One forward of a batch: the path that each row went along its tree, the root first."""
        for path, tree in zip(paths, trees, strict=True):
            if path:
                self.forwards += 1
                self.tokens += len(path)
                self.drafted += len(tree)
                self.accepted += len(path) - 1
                self.hits += len(path) > 1
        self.draft_seconds += drafting
        self.verify_seconds += verifying

    @property
    def tokens_per_forward(self) -> float:
        return self.tokens / self.forwards if self.forwards else 0.0

    @property
    def nodes_per_forward(self) -> float:
        return self.drafted / self.forwards if self.forwards else 0.0

    @property
    def hit_rate(self) -> float:
        return self.hits / self.forwards if self.forwards else 0.0

    @property
    def modelled_speedup(self) -> float:
        """Time of as many plain forwards as tokens, at the speed seen here, over the time taken."""
        return self.modelled_plain_seconds / self.decode_seconds if self.decode_seconds else 0.0

    @property
    def trie_tokens(self) -> int:
        """Tokens in the tries that the last call drafted from."""
        return sum(trie.tokens for trie in self.tries)

    @property
    def trie_bytes(self) -> int:
        """Memory of these tries, found by walking them."""
        return sum(trie.memory_bytes() for trie in self.tries)

    def table(self) -> Table:
        """For `rich.print`."""
        table = Table("n-gram trie decoding", "")
        for name, value in (
            ("generate calls", f"{self.calls}"),
            ("tokens", f"{self.tokens}"),
            ("forwards", f"{self.forwards}"),
            ("tokens per forward", f"{self.tokens_per_forward:.2f}"),
            ("draft nodes per forward", f"{self.nodes_per_forward:.1f}"),
            ("hit rate", f"{self.hit_rate:.0%}"),
            ("prompt, ms", f"{1000 * self.prefill_seconds:.0f}"),
            ("drafting, ms", f"{1000 * self.draft_seconds:.0f}"),
            ("verifying, ms", f"{1000 * self.verify_seconds:.0f}"),
            ("decoding in all, ms", f"{1000 * self.decode_seconds:.0f}"),
            ("trie, tokens", f"{self.trie_tokens}"),
            ("trie, kB", f"{self.trie_bytes / 1000:.0f}"),
            ("modelled speed-up", f"{self.modelled_speedup:.2f}"),
        ):
            table.add_row(name, value)
        return table

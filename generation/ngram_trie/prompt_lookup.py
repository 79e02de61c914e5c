"""Prompt lookup (Saxena, 2023), the baseline: what followed the earliest occurrence of the last tokens."""

from collections.abc import Iterable, Sequence

from setaria.generation.ngram_trie.tree import DraftTree


class PromptLookupDrafter:
    """Drafts the tokens behind the earliest earlier occurrence of the last 3 tokens, else 2, else 1.

    As in the released code of prompt lookup, an occurrence counts only if as many tokens as are drafted follow it.

    Args:
        prompt: token ids.
    """

    LONGEST = 3

    def __init__(self, prompt: Sequence[int]):
        self.text: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}  # behind the first occurrence of an n-gram
        self.extend(prompt)

    def extend(self, tokens: Iterable[int]) -> None:
        """`tokens` have followed."""
        for token in tokens:
            self.text.append(token)
            end = len(self.text)
            for length in range(1, min(self.LONGEST, end) + 1):
                self._ends.setdefault(tuple(self.text[end - length :]), end)

    def propose(self, budget: int, max_depth: int, least: float = 0.0) -> DraftTree:
        """`budget` tokens, or none."""
        tree = DraftTree()
        for length in range(min(self.LONGEST, len(self.text)), 0, -1):
            first = self._ends[tuple(self.text[len(self.text) - length :])]
            if first + budget <= len(self.text):
                for depth, token in enumerate(self.text[first : first + min(budget, max_depth)]):
                    tree.add(depth, token, 1.0)
                break
        return tree

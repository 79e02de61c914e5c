"""The paper's n-gram trie: suffixes of the prompt's n-grams under their prefixes, most frequent first.

Every n-gram of n = 13 tokens of the prompt is split in a prefix of 3 tokens and a suffix of 10. A suffix can be found
by the last 1, 2 or 3 tokens of its prefix, and the longest that occurs wins. Of the suffixes found, the token paths
with the highest counts are kept, exactly as many as the budget allows. Generated tokens are not counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from setaria.generation.ngram_trie.tree import DraftTree


PREFIX = 3
SUFFIX = 10


class PaperDrafter:
    """Drafts of one row by the paper's algorithm.

    Args:
        prompt: token ids.
        linear: draft the most frequent path alone.
    """

    def __init__(self, prompt: Sequence[int], linear: bool = False):
        self.linear = linear
        self.suffixes: dict[tuple[int, ...], Counter[tuple[int, ...]]] = defaultdict(Counter)
        self.recent: tuple[int, ...] = tuple(prompt[-PREFIX:])
        for start in range(len(prompt) - 1):
            # The first n-grams of a text have shorter prefixes, the last ones shorter suffixes.
            behind = tuple(prompt[start + 1 : start + 1 + SUFFIX])
            for length in range(1, PREFIX + 1):
                if length <= start + 1:
                    self.suffixes[tuple(prompt[start + 1 - length : start + 1])][behind] += 1

    def extend(self, tokens: Iterable[int]) -> None:
        """`tokens` have followed; they only say where to look."""
        self.recent = (*self.recent, *tokens)[-PREFIX:]

    def propose(self, budget: int, max_depth: int, least: float = 0.0) -> DraftTree:
        """The `budget` most frequent paths under the longest prefix that occurs."""
        tree = DraftTree()
        for length in range(min(PREFIX, len(self.recent)), 0, -1):
            found = self.suffixes.get(self.recent[-length:])
            if found:
                break
        else:
            return tree
        counts: Counter[tuple[int, ...]] = Counter()
        for suffix, count in found.items():
            for depth in range(1, min(len(suffix), max_depth) + 1):
                counts[suffix[:depth]] += count
        total = sum(found.values())
        nodes: dict[tuple[int, ...], int] = {(): 0}
        last: tuple[int, ...] = ()
        for path, count in sorted(counts.items(), key=lambda item: (-item[1], len(item[0]))):
            if len(tree) == budget:
                break
            if not self.linear or path[:-1] == last:
                nodes[path] = tree.add(nodes[path[:-1]], path[-1], count / total)
                last = path
        return tree

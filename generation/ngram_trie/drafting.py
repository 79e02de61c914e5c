"""Drafts for all rows of a batch, as wide as it pays to verify."""

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.cost import VerifyCost
from setaria.generation.ngram_trie.drafter import Drafter
from setaria.generation.ngram_trie.tree import DraftTree


FIRST_BUDGET = 16  # of a request; from then on, drafts look somewhat further than what paid last


class Drafting:
    """Drafters of the rows, and the decision how many of their nodes are verified.

    Args:
        drafters: of each row.
        cost: of forwards for this model and number of rows; learnt on the way.
    """

    def __init__(self, drafters: list[Drafter], config: NGramTrieConfig, cost: VerifyCost):
        self.drafters, self.config, self.cost = drafters, config, cost
        self.budget = min(config.budget, FIRST_BUDGET) if config.width == "cost" else config.budget

    def propose(self, room: list[int]) -> list[DraftTree]:
        """A tree per row, at most `room[row]` deep; an empty one where there is no room."""
        least = self.cost.least_probability(self.config)
        trees = [
            drafter.propose(self.budget, min(depth, self.config.max_depth), least) if depth > 0 else DraftTree()
            for drafter, depth in zip(self.drafters, room, strict=True)
        ]
        if self.config.width == "cost":
            width = self.cost.best_width(
                [tree.probabilities for tree, depth in zip(trees, room, strict=True) if depth >= 0]
            )
            for tree in trees:
                tree.truncate(width)
            self.budget = min(self.config.budget, 2 * width + FIRST_BUDGET // 2)
        return trees

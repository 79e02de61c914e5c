"""Draft trees from a trie's counts: which tokens may come next, and how probable it is that each is accepted.

The distribution at a node blends its contexts from the longest to the empty one. Each passes on to the next shorter
one the probability that a token follows which has not followed it before, its escape. A context of order k with n
occurrences and d successors escapes with odds

    4 / ((k + 1) n)  if d = 1,    1.5 d / n  else,

times a scale that is learnt while decoding, since texts differ much in how far they repeat themselves. Shorter
contexts with the same occurrences say nothing new and are left out. Behind the last escape come the most frequent
tokens of the text. All of it is our choice; constants were fitted on half of the questions in docs/results.md.
"""

import heapq
import math
from collections.abc import Iterable
from operator import itemgetter

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.tree import DraftTree
from setaria.generation.ngram_trie.trie import Context, Node, TrieSequence


SINGLE, BRANCHED = 4.0, 1.5
# The log of the scale is a leaky sum of (an escape seen - its probability).
STEP, LEAK = 0.1, 0.99
FREQUENT = 1 / 128  # share of the text above which a token is drafted where every context fails


class TrieDrafter:
    """Drafts for one row from its prompt and, with `learn_generated`, from what it has generated.

    Args:
        prompt: the row's prompt in a trie.
        linear: draft a single continuation.
    """

    def __init__(self, prompt: TrieSequence, config: NGramTrieConfig, linear: bool = False):
        self.trie = prompt.trie
        self.sequence = prompt.fork()
        self.contexts: list[Context] = list(self.sequence.contexts)
        self.learns, self.linear = config.learn_generated, linear
        self.log_scale, self.scale = 0.0, 1.0
        self.frequent: list[tuple[float, int]] = []  # share of the text and token, most frequent first
        self._find_frequent(self.trie.root)

    def extend(self, tokens: Iterable[int]) -> None:
        """Learn `tokens`, and from each how far the contexts before it could be trusted."""
        tokens = list(tokens)
        for token in tokens:
            self._learn_scale(token)
            if self.learns:
                self.sequence.extend((token,))
                self.contexts = list(self.sequence.contexts)
            else:
                self.contexts = self.trie.descend(self.contexts, token)
        if self.learns:
            self._find_frequent({token for _, token in self.frequent}.union(tokens))

    def propose(self, budget: int, max_depth: int, least: float) -> DraftTree:
        """The most probable nodes, most probable first."""
        tree = DraftTree()
        waiting: list[tuple[float, int, int, int, int, list[Context]]] = []
        node, depth, probability, contexts = 0, 0, 1.0, self.contexts
        pushed = 0
        while True:
            if depth < max_depth:
                following: Iterable[tuple[int, float]] = self.predict(contexts, least / probability).items()
                if self.linear:
                    following = heapq.nlargest(1, following, key=itemgetter(1))
                for token, edge in following:
                    if probability * edge >= least:
                        heapq.heappush(waiting, (-probability * edge, pushed, node, depth + 1, token, contexts))
                        pushed += 1
            if not waiting or len(tree) == budget:
                return tree
            negative, _, parent, depth, token, contexts = heapq.heappop(waiting)
            probability = -negative
            node = tree.add(parent, token, probability)
            if depth < max_depth:
                contexts = self.trie.descend(contexts, token)

    def predict(self, contexts: list[Context], least: float) -> dict[int, float]:
        """Probabilities of the next tokens after `contexts`; tokens below `least` may be missing."""
        remaining, seen = 1.0, 0
        probabilities: dict[int, float] = {}
        for order in range(len(contexts) - 1, 0, -1):
            context = contexts[order]
            if isinstance(context, Node):
                total, distinct = context.total, len(context)
                if total == seen:
                    continue  # the very occurrences of the longer context
                escape = self._escape(order, total, distinct)
                weight = remaining * (1 - escape) / total
                for token, successor in context.common():
                    visits = successor.visits if isinstance(successor, Node) else 1
                    probabilities[token] = probabilities.get(token, 0.0) + weight * visits
            else:
                only = None if seen else self.trie.token_at(context)
                if only is None:
                    continue
                total, escape = 1, self._escape(order, 1, 1)
                probabilities[only] = 1 - escape
            seen = total
            remaining *= escape
            if remaining < least:
                return probabilities
        for share, token in self.frequent:
            if remaining * share < least and token not in probabilities:
                break
            probabilities[token] = probabilities.get(token, 0.0) + remaining * share
        return probabilities

    def _escape(self, order: int, total: int, distinct: int) -> float:
        odds = self.scale * (SINGLE / (order + 1) if distinct == 1 else BRANCHED * distinct)
        return odds / (odds + total)

    def _learn_scale(self, token: int) -> None:
        seen = 0
        for order in range(len(self.contexts) - 1, 0, -1):
            context = self.contexts[order]
            if isinstance(context, Node):
                total, distinct, escaped = context.total, len(context), token not in context
            else:
                only = self.trie.token_at(context)
                total, distinct, escaped = int(only is not None), 1, only != token
            if total == seen:
                continue
            seen = total
            self.log_scale = LEAK * self.log_scale + STEP * (escaped - self._escape(order, total, distinct))
            self.scale = math.exp(self.log_scale)
            if not escaped:
                return

    def _find_frequent(self, candidates: Iterable[int]) -> None:
        root = self.trie.root
        shares = []
        for token in candidates:
            successor = root.get(token)
            if isinstance(successor, Node) and successor.visits >= FREQUENT * root.total:
                shares.append((successor.visits / root.total, token))
        self.frequent = sorted(shares, reverse=True)

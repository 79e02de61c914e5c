"""Counts of what followed every context of up to `max_order` tokens, built while the text grows.

A trie of n-grams: the node of a context maps each token that has followed it to the node of the context one token
longer. A context that has occurred once needs no node, since the text itself says how it went on: its parent holds
the position behind it, and the node is made at the second occurrence. A token thus costs one step per context that it
continues and that has occurred before, which is few in new text and at most `max_order` in a copy.
"""

import heapq
import sys
from collections.abc import Iterable


# A position is the number of a sequence and an offset in it, in one integer.
OFFSET_BITS = 32
OFFSET_MASK = (1 << OFFSET_BITS) - 1
COMMON = 64  # successors of a large node that are drafted from


class Node(dict):
    """Successors of a context that has occurred at least twice: token -> `Node`, or position behind the only one.

    Attributes:
        visits: how often the context has occurred.
        total: of these, how often a token followed; the sum of the visits of the successors.
    """

    __slots__ = ("_common", "_common_total", "total", "visits")

    def __init__(self, visits: int):
        self.visits = visits
        self.total = 0
        self._common: Iterable[tuple[int, Context]] = ()
        self._common_total = 0

    def common(self) -> Iterable[tuple[int, "Context"]]:
        """All successors of a small node; of a large one the `COMMON` most frequent, or what these were when it had a
        tenth fewer: looking at thousands would make drafting slow in long texts."""
        if len(self) <= COMMON:
            return self.items()
        if self.total > 1.1 * self._common_total:
            self._common = heapq.nlargest(COMMON, self.items(), key=_visits)
            self._common_total = self.total
        return self._common


Context = Node | int  # a node, or for a context that has occurred once the position behind it


def _visits(item: tuple[int, Context]) -> int:
    successor = item[1]
    return successor.visits if isinstance(successor, Node) else 1


class NGramTrie:
    """Contexts of up to `max_order` tokens of any number of sequences, which may grow in turns."""

    def __init__(self, max_order: int):
        self.max_order = max_order
        self.root = Node(visits=0)
        self.sequences: list[TrieSequence] = []
        self.nodes = 1

    def sequence(self, tokens: Iterable[int] = ()) -> "TrieSequence":
        """A new sequence; contexts do not reach over its beginning."""
        sequence = TrieSequence(self)
        sequence.extend(tokens)
        return sequence

    def token_at(self, position: int) -> int | None:
        """The token at `position`, None where the sequence ends there."""
        text = self.sequences[position >> OFFSET_BITS].text
        offset = position & OFFSET_MASK
        return text[offset] if offset < len(text) else None

    def descend(self, contexts: list[Context], token: int) -> list[Context]:
        """The contexts after `token`, given those before it, shortest first: the empty one and each one longer."""
        longer: list[Context] = [self.root]
        for context in contexts[: self.max_order]:
            if isinstance(context, Node):
                successor = context.get(token)
            else:
                successor = context + 1 if self.token_at(context) == token else None
            if successor is None:
                break  # what has not followed a context has not followed a longer one
            longer.append(successor)
        return longer

    @property
    def tokens(self) -> int:
        return sum(len(sequence.text) for sequence in self.sequences)

    def memory_bytes(self) -> int:
        """Bytes of nodes and texts, found by walking them."""
        size, nodes = 0, [self.root]
        while nodes:
            node = nodes.pop()
            size += sys.getsizeof(node) + sum(map(sys.getsizeof, node._common))
            for successor in node.values():
                if isinstance(successor, Node):
                    nodes.append(successor)
                else:
                    size += sys.getsizeof(successor)
        return size + sum(sys.getsizeof(sequence.text) for sequence in self.sequences)


class TrieSequence:
    """One growing text of a trie.

    Attributes:
        text: token ids so far.
        contexts: nodes of its last 0, 1, 2, ... tokens, as far as these have occurred before.
        forks: sequences that go on from its end.
    """

    def __init__(self, trie: NGramTrie):
        self.trie = trie
        self.start = len(trie.sequences) << OFFSET_BITS
        self.text: list[int] = []
        self.contexts: list[Node] = [trie.root]
        self.forks: list[TrieSequence] = []
        trie.sequences.append(self)

    def fork(self) -> "TrieSequence":
        """A new sequence that goes on from here; what comes before is not counted again."""
        sequence = TrieSequence(self.trie)
        sequence.contexts = list(self.contexts)
        self.forks.append(sequence)
        return sequence

    def extend(self, tokens: Iterable[int]) -> None:
        """Count `tokens` as successors of the contexts that they follow."""
        trie, text = self.trie, self.text
        root, longest = trie.root, trie.max_order
        for token in tokens:
            text.append(token)
            behind = self.start + len(text)
            longer = [root]
            for order, context in enumerate(self.contexts):
                context.total += 1
                successor = context.get(token)
                if successor is None:
                    context[token] = behind
                elif isinstance(successor, Node):
                    successor.visits += 1
                    longer.append(successor)
                else:
                    context[token] = node = self._second_occurrence(successor, order + 1)
                    longer.append(node)
            self.contexts = longer[: longest + 1]

    def _second_occurrence(self, first: int, order: int) -> Node:
        """The node of a context of `order` tokens that occurs again, and that ended at `first` before."""
        trie = self.trie
        trie.nodes += 1
        node = Node(visits=2)
        token = trie.token_at(first)
        if token is not None:
            node[token], node.total = first + 1, 1
        elif order <= trie.max_order:
            trie.sequences[first >> OFFSET_BITS].contexts.append(node)  # its next token is yet to come
        return node

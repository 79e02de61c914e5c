"""A draft tree: several continuations that share prefixes, verified in one forward pass."""

from dataclasses import dataclass, field

import numpy as np
import torch


@dataclass
class DraftTree:
    """Nodes in an order in which parents come first; node 0 is the row's last token, which is known.

    Attributes:
        tokens: of the drafted nodes 1, 2, ...
        parents: of the drafted nodes.
        depths: of the drafted nodes, 1 below the root.
        probabilities: that a drafted node and all above it are accepted, as the drafter estimates it; never rising.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)

    def __post_init__(self):
        self._index = {key: node for node, key in enumerate(zip(self.parents, self.tokens, strict=True), start=1)}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, parent: int, token: int, probability: float) -> int:
        """Append a node and return its number; a parent has one child per token."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.depths.append(self.depths[parent - 1] + 1 if parent else 1)
        self.probabilities.append(probability)
        self._index[parent, token] = len(self.tokens)
        return len(self.tokens)

    def child(self, node: int, token: int) -> int | None:
        """The child of `node` that drafts `token`."""
        return self._index.get((node, token))

    def truncate(self, nodes: int) -> None:
        """Keep the first `nodes` drafted nodes."""
        for parent, token in zip(self.parents[nodes:], self.tokens[nodes:], strict=True):
            del self._index[parent, token]
        for values in (self.tokens, self.parents, self.depths, self.probabilities):
            del values[nodes:]


def stack(
    trees: list[DraftTree], last_tokens: list[int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The trees of a batch as tensors, padded to the largest with nodes that see themselves and that nobody sees.

    Returns:
        tokens `[batch, queries]`, depths `[batch, queries]`, and ancestors `[batch, queries, queries]` bool, True
        where the second node is the first or above it.
    """
    queries = 1 + max(map(len, trees))
    tokens, depths = np.zeros((2, len(trees), queries), dtype=np.int64)
    ancestors = np.tile(np.eye(queries, dtype=bool), (len(trees), 1, 1))
    for row, (tree, last_token) in enumerate(zip(trees, last_tokens, strict=True)):
        tokens[row, : 1 + len(tree)] = [last_token, *tree.tokens]
        depths[row, 1 : 1 + len(tree)] = tree.depths
        seen = ancestors[row]
        for node, parent in enumerate(tree.parents, start=1):
            seen[node] |= seen[parent]
    tensors = (torch.from_numpy(values).to(device) for values in (tokens, depths, ancestors))
    return tuple(tensors)

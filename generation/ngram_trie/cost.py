"""How long a forward over q tokens takes, and how many drafted tokens it pays to verify."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from statistics import fmean, median

import numpy as np
import torch

from setaria.generation.ngram_trie.config import NGramTrieConfig


# Numbers of tokens that share their measurements.
SIZES = (*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 384, 512)
REMEMBERED = 9  # measurements per size; their median forgives a stall
STRIDE = 8  # tokens over which a slope is taken, since forwards of nearly equal size may cost the same
RARE, REFIT_EVERY = 3, 8  # the curve follows the first measurements of a size at once, others every 8 forwards
FORGOTTEN_AFTER = 512  # forwards after which a size that was not seen again is tried anew


class VerifyCost:
    """Seconds of a forward over `queries` tokens per row, learnt from the forwards that decoding makes anyway.

    Between the sizes seen, seconds are interpolated; beyond them they have a typical shape. On a GPU, decoding waits
    for memory, and some tens of tokens cost little more than one. On a CPU a second token, for which a matrix-vector
    product becomes a matrix product, costs half a forward, and further ones a twentieth each.

    Args:
        device: of the model.
        rows: of the batch.
    """

    def __init__(self, device: torch.device, rows: int = 1):
        self.on_cpu = device.type == "cpu"
        self.rows = rows
        self.forwards = 0
        self._seen: dict[int, deque[tuple[int, float]]] = {}
        self._last_seen: dict[int, int] = {}
        self._points: dict[int, tuple[float, float]] = {}  # mean of the tokens and median of the seconds, by size
        self._curve = self._fit()  # seconds by queries - 1

    def observe(self, queries: int, seconds: float) -> None:
        """A forward over `queries` tokens per row took `seconds`."""
        self.forwards += 1
        size = SIZES[min(bisect_left(SIZES, queries), len(SIZES) - 1)]
        seen = self._seen.setdefault(size, deque(maxlen=REMEMBERED))
        seen.append((queries, seconds))
        self._points[size] = fmean(tokens for tokens, _ in seen), median(taken for _, taken in seen)
        self._last_seen[size] = self.forwards
        stale = [old for old, last in self._last_seen.items() if self.forwards - last > FORGOTTEN_AFTER]
        for old in stale:
            del self._seen[old], self._points[old], self._last_seen[old]
        if stale or len(seen) <= RARE or self.forwards % REFIT_EVERY == 0:
            self._curve = self._fit()

    def seconds(self, queries: int) -> float:
        """Of a forward over `queries` tokens per row; in units of a forward over one while nothing was seen."""
        return float(self._curve[queries - 1])

    def best_width(self, probabilities: Sequence[Sequence[float]]) -> int:
        """How many drafted nodes per row give most tokens per second.

        Args:
            probabilities: of the drafted nodes of each row, falling.
        """
        widest = max(map(len, probabilities), default=0)
        if not widest:
            return 0
        gains = np.zeros(1 + widest)
        gains[0] = len(probabilities)
        for row in probabilities:
            gains[1 : 1 + len(row)] += row
        return int(np.argmax(gains.cumsum() / self._curve[: 1 + widest]))

    def least_probability(self, config: NGramTrieConfig) -> float:
        """Below which a drafted node is not worth thinking of: no forward is as cheap per token as to pay for it."""
        if config.width == "fixed":
            return config.min_probability
        slopes = np.diff(self._curve[1 : 2 + config.budget : STRIDE]) / STRIDE
        return max(config.min_probability, float(slopes.min(initial=self._curve[0]) / self._curve[0]))

    def _fit(self) -> np.ndarray:
        queries = np.arange(1, 1 + SIZES[-1])
        shape = self._shape(queries)
        if not self._points:
            return shape
        tokens, seconds = map(np.array, zip(*sorted(self._points.values()), strict=True))
        between = np.interp(queries, tokens, seconds)
        beyond = between * shape / self._shape(queries.clip(tokens[0], tokens[-1]))
        slope = max((seconds[-1] - seconds[0]) / max(tokens[-1] - tokens[0], 1.0), 0.0)
        straight = between + slope * (queries - queries.clip(None, tokens[-1]))
        return beyond if len(tokens) == 1 else np.minimum(beyond, straight)  # the hope is soon tested

    def _shape(self, queries: np.ndarray) -> np.ndarray:
        tokens = self.rows * queries
        if self.on_cpu:
            return np.where(tokens <= 1, 1.0, 1.4 + 0.05 * tokens)
        return 1.0 + 0.004 * (tokens - 1)

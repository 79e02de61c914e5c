"""Keys or values of one layer: the last tokens in full precision, the older ones in a packed store.

Slots are the columns of the attention mask. Row b has `padding[b]` slots of left padding, which are never stored; its
token j sits in slot `padding[b] + j`. The window is a rectangle, the last slots of all rows; a row of a padded batch
may have packed a few of its first slots already, which then count as packed.
"""

from collections import defaultdict
from collections.abc import Callable

import torch

from setaria.generation.xquant.past import place_rows
from setaria.generation.xquant.store import QuantizedStore


class WindowedStates:
    """States `[batch, heads, slots, head_dim]` of which the first `packed_slots` are packed in every row.

    Args:
        store: for what leaves the window.
        like: a tensor with the shape, dtype and device of the states.
        padding: left-padded slots per row.
    """

    def __init__(self, store: QuantizedStore, like: torch.Tensor, padding: tuple[int, ...]):
        self.store, self.padding = store, padding
        self.window = like[:, :, :0]
        self.slots = 0

    @property
    def packed_slots(self) -> int:
        return self.slots - self.window.size(2)

    def append(self, states: torch.Tensor) -> None:
        """Add slots to the window."""
        self.window = torch.cat((self.window, states), dim=2) if self.window.size(2) else states
        self.slots += states.size(2)

    def read(self, start: int) -> torch.Tensor:
        """Slots `start` to the end, at most `packed_slots`, dense: `[batch, heads, slots - start, head_dim]`."""
        packed_slots = self.packed_slots
        if start == packed_slots and len(set(self._packed_ends())) == 1:
            return self.window
        if not any(self.padding):
            return torch.cat((self.store.dense(start, packed_slots), self.window), dim=2)
        skipped = self.window.new_zeros(*self.window.shape[:2], packed_slots - start, self.window.size(3))
        states = torch.cat((skipped, self.window), dim=2)
        place_rows(states, start, self.padding, self._packed_ends(), self.store.dense)
        return states

    def quantize(self, packed_tokens: Callable[[int], int], held_back: int = 0) -> None:
        """Pack what leaves the window: of a row with n tokens, the first `packed_tokens(n - held_back)`, never fewer
        than are."""
        packed_slots = self.packed_slots
        leaving = defaultdict(list)
        for row, (padding, count) in enumerate(zip(self.padding, self.store.counts, strict=True)):
            target = packed_tokens(max(self.slots - padding - held_back, 0))
            if target > count:
                leaving[padding, count, target].append(row)
        for (padding, count, target), rows in leaving.items():
            states = self.window[:, :, padding + count - packed_slots : padding + target - packed_slots]
            self.store.append(rows, states if len(rows) == len(self.padding) else states[rows])
        self._drop_packed()

    def crop(self, slots: int) -> None:
        """Forget all but the first `slots` slots; a group of keys that is cut is dequantised into the window."""
        step = self.store.layout.step
        counts = [
            min(count, max(slots - padding, 0) // step * step)
            for padding, count in zip(self.padding, self.store.counts, strict=True)
        ]
        first = min(slots, *(padding + count for padding, count in zip(self.padding, counts, strict=True)))
        self.window = self.read(first)[:, :, : slots - first]
        self.store.truncate(counts)
        self.slots = slots

    def select(self, index: list[int]) -> None:
        """Make the rows `index` the new batch."""
        self.store.select(index)
        self.window = self.window.index_select(0, torch.tensor(index, device=self.window.device))
        self.padding = tuple(self.padding[row] for row in index)
        self._drop_packed()

    def to(self, device: torch.device | str) -> None:
        self.store.to(device)
        self.window = self.window.to(device, non_blocking=True)

    def _drop_packed(self) -> None:
        """Cut off slots that all rows have packed. A copy, where few tokens would keep a whole prompt in memory."""
        start = min(self.slots, *self._packed_ends()) - self.packed_slots
        window = self.window[:, :, start:]
        is_view = window.untyped_storage().nbytes() > window.numel() * window.element_size()
        self.window = window.clone() if is_view else window

    def _packed_ends(self) -> list[int]:
        """The slot behind the last packed one of every row."""
        return [padding + count for padding, count in zip(self.padding, self.store.counts, strict=True)]

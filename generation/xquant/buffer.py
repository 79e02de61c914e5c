"""Preallocated tensor storage that grows along the token dimension."""

import torch


# A quarter more at a time keeps the unused part below a fifth of the whole; a row is copied about four times.
GROWTH = 1.25


class GrowingBuffer:
    """A tensor `[batch, heads, rows, width]` written in order, for each batch element at its own pace.

    A view taken before a write keeps what it shows: writes go behind the rows in use, and growing, selecting and
    moving make a new tensor. Unwritten rows are zero.
    """

    def __init__(self):
        self.data = torch.empty(0)

    @property
    def nbytes(self) -> int:
        return self.data.untyped_storage().nbytes()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of one batch element, all heads."""
        return self.data[0, :, 0].numel() * self.data.element_size() if self.data.numel() else 0

    def write(self, states: torch.Tensor, members: list[int], batch_size: int, start: int, reserve: int) -> None:
        """Write `states` `[len(members), heads, rows, width]` from row `start` on, to the batch elements `members`.

        The buffer is made to hold at least `reserve` rows, and the dtype of `states` where that is a wider float.
        """
        if not self.data.numel():
            self.data = states.new_zeros(batch_size, states.size(1), reserve, states.size(3))
        self.data = self.data.to(torch.promote_types(self.data.dtype, states.dtype))
        held = self.data.size(2)
        if reserve > held:
            grown = self.data.new_zeros(*self.data.shape[:2], max(reserve, int(held * GROWTH)), self.data.size(3))
            grown[:, :, :held] = self.data
            self.data = grown
        everyone = len(members) == batch_size
        self.data[slice(None) if everyone else members, :, start : start + states.size(2)] = states.to(self.data.dtype)

    def select(self, index: torch.Tensor) -> None:
        """Make the batch elements `index` the new batch; an element may occur more than once."""
        if self.data.numel():
            self.data = self.data.index_select(0, index.to(self.data.device))

    def to(self, device: torch.device | str) -> None:
        self.data = self.data.to(device, non_blocking=True)

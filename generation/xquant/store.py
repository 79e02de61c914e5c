"""Storage of the quantised tokens of one layer, keys or values: packed codes and metadata in growing buffers.

Token j of a row (batch element) is its j-th token after left padding. Rows of a padded batch fill at different times,
so that the groups of a row are those of its own unpadded run. A token is quantised when it is appended, and never
again.
"""

from dataclasses import dataclass

import torch

from setaria.generation.xquant.buffer import GrowingBuffer
from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.metadata import PARTS, decode, encode
from setaria.generation.xquant.past import PackedStates
from setaria.generation.xquant.quantize import GroupQuantizer, dequantize


# Tokens quantised at a time, which bounds the float32 copies that quantising a long prompt needs.
CHUNK = 1024


@dataclass(frozen=True)
class StoreUsage:
    """Bytes in use for codes and for metadata, allocated but unused bytes, bytes of simulated states, and the number
    of quantised elements."""

    codes: int
    metadata: int
    slack: int
    simulated: int
    elements: int


class QuantizedStore:
    """Keys or values of one layer.

    Args:
        layout: grouping and packing.
        quantizer: makes codes, scales and zeros.
        metadata: storage of scales and zeros, a key of `PARTS`.
        like: a tensor `[batch, heads, tokens, head_dim]` with the shape, dtype and device of what will be stored.
        anchor: the store of the layer below, whose codes this one reads; None where it has codes of its own.
        simulate: also keep what dequantisation gives, and read that: the same numbers, faster, no memory saved.
    """

    def __init__(
        self,
        layout: KeyLayout | ValueLayout,
        quantizer: GroupQuantizer,
        metadata: str,
        like: torch.Tensor,
        anchor: "QuantizedStore | None" = None,
        simulate: bool = False,
    ):
        self.layout, self.quantizer, self.metadata = layout, quantizer, metadata
        self.anchor, self.simulate = anchor, simulate
        self.heads, self.dtype, self.device = like.size(1), like.dtype, like.device
        self.counts = [0] * like.size(0)
        self._codes, self._simulated = GrowingBuffer(), GrowingBuffer()
        self._scale, self._zero = ([GrowingBuffer() for _ in range(PARTS[metadata])] for _ in range(2))

    @torch.no_grad()
    def append(self, members: list[int], states: torch.Tensor) -> None:
        """Quantise the next tokens of the rows `members`, which hold equally many.

        Args:
            states: `[len(members), heads, tokens, head_dim]`; `tokens` is a multiple of `layout.step`.
        """
        start = self.counts[members[0]]
        stop = start + states.size(2)
        for chunk in states.split(CHUNK, dim=2):
            self._append_chunk(members, chunk, start, stop)
            start += chunk.size(2)
        for member in members:
            self.counts[member] = stop

    def codes(self, members: list[int], start: int, stop: int) -> torch.Tensor:
        """Codes uint8 of the tokens `start` to `stop` of `members`, in groups."""
        if min(self.counts[member] for member in members) < stop:
            raise RuntimeError("a layer that reads the codes of the layer below it was updated before that layer")
        rows = slice(self.layout.code_rows(start), self.layout.code_rows(stop))
        return self.layout.unpack(self._codes.data[members, :, rows].to(self.device), torch.uint8)

    def packed(self) -> PackedStates:
        """What attention reads."""
        codes = (self if self.anchor is None else self.anchor)._codes.data.to(self.device)
        scale, zero = (decode(tuple(part.data for part in kept)) for kept in (self._scale, self._zero))
        return PackedStates(codes, scale, zero, self.layout)

    def dense(self, start: int, stop: int, row: int | None = None) -> torch.Tensor:
        """Tokens `start` to `stop` of all rows or of one, dequantised: `[rows, heads, tokens, head_dim]` in the
        model's dtype. What a row does not hold is zero or stale."""
        if self.simulate:
            return self._simulated.data[slice(row, None if row is None else row + 1), :, start:stop]
        return self.packed().dense(start, stop, row).to(self.dtype)

    def truncate(self, counts: list[int]) -> None:
        """Forget all but the first `counts[row]` tokens, a multiple of `layout.step`, of every row."""
        self.counts = counts

    def select(self, index: list[int]) -> None:
        """Make the rows `index` the new batch; a row may occur more than once."""
        self.counts = [self.counts[row] for row in index]
        for buffer in self._buffers():
            buffer.select(torch.tensor(index))

    def to(self, device: torch.device | str) -> None:
        for buffer in self._buffers():
            buffer.to(device)

    def usage(self) -> StoreUsage:
        """Memory of this store; codes of another layer that it reads are not counted."""
        tokens = sum(self.counts)
        codes = self.layout.code_rows(tokens) * self._codes.row_bytes
        metadata = self.layout.metadata_rows(tokens) * sum(part.row_bytes for part in (*self._scale, *self._zero))
        held = sum(buffer.nbytes for buffer in self._buffers())
        return StoreUsage(
            codes=codes,
            metadata=metadata,
            slack=held - codes - metadata - self._simulated.nbytes,
            simulated=self._simulated.nbytes,
            elements=tokens * self.heads * self.layout.head_dim,
        )

    def _append_chunk(self, members: list[int], states: torch.Tensor, start: int, reserve: int) -> None:
        x = self.layout.group(states.float())
        stop = start + states.size(2)
        codes = self.quantizer.codes(x) if self.anchor is None else self.anchor.codes(members, start, stop)
        scale = self._keep(self._scale, self.quantizer.scale(x, codes), members, start, reserve)
        zero = self._keep(self._zero, self.quantizer.zero(x, codes, scale), members, start, reserve)
        batch_size, rows = len(self.counts), self.layout.code_rows
        if self.simulate:
            simulated = self.layout.ungroup(dequantize(codes, scale, zero)).to(self.dtype)
            self._simulated.write(simulated, members, batch_size, start, reserve)
        if self.anchor is None:
            self._codes.write(self.layout.pack(codes), members, batch_size, rows(start), rows(reserve))

    def _keep(self, kept, x: torch.Tensor, members: list[int], start: int, reserve: int) -> torch.Tensor:
        """Store scales or zeros; returns them as they are stored."""
        parts = encode(x.squeeze(self.layout.group_dim), self.metadata)
        rows = self.layout.metadata_rows
        for buffer, part in zip(kept, parts, strict=True):
            buffer.write(part, members, len(self.counts), rows(start), rows(reserve))
        return self.layout.spread(decode(parts)).float()

    def _buffers(self) -> list[GrowingBuffer]:
        return [self._codes, self._simulated, *self._scale, *self._zero]

"""What one attention call reads from a quantised layer: packed codes with their metadata, and a full-precision tail.

The cache counts tokens in *slots*, the columns of the attention mask. Slots below `packed_slots` are packed in both
keys and values; the others, a window of bounded length, are given in full precision. Packed tokens are stored by row:
token j of row b sits in slot `j + padding[b]`, left padding is not stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.quantize import dequantize


@dataclass(frozen=True)
class PackedStates:
    """Keys or values, packed as `layout` says; state = code * scale + zero.

    codes: uint8 `[batch, kv_heads, code_rows, width]`.
    scale, zero: float16 or float32, as `layout` says.
    """

    codes: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor
    layout: KeyLayout | ValueLayout

    @property
    def bits(self) -> int:
        return self.layout.bits

    @property
    def group_size(self) -> int:
        return self.layout.group_size

    def dense(
        self, start: int, stop: int, row: int | None = None, scratch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Tokens `start` to `stop` of all rows or of one: float32 `[rows, kv_heads, tokens, head_dim]`, in `scratch`
        where that is given."""
        layout = self.layout
        members = slice(row, None if row is None else row + 1)
        first, last = start // layout.step * layout.step, -(-stop // layout.step) * layout.step
        codes = self.codes[members, :, layout.code_rows(first) : layout.code_rows(last)]
        rows = slice(layout.metadata_rows(first), layout.metadata_rows(last))
        scale, zero = (layout.spread(part[members, :, rows]).float() for part in (self.scale, self.zero))
        states = layout.ungroup(dequantize(layout.unpack(codes, torch.float32, scratch), scale, zero))
        return states[:, :, start - first : stop - first]


@dataclass(frozen=True)
class QuantizedPast:
    """The past of one layer at one step.

    keys, values: packed; they may hold more tokens than `packed_slots` says, those are not to be read.
    packed_slots: slots below this one are packed in every row (and slots below `padding[b]` are padding).
    padding: left-padded slots of every row, all zero where there is no padding.
    tail_keys, tail_values: `[batch, kv_heads, slots - packed_slots, head_dim]` in the model's dtype.
    """

    keys: PackedStates
    values: PackedStates
    packed_slots: int
    padding: tuple[int, ...]
    tail_keys: torch.Tensor
    tail_values: torch.Tensor

    @property
    def slots(self) -> int:
        return self.packed_slots + self.tail_keys.size(2)

    def dense_keys(self) -> torch.Tensor:
        """Keys `[batch, kv_heads, slots, head_dim]` in the model's dtype; padding is zero."""
        return self._dense(self.keys, self.tail_keys)

    def dense_values(self) -> torch.Tensor:
        return self._dense(self.values, self.tail_values)

    def _dense(self, packed: PackedStates, tail: torch.Tensor) -> torch.Tensor:
        if not any(self.padding):
            return torch.cat((packed.dense(0, self.packed_slots).to(tail.dtype), tail), dim=2)
        states = torch.cat((tail.new_zeros(*tail.shape[:2], self.packed_slots, tail.size(3)), tail), dim=2)
        place_rows(states, 0, self.padding, [self.packed_slots] * len(self.padding), packed.dense)
        return states


def place_rows(
    states: torch.Tensor,
    start: int,
    padding: Sequence[int],
    ends: Sequence[int],
    dense: Callable[[int, int, int], torch.Tensor],
) -> None:
    """Write the packed tokens of every row, from slot `padding[row]` to `ends[row]`, into `states`.

    Args:
        states: `[batch, kv_heads, slots, head_dim]`, the first of which is slot `start`.
        dense: gives the tokens from one number to another of a row, `[1, kv_heads, tokens, head_dim]`.
    """
    for row, (padded, end) in enumerate(zip(padding, ends, strict=True)):
        first = max(start, padded)
        if first < end:
            states[row, :, first - start : end - start] = dense(first - padded, end - padded, row)[0].to(states.dtype)

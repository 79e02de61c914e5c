"""How the tokens of keys and of values are grouped and packed.

Keys have a scale and a zero per channel and `group_size` tokens, and are packed along the tokens of a group. Values
have them per token and `group_size` channels, and are packed along the channels of a head; the last group of a head
that is no multiple of the group size is shorter.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from setaria.generation.xquant.packing import pack, unpack


@dataclass(frozen=True)
class KeyLayout:
    """Codes uint8 `[batch, heads, tokens * bits / 8, head_dim]`, metadata `[batch, heads, tokens / group_size,
    head_dim]`.

    Within a group, byte row w and bit plane i hold token `i * group_size * bits / 8 + w`.
    """

    bits: int
    group_size: int
    head_dim: int
    group_dim: ClassVar[int] = -2
    span: ClassVar[int] = 1

    @classmethod
    def of(cls, bits: int, group_size: int, states: torch.Tensor) -> "KeyLayout":
        """The layout of states `[batch, heads, tokens, head_dim]`."""
        return cls(bits, group_size, states.size(-1))

    @property
    def step(self) -> int:
        """Tokens that are quantised, and cropped, together."""
        return self.group_size

    def group(self, states: torch.Tensor) -> torch.Tensor:
        """`[batch, heads, tokens, head_dim]` to `[batch, heads, groups, group_size, head_dim]`."""
        return states.unflatten(2, (-1, self.group_size))

    def ungroup(self, groups: torch.Tensor) -> torch.Tensor:
        return groups.flatten(2, 3)

    def weight(self, device: torch.device) -> torch.Tensor | None:
        """1 for elements of a group, 0 for filling; None where there is no filling."""
        return None

    def pack(self, codes: torch.Tensor) -> torch.Tensor:
        """Groups of codes to bytes."""
        return pack(codes, self.bits, -2).flatten(2, 3)

    def unpack(self, packed: torch.Tensor, dtype: torch.dtype, scratch: torch.Tensor | None = None) -> torch.Tensor:
        """Bytes to groups of codes."""
        packed = packed.unflatten(2, (-1, self.code_rows(self.group_size)))
        return unpack(packed, self.bits, -2, self.group_size, dtype, scratch)

    def spread(self, metadata: torch.Tensor) -> torch.Tensor:
        """Bring metadata to the groups, for broadcasting."""
        return metadata.unsqueeze(-2)

    def code_rows(self, tokens: int) -> int:
        return tokens * self.bits // 8

    def metadata_rows(self, tokens: int) -> int:
        return tokens // self.group_size


@dataclass(frozen=True)
class ValueLayout:
    """Codes uint8 `[batch, heads, tokens, ceil(head_dim * bits / 8)]`, metadata
    `[batch, heads / span, tokens, ceil(span * head_dim / group_size)]`.

    Byte w and bit plane i hold channel `i * ceil(head_dim * bits / 8) + w`. Where a head is smaller than a group,
    `span` neighbouring heads share one.
    """

    bits: int
    group_size: int
    head_dim: int
    span: int = 1
    group_dim: ClassVar[int] = -1
    step: ClassVar[int] = 1

    @classmethod
    def of(cls, bits: int, group_size: int, states: torch.Tensor) -> "ValueLayout":
        """The layout of states `[batch, heads, tokens, head_dim]`."""
        span = max(min(group_size // states.size(-1), states.size(1)), 1)
        return cls(bits, group_size, states.size(-1), span if states.size(1) % span == 0 else 1)

    def group(self, states: torch.Tensor) -> torch.Tensor:
        """`[batch, heads, tokens, head_dim]` to `[batch, heads / span, tokens, groups, group_size]`; a short group is
        filled up with its last element, which leaves its range as it is."""
        if self.span > 1:
            states = states.unflatten(1, (-1, self.span)).transpose(2, 3).flatten(3)
        missing = -states.size(-1) % self.group_size
        if missing:
            states = torch.cat((states, states[..., -1:].expand(*states.shape[:-1], missing)), dim=-1)
        return states.unflatten(-1, (-1, self.group_size))

    def ungroup(self, groups: torch.Tensor) -> torch.Tensor:
        states = groups.flatten(-2)[..., : self.span * self.head_dim]
        if self.span > 1:
            states = states.unflatten(3, (self.span, -1)).transpose(2, 3).flatten(1, 2)
        return states

    def weight(self, device: torch.device) -> torch.Tensor | None:
        width = self.span * self.head_dim
        if width % self.group_size == 0:
            return None
        ones = torch.ones(width, device=device)
        return F.pad(ones, (0, -width % self.group_size)).unflatten(0, (-1, self.group_size))

    def pack(self, codes: torch.Tensor) -> torch.Tensor:
        return pack(self.ungroup(codes), self.bits, -1)

    def unpack(self, packed: torch.Tensor, dtype: torch.dtype, scratch: torch.Tensor | None = None) -> torch.Tensor:
        return self.group(unpack(packed, self.bits, -1, self.head_dim, dtype, scratch))

    def spread(self, metadata: torch.Tensor) -> torch.Tensor:
        return metadata.unsqueeze(-1)

    def code_rows(self, tokens: int) -> int:
        return tokens

    def metadata_rows(self, tokens: int) -> int:
        return tokens

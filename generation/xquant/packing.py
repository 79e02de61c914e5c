"""Bit packing: codes of 1, 2, 4 or 8 bits in bytes.

A byte holds `8 / bits` codes that lie `size / (8 / bits)` apart along the packed axis, so that one shift-and-mask of
all bytes gives a contiguous run of codes: plane i of the bytes is the i-th run.
"""

import math

import torch


def packed_size(size: int, bits: int) -> int:
    """Bytes for `size` codes of `bits` bits."""
    return -(-size * bits // 8)


def pack(codes: torch.Tensor, bits: int, dim: int) -> torch.Tensor:
    """Pack uint8 codes below `2**bits` along `dim` (negative): `[..., size, ...]` to `[..., size * bits / 8, ...]`.

    A size that fills no whole number of bytes is padded with zero codes.
    """
    per_byte = 8 // bits
    missing = -codes.size(dim) % per_byte
    if missing:
        pad = codes.new_zeros(()).expand(*codes.shape[:dim], missing, *codes.shape[codes.dim() + dim + 1 :])
        codes = torch.cat((codes, pad), dim)
    planes = codes.unflatten(dim, (per_byte, -1)).unbind(dim - 1)
    packed = planes[0].clone()
    for index, plane in enumerate(planes[1:], start=1):
        packed |= plane << (index * bits)
    return packed


def unpack(
    packed: torch.Tensor, bits: int, dim: int, size: int, dtype: torch.dtype, scratch: torch.Tensor | None = None
) -> torch.Tensor:
    """Undo `pack`: codes `[..., size, ...]` in `dtype`, which must hold integers up to 255 exactly.

    They are written to `scratch`, one-dimensional and large enough, where it is given: on a CPU, fresh memory costs
    more than unpacking.
    """
    shape = list(packed.shape)
    shape.insert(packed.dim() + dim, 8 // bits)
    codes = _memory(shape, dtype, packed.device, scratch)
    _read_planes(packed, bits, codes.movedim(dim - 1, 0))
    return codes.flatten(dim - 1, dim).narrow(dim, 0, size)


def unpack_planes(packed: torch.Tensor, bits: int, scratch: torch.Tensor) -> torch.Tensor:
    """The bit planes of `packed` on their own, `[8 / bits, *packed.shape]`, in the memory and dtype of `scratch`:
    codes, faster than in their order."""
    planes = _memory([8 // bits, *packed.shape], scratch.dtype, packed.device, scratch)
    _read_planes(packed, bits, planes)
    return planes


def _memory(shape: list[int], dtype: torch.dtype, device: torch.device, scratch: torch.Tensor | None) -> torch.Tensor:
    if scratch is None:
        return torch.empty(shape, dtype=dtype, device=device)
    return scratch[: math.prod(shape)].view(shape)


def _read_planes(packed: torch.Tensor, bits: int, planes: torch.Tensor) -> None:
    last = len(planes) - 1
    for index, plane in enumerate(planes):
        codes = packed >> (index * bits) if index else packed
        plane.copy_(codes & (2**bits - 1) if index < last else codes)

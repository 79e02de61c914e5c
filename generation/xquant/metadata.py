"""Storage of scales and zeros, float32 `[batch, heads, rows, columns]`: float16, float32, or 8 bits.

float16 overflows at 65504: values beyond it, which bfloat16 and float32 models can have, make the storage float32 from
then on. `int8` maps each row, over all heads and columns, to 256 even steps between its ends, which are kept in
float32.
"""

import torch


PARTS = {"float16": 1, "float32": 1, "int8": 2}
FLOAT16_MAX = torch.finfo(torch.float16).max


def encode(x: torch.Tensor, storage: str) -> tuple[torch.Tensor, ...]:
    """The `PARTS[storage]` tensors to keep for `x`; each has the rows in dimension 2."""
    if storage == "float32":
        return (x,)
    if storage == "float16":
        return (x if x.abs().amax() > FLOAT16_MAX else x.half(),)
    low, high = x.amin((1, 3), keepdim=True), x.amax((1, 3), keepdim=True)
    step = (high - low) / 255
    codes = ((x - low) / torch.where(step > 0, step, 1)).round_().to(torch.uint8)
    return codes, torch.cat((low, step), dim=-1)


def decode(kept: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Undo `encode`: floating point `[batch, heads, rows, columns]`."""
    if len(kept) == 1:
        return kept[0]
    codes, ends = kept
    return codes * ends[..., 1:] + ends[..., :1]

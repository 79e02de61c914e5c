"""Attention over a quantised past in plain torch: one chunk of tokens dequantised at a time, softmax accumulated.

    m' = max(m, max_t s_t),  l' = l * exp(m - m') + sum_t exp(s_t - m')
    o' = o * exp(m - m') + sum_t exp(s_t - m') v_t

over chunks of scores s_t = q . k_t, and o / l in the end. The peak transient is a chunk, not a layer. Arithmetic is
float32 for any model dtype.
"""

from collections.abc import Callable
from functools import partial

import torch

from setaria.generation.xquant.packing import unpack_planes
from setaria.generation.xquant.past import PackedStates, QuantizedPast


# Elements of keys, and of values, that are dequantised at a time, and the least number of tokens.
CHUNK_ELEMENTS = 2**21
CHUNK_TOKENS = 128


def chunked_attention(
    query: torch.Tensor,
    past: QuantizedPast,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """See `packed_attention` for arguments and result. A query that attends to nothing gives zeros."""
    batch, heads, queries, head_dim = query.shape
    kv_heads = past.tail_keys.size(1)
    # The queries of all heads that share a key head are rows of one matrix.
    rows = (query.float() * scaling).reshape(batch, kv_heads, heads // kv_heads * queries, head_dim)
    softmax = RunningSoftmax(rows, past.tail_values.size(3), softcap)
    padding = torch.tensor(past.padding, device=query.device)
    tokens = past.packed_slots - min(past.padding)
    step = max(CHUNK_ELEMENTS // (batch * kv_heads * head_dim) // CHUNK_TOKENS, 1) * CHUNK_TOKENS
    # One memory for keys, then values: keys come in whole groups, the channels of a head in whole bytes.
    room = batch * kv_heads * (min(step, tokens) + past.keys.group_size) * (head_dim + 7)
    scratch = torch.empty(room, device=query.device)
    for start in range(0, tokens, step):
        stop = min(start + step, tokens)
        chunk_mask = _packed_mask(mask, padding, start, stop, past.packed_slots) if any(past.padding) else None
        if chunk_mask is None and mask is not None:
            chunk_mask = mask[..., start:stop]
        sum_values = partial(_sum_packed, past.values, start=start, stop=stop, scratch=scratch)
        keys = past.keys.dense(start, stop, scratch=scratch)
        softmax.add(keys, sum_values, _per_row(chunk_mask, rows, queries))
    tail_mask = None if mask is None else mask[..., past.packed_slots :]
    tail_values = past.tail_values.float()
    softmax.add(past.tail_keys.float(), lambda weights: weights @ tail_values, _per_row(tail_mask, rows, queries))
    return softmax.result().reshape(batch, heads, queries, -1).to(query.dtype)


class RunningSoftmax:
    """Attention of `rows` `[batch, kv_heads, rows, head_dim]`, scaled, to keys and values that come in parts."""

    def __init__(self, rows: torch.Tensor, value_dim: int, softcap: float | None):
        self.rows, self.softcap = rows, softcap
        self.largest = rows.new_full((*rows.shape[:3], 1), -torch.inf)
        self.weight = torch.zeros_like(self.largest)
        self.output = rows.new_zeros(*rows.shape[:3], value_dim)

    def add(
        self, keys: torch.Tensor, sum_values: Callable[[torch.Tensor], torch.Tensor], mask: torch.Tensor | None
    ) -> None:
        """Attend to tokens with `keys` `[batch, kv_heads, tokens, head_dim]` and values that `sum_values` sums with
        weights `[batch, kv_heads, rows, tokens]`; `mask` is bool or additive, `[batch, 1, rows, tokens]`."""
        scores = self.rows @ keys.transpose(-1, -2)
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        largest = torch.maximum(self.largest, scores.amax(-1, keepdim=True))
        # Where nothing has been attended to yet, the maximum is -inf and all differences are to be -inf.
        reference = largest.masked_fill(largest == -torch.inf, 0)
        probabilities = (scores - reference).exp_()
        decay = (self.largest - reference).exp_()
        self.weight = self.weight * decay + probabilities.sum(-1, keepdim=True)
        self.output = self.output * decay + sum_values(probabilities)
        self.largest = largest

    def result(self) -> torch.Tensor:
        return self.output / self.weight.masked_fill(self.weight == 0, 1)


def _sum_packed(
    values: PackedStates, weights: torch.Tensor, start: int, stop: int, scratch: torch.Tensor
) -> torch.Tensor:
    """Values of the tokens `start` to `stop`, summed with float32 `weights` `[batch, kv_heads, rows, tokens]`:
    `[batch, kv_heads, rows, head_dim]`.

    Where every bit plane lies in one group, scales and zeros go to the weights, and codes are never put in order:
    sum_t w_t (s_t c_t + z_t) = sum_t (w_t s_t) c_t + sum_t w_t z_t.
    """
    layout, width = values.layout, values.codes.size(-1)
    if layout.span > 1 or layout.group_size % width or layout.head_dim % layout.group_size:
        return weights @ values.dense(start, stop, scratch=scratch)
    planes = unpack_planes(values.codes[:, :, start:stop], layout.bits, scratch)
    scale, zero = (part[:, :, start:stop].float() for part in (values.scale, values.zero))
    scaled = weights * scale.movedim(-1, 0).contiguous()[..., None, :]
    summed = scaled.repeat_interleave(layout.group_size // width, 0) @ planes
    zeros = (weights @ zero).repeat_interleave(layout.group_size, -1)
    return summed.movedim(0, -2).flatten(-2) + zeros


def _packed_mask(
    mask: torch.Tensor | None, padding: torch.Tensor, start: int, stop: int, packed_slots: int
) -> torch.Tensor:
    """The mask of packed tokens `start` to `stop` of every row, each shifted by its padding."""
    slots = padding[:, None] + torch.arange(start, stop, device=padding.device)
    held = (slots < packed_slots)[:, None, None]
    if mask is None:
        return held
    index = slots.clamp(max=packed_slots - 1)[:, None, None].expand(-1, 1, mask.size(2), -1)
    shifted = mask.expand(slots.size(0), *mask.shape[1:]).gather(-1, index)
    return shifted & held if mask.dtype == torch.bool else shifted.masked_fill(~held, -torch.inf)


def _per_row(mask: torch.Tensor | None, rows: torch.Tensor, queries: int) -> torch.Tensor | None:
    """Repeat a mask `[batch, 1, queries or 1, tokens]` for the heads that share a key head."""
    return mask if mask is None or mask.size(2) == 1 else mask.repeat(1, 1, rows.size(2) // queries, 1)

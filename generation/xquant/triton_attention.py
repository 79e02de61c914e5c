"""Attention over a quantised past in Triton: packed codes are read as they lie and dequantised in registers.

The M = (heads / kv_heads) * q query rows that share one KV head are processed together:

    o = softmax(softcap(q k^T * scaling) + mask) v,    k = code * scale + zero,    v likewise

Its tokens are split ("flash decoding"): several programs walk a share of the packed tokens each, one more walks the
full-precision tail. From the scores x_t of its tokens, program s leaves the output o_s and the log-sum-exp z_s, and a
second kernel merges them:

    z_s = log sum_t exp(x_t),    o_s = sum_t exp(x_t - z_s) v_t,    o = sum_s exp(z_s) o_s / sum_s exp(z_s)

Codes are dequantised in float32 and rounded to the dtype of the queries, as the dense path does.
"""

import math
from functools import lru_cache

import torch
import triton

from setaria.generation.xquant.past import QuantizedPast
from setaria.generation.xquant.triton_kernels import merge_kernel, split_kernel


# A share of the packed tokens is at least this long: a shorter one costs more to start and merge than it saves.
MIN_SPLIT_TOKENS = 256
# The merge holds all shares of a row at once, and the tail.
MAX_SPLITS = 127
# Programs that hide each other's latency; the interpreter runs one after the other.
PROGRAMS_PER_MULTIPROCESSOR = 2
INTERPRETER_SPLITS = 2
# A block of queries, `rows * head_dim`, fits in 32 KiB of shared memory, next to the blocks of keys and values.
MAX_HEAD_DIM = 256
MAX_QUERY_BYTES = 128 * 128 * 2
# An operand of a matrix product has at least 16 rows and columns.
MIN_DOT = 16


def is_supported(query: torch.Tensor, past: QuantizedPast) -> bool:
    """Whether `triton_attention` takes a query `[batch, heads, q, head_dim]` of this size."""
    rows, dim = _block_shape(query, past)
    fits = dim <= MAX_HEAD_DIM and rows * dim * query.element_size() <= MAX_QUERY_BYTES
    return fits and past.values.layout.span == 1


def triton_attention(
    query: torch.Tensor,
    past: QuantizedPast,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float | None = None,
    splits: int | None = None,
) -> torch.Tensor:
    """Attention over all slots of `past`; `is_supported` says where it can be used.

    Args:
        query: float16, bfloat16 or float32 `[batch, heads, q, head_dim]`, heads a multiple of kv_heads.
        mask: `[batch or 1, 1, q, slots]`, bool (True attends) or floating point (added to the scores); None attends to
            all slots, for q = 1. Padding is never attended.
        softcap: scores x become `softcap * tanh(x / softcap)`, before the mask.
        splits: shares of the packed tokens; None chooses by the size of the device.

    Returns:
        `[batch, heads, q, head_dim]` in the dtype of `query`; zeros for a query that attends to nothing.
    """
    batch, heads, queries, head_dim = query.shape
    keys, values = past.keys, past.values
    kv_heads, tail = past.tail_keys.shape[1:3]
    if mask is None and queries > 1:
        raise ValueError(f"{queries} queries per head need a mask")
    if mask is not None:
        if mask.dim() != 4 or mask.size(0) not in (1, batch) or mask.shape[1:] != (1, queries, past.slots):
            raise ValueError(f"mask is {[*mask.shape]}, not [1 or {batch}, 1, {queries}, {past.slots}]")
        mask = _unit_stride(mask.view(torch.uint8) if mask.dtype == torch.bool else mask).expand(batch, -1, -1, -1)

    # Triton's interpreter neither rounds to bfloat16 nor multiplies in it
    dtype = torch.float32 if query.dtype == torch.bfloat16 and query.device.type == "cpu" else query.dtype
    rows, dim = _block_shape(query, past)
    block = 32 if rows * dim > 64 * 128 or dim > 128 else 64
    blocks = triton.cdiv(past.packed_slots, block)
    blocks_per_split = triton.cdiv(blocks, splits or _splits(batch * kv_heads, past.packed_slots, query.device))
    splits = triton.cdiv(blocks, max(blocks_per_split, 1)) + 1  # the last one is the tail

    group = heads // kv_heads
    partial = torch.empty(batch * kv_heads, splits, group * queries, head_dim, device=query.device)
    lse = torch.empty(partial.shape[:-1], device=query.device)
    out = torch.empty(batch, heads, queries, head_dim, dtype=dtype, device=query.device)
    with torch.cuda.device_of(query):
        split_kernel[(batch * kv_heads, splits)](
            _operand(query.to(dtype)),
            (_operand(keys.codes), _operand(keys.scale), _operand(keys.zero)),
            (_operand(values.codes), _operand(values.scale), _operand(values.zero)),
            (_operand(past.tail_keys), _operand(past.tail_values)),
            *((None, 0, 0) if mask is None else (mask, mask.stride(0), mask.stride(2))),
            _padding(past.padding, query.device) if any(past.padding) else None,
            partial,
            lse,
            past.packed_slots,
            tail,
            queries,
            blocks_per_split,
            scaling,
            softcap,
            KV_HEADS=kv_heads,
            QUERY_GROUP=group,
            HEAD_DIM=head_dim,
            KEY_BITS=keys.bits,
            KEY_GROUP=keys.group_size,
            VALUE_BITS=values.bits,
            VALUE_GROUP=values.group_size,
            VALUE_RUN=math.gcd(values.codes.size(-1), values.group_size),
            ROWS=rows,
            BLOCK=block,
            DIM=dim,
            num_warps=8 if rows * dim > 32 * 128 else 4,
            num_stages=2,
        )
        merge_kernel[(batch * kv_heads, group * queries)](
            partial, lse, out, splits, HEAD_DIM=head_dim, SPLITS=triton.next_power_of_2(splits), DIM=dim, num_warps=8
        )
    return out.to(query.dtype)


def _block_shape(query: torch.Tensor, past: QuantizedPast) -> tuple[int, int]:
    """Rows and columns of the queries of one KV head, as powers of two."""
    _, heads, queries, head_dim = query.shape
    rows = heads // past.tail_keys.size(1) * queries
    return max(MIN_DOT, triton.next_power_of_2(rows)), max(MIN_DOT, triton.next_power_of_2(head_dim))


def _splits(programs: int, tokens: int, device: torch.device) -> int:
    """Shares of the packed tokens of one head, when `programs` heads in the batch have as many."""
    if device.type == "cpu":
        return INTERPRETER_SPLITS
    wanted = triton.cdiv(PROGRAMS_PER_MULTIPROCESSOR * _multiprocessors(device), programs)
    return max(1, min(wanted, tokens // MIN_SPLIT_TOKENS, MAX_SPLITS))


@lru_cache
def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


@lru_cache(maxsize=16)
def _padding(padding: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """The same in every step and layer of a batch, copied to the device once."""
    return torch.tensor(padding, dtype=torch.int32, device=device)


def _unit_stride(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _operand(tensor: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
    """What the kernels read a tensor `[batch, heads, rows, columns]` by."""
    tensor = _unit_stride(tensor)
    return tensor, tensor.stride()[:3]

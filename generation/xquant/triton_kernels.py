"""Triton kernels of attention over packed codes, started by triton_attention.py, which has the equations.

`split_kernel` attends to one share of the tokens of one KV head, `merge_kernel` brings the shares together. Codes are
dequantised in float32 and rounded to the dtype of the queries, as the dense path does.
"""

import triton
import triton.language as tl


# What changes from step to step is not compiled in.
@triton.jit(
    do_not_specialize=[
        "mask_batch_stride",
        "mask_query_stride",
        "packed_slots",
        "tail_slots",
        "queries",
        "blocks_per_split",
    ]
)
def split_kernel(
    query,
    keys,
    values,
    tail,
    mask,
    mask_batch_stride,
    mask_query_stride,
    padding,
    partial,
    lse,
    packed_slots,
    tail_slots,
    queries,
    blocks_per_split,
    scaling,
    softcap,
    KV_HEADS: tl.constexpr,
    QUERY_GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    KEY_BITS: tl.constexpr,
    KEY_GROUP: tl.constexpr,
    VALUE_BITS: tl.constexpr,
    VALUE_GROUP: tl.constexpr,
    VALUE_RUN: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    DIM: tl.constexpr,
):
    """Attention of the query rows of KV head `program_id(0)` over share `program_id(1)` of its tokens.

    `query`, `keys`, `values` and `tail` consist of operands (pointer, strides). Row r is query `r % queries` of head
    `r // queries` in the group. Writes `partial` `[batch * kv_heads, splits, rows, HEAD_DIM]` and `lse`
    `[batch * kv_heads, splits, rows]`.
    """
    program, split, splits = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    batch, head = program // KV_HEADS, program % KV_HEADS
    row, token, dim = tl.arange(0, ROWS), tl.arange(0, BLOCK), tl.arange(0, DIM)
    is_row, is_dim = (row < QUERY_GROUP * queries)[:, None], dim < HEAD_DIM
    # Outputs have their channels in the order of unpacked values: planes of WIDTH bytes, each padded to PADDED.
    WIDTH: tl.constexpr = (HEAD_DIM * VALUE_BITS + 7) // 8
    PADDED: tl.constexpr = DIM * VALUE_BITS // 8
    channel = dim // PADDED * WIDTH + dim % PADDED
    is_channel = (dim % PADDED < WIDTH) & (channel < HEAD_DIM)

    query_row = row // queries * query[1][1] + row % queries * query[1][2]
    q = tl.load(_at(query, batch, head * QUERY_GROUP, 0) + query_row[:, None] + dim, mask=is_row & is_dim, other=0)
    if mask is not None:
        mask += tl.cast(batch, tl.int64) * mask_batch_stride + (row % queries * mask_query_stride)[:, None]
    padded = 0
    if padding is not None:
        padded = tl.load(padding + batch)

    peak = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, DIM], tl.float32)
    if split < splits - 1:
        tokens = packed_slots - padded
        first = split * blocks_per_split * BLOCK
        for start in range(first, tl.minimum(first + blocks_per_split * BLOCK, tokens), BLOCK):
            k = _packed_keys(keys, batch, head, start, tokens, KEY_BITS, KEY_GROUP, HEAD_DIM, BLOCK, DIM)
            v = _packed_values(
                values, batch, head, start, tokens, VALUE_BITS, VALUE_GROUP, VALUE_RUN, HEAD_DIM, BLOCK, DIM
            )
            bias = _bias(mask, start + token + padded, start + token < tokens)
            peak, total, out = _attend(q, k.to(q.dtype), v.to(q.dtype), bias, peak, total, out, scaling, softcap)
    else:
        for start in range(0, tail_slots, BLOCK):
            slot = start + token + packed_slots
            is_token = (start + token < tail_slots) & (slot >= padded)
            key = _at(tail[0], batch, head, start) + (token * tail[0][1][2])[:, None] + dim
            value = _at(tail[1], batch, head, start) + (token * tail[1][1][2])[:, None] + channel
            k = tl.load(key, mask=is_token[:, None] & is_dim, other=0)
            v = tl.load(value, mask=is_token[:, None] & is_channel, other=0)
            bias = _bias(mask, slot, is_token)
            peak, total, out = _attend(q, k.to(q.dtype), v.to(q.dtype), bias, peak, total, out, scaling, softcap)

    at = (tl.cast(program, tl.int64) * splits + split) * (QUERY_GROUP * queries) + row[:, None]
    total = tl.where(peak == float("-inf"), 1, total)
    tl.store(lse + at, (peak + tl.log(total))[:, None], mask=is_row)
    tl.store(partial + at * HEAD_DIM + channel, out / total[:, None], mask=is_row & is_channel)


@triton.jit(do_not_specialize=["splits"])
def merge_kernel(partial, lse, out, splits, HEAD_DIM: tl.constexpr, SPLITS: tl.constexpr, DIM: tl.constexpr):
    """Merge the splits of row `program_id(1)` of KV head `program_id(0)`; rows lie in `out` as in `partial`."""
    program, row, rows = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    split, dim = tl.arange(0, SPLITS), tl.arange(0, DIM)
    is_split, is_dim = split < splits, dim < HEAD_DIM
    at = (program * splits + split) * rows + row
    logs = tl.load(lse + at, mask=is_split, other=float("-inf"))
    parts = tl.load(partial + at[:, None] * HEAD_DIM + dim, mask=is_split[:, None] & is_dim, other=0)
    weight = tl.exp(logs - _finite(tl.max(logs, 0)))
    total = tl.sum(weight, 0)
    merged = tl.sum(weight[:, None] * parts, 0) / tl.where(total > 0, total, 1)
    tl.store(out + (program * rows + row) * HEAD_DIM + dim, merged, mask=is_dim)


@triton.jit
def _at(operand, batch, head, row):
    """Pointer to a row of an operand."""
    tensor, strides = operand
    batch, head, row = tl.cast(batch, tl.int64), tl.cast(head, tl.int64), tl.cast(row, tl.int64)
    return tensor + (batch * strides[0] + head * strides[1] + row * strides[2])


@triton.jit
def _packed_keys(
    keys,
    batch,
    head,
    start,
    tokens,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    DIM: tl.constexpr,
):
    """Keys from token `start` on, zero in groups from `tokens` on: float32 `[BLOCK, DIM]`.

    A block is several groups or a part of one. Unpacked as `[groups, planes, bytes of a plane, DIM]`.
    """
    codes, scale, zero = keys
    BYTES: tl.constexpr = GROUP * BITS // 8
    READ: tl.constexpr = min(BYTES, BLOCK)
    PLANES: tl.constexpr = min(8 // BITS, BLOCK // READ)
    group = tl.arange(0, BLOCK // (PLANES * READ))[:, None, None, None]
    plane = start % GROUP // BYTES + tl.arange(0, PLANES)[None, :, None, None]
    byte = start % BYTES + tl.arange(0, READ)[None, None, :, None]
    dim = tl.arange(0, DIM)[None, None, None, :]
    inside = (start // GROUP * GROUP + group * GROUP < tokens) & (dim < HEAD_DIM)
    packed = _at(codes, batch, head, start // GROUP * BYTES) + (group * BYTES + byte) * codes[1][2] + dim
    s = _at(scale, batch, head, start // GROUP) + group * scale[1][2] + dim
    z = _at(zero, batch, head, start // GROUP) + group * zero[1][2] + dim
    return tl.reshape(_dequantize(packed, s, z, inside, inside, plane, BITS), BLOCK, DIM)


@triton.jit
def _packed_values(
    values,
    batch,
    head,
    start,
    tokens,
    BITS: tl.constexpr,
    GROUP: tl.constexpr,
    RUN: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    DIM: tl.constexpr,
):
    """Values from token `start` on, zero from `tokens` on: float32 `[BLOCK, DIM]`, channels in the order of planes.

    Unpacked as `[BLOCK, planes, runs, RUN]`; a run is a part of a plane that lies in one group.
    """
    codes, scale, zero = values
    WIDTH: tl.constexpr = (HEAD_DIM * BITS + 7) // 8
    token = tl.arange(0, BLOCK)[:, None, None, None]
    plane = tl.arange(0, 8 // BITS)[None, :, None, None]
    run = tl.arange(0, DIM * BITS // 8 // RUN)[None, None, :, None] * RUN
    byte = run + tl.arange(0, RUN)[None, None, None, :]
    channel = plane * WIDTH + run
    inside = (start + token < tokens) & (run < WIDTH)
    packed = _at(codes, batch, head, start) + token * codes[1][2] + byte
    s = _at(scale, batch, head, start) + token * scale[1][2] + channel // GROUP
    z = _at(zero, batch, head, start) + token * zero[1][2] + channel // GROUP
    v = _dequantize(packed, s, z, inside, inside & (channel < HEAD_DIM), plane, BITS)
    return tl.reshape(v, BLOCK, DIM)


@triton.jit
def _dequantize(packed, scale, zero, is_byte, is_group, plane, BITS: tl.constexpr):
    """Bit plane `plane` of the bytes at `packed`, times scale plus zero, in float32; zero where nothing is read."""
    codes = (tl.load(packed, mask=is_byte, other=0) >> plane * BITS) & ((1 << BITS) - 1)
    scale = tl.load(scale, mask=is_group, other=0).to(tl.float32)
    return codes.to(tl.float32) * scale + tl.load(zero, mask=is_group, other=0)


@triton.jit
def _bias(mask, slot, is_token):
    """What to add to the scores, `[ROWS or 1, BLOCK]`: the mask, and minus infinity where there is no token."""
    bias = tl.where(is_token, 0.0, float("-inf"))[None, :]
    if mask is not None:
        given = tl.load(mask + slot, mask=is_token[None, :], other=0)
        if mask.dtype.element_ty == tl.uint8:
            bias = tl.where(given != 0, bias, float("-inf"))
        else:
            bias += given.to(tl.float32)
    return bias


@triton.jit
def _attend(q, k, v, bias, peak, total, out, scaling, softcap):
    """One step of online softmax: q `[ROWS, DIM]` against k and v `[BLOCK, DIM]`."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scaling
    if softcap is not None:
        scores = softcap * (2 * tl.sigmoid(2 * scores / softcap) - 1)  # tanh
    scores += bias
    new_peak = tl.maximum(peak, tl.max(scores, 1))
    p = tl.exp(scores - _finite(new_peak)[:, None])
    decay = tl.exp(peak - _finite(new_peak))
    out = tl.dot(p.to(v.dtype), v, out * decay[:, None], input_precision="ieee")
    return new_peak, total * decay + tl.sum(p, 1), out


@triton.jit
def _finite(peak):
    """A maximum of scores that can be subtracted from them, also where all are minus infinity."""
    return tl.where(peak == float("-inf"), 0, peak)

"""The Triton kernels against float64 attention over elements read by the documented layout.

They run on CUDA, or in Triton's interpreter where there is none.

Everything that attention must not read is NaN: metadata behind the tokens of a row, and padding in the tail.
"""

import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # counts only where nothing imported triton before
pytest.importorskip("triton")

from setaria.generation.xquant.layout import KeyLayout, ValueLayout  # noqa: E402
from setaria.generation.xquant.packing import pack  # noqa: E402
from setaria.generation.xquant.past import PackedStates, QuantizedPast  # noqa: E402
from setaria.generation.xquant.triton_attention import is_supported, triton_attention  # noqa: E402


SCALING = 0.3
# Relative to the largest output: sums are float32; half precision rounds elements, weights and outputs. In the
# interpreter, which has no bfloat16, it rounds outputs alone.
TOLERANCE = {
    torch.float32: 3e-6,
    torch.float16: 2**-11,
    torch.bfloat16: 2**-7 if DEVICE == "cuda" else 2**-9 + 3e-6,
}


def random_past(
    packed=96,
    tail=7,
    padding=(0, 0),
    kv_heads=2,
    head_dim=64,
    bits=(2, 2),
    groups=(32, 32),
    dtype=torch.float32,
    metadata=torch.float16,
    spare=(0, 0, 0),
) -> QuantizedPast:
    """`spare` groups of unused capacity in codes, scales and zeros."""
    batch, (key_bits, value_bits), (key_group, value_group) = len(padding), bits, groups
    key_groups = -(-packed // key_group)
    value_groups = -(-head_dim // value_group)

    def codes(tokens, bits):
        return torch.randint(2**bits, (batch, kv_heads, tokens, head_dim), dtype=torch.uint8)

    def part(rows, columns, used, divisor):
        data = (torch.randn(batch, kv_heads, rows, columns) / divisor).to(metadata)
        for row, rows_used in enumerate(used):
            data[row, :, rows_used:] = torch.nan
        return data

    tokens = [max(packed - slots, 0) for slots in padding]
    groups_used = [-(-count // key_group) for count in tokens]
    sizes = [key_groups + more for more in spare]
    keys = PackedStates(
        pack(codes(sizes[0] * key_group, key_bits).unflatten(2, (-1, key_group)), key_bits, -2).flatten(2, 3),
        part(sizes[1], head_dim, groups_used, 2**key_bits),
        part(sizes[2], head_dim, groups_used, 1),
        KeyLayout(key_bits, key_group, head_dim),
    )
    values = PackedStates(
        pack(codes(packed + spare[0], value_bits), value_bits, -1),
        part(packed + spare[1], value_groups, tokens, 2**value_bits),
        part(packed + spare[2], value_groups, tokens, 1),
        ValueLayout(value_bits, value_group, head_dim),
    )
    tails = torch.randn(2, batch, kv_heads, tail, head_dim).to(dtype)
    for row, slots in enumerate(padding):
        tails[:, row, :, : max(slots - packed, 0)] = torch.nan
    return QuantizedPast(keys, values, packed, padding, *tails)


def key(keys: PackedStates, row: int, tokens: int) -> torch.Tensor:
    """The first keys of a row, `[kv_heads, tokens, head_dim]`."""
    token = torch.arange(tokens)
    group, within = token // keys.group_size, token % keys.group_size
    rows = keys.group_size * keys.bits // 8
    packed = keys.codes[row][:, group * rows + within % rows].long()
    codes = packed >> (within // rows * keys.bits)[:, None] & 2**keys.bits - 1
    return codes * keys.scale[row][:, group].double() + keys.zero[row][:, group].double()


def value(values: PackedStates, row: int, tokens: int) -> torch.Tensor:
    """The first values of a row, `[kv_heads, tokens, head_dim]`."""
    channel = torch.arange(values.layout.head_dim)
    width = -(-values.layout.head_dim * values.bits // 8)
    packed = values.codes[row, :, :tokens][..., channel % width].long()
    codes = packed >> channel // width * values.bits & 2**values.bits - 1
    scale, zero = (
        part[row, :, :tokens, channel // values.group_size].double() for part in (values.scale, values.zero)
    )
    return codes * scale + zero


def reference(query, past, mask, softcap=None) -> torch.Tensor:
    """Attention in float64, over elements rounded as the kernels round them."""
    exact = query.dtype == torch.float32 or (query.dtype == torch.bfloat16 and DEVICE == "cpu")
    rounded = torch.float64 if exact else query.dtype
    out = torch.zeros(query.shape, dtype=torch.float64)
    group = query.size(1) // past.tail_keys.size(1)
    for row, head in torch.cartesian_prod(*map(torch.arange, query.shape[:2])).tolist():
        padding, packed = past.padding[row], max(past.packed_slots - past.padding[row], 0)
        in_tail = slice(max(padding - past.packed_slots, 0), None)
        k, v = (
            torch.cat((read(part, row, packed)[head // group].to(rounded).double(), rest[row, head // group, in_tail]))
            for read, part, rest in ((key, past.keys, past.tail_keys), (value, past.values, past.tail_values))
        )
        scores = query[row, head].double() @ k.double().T * SCALING
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        if mask is not None:
            given = mask.expand(query.size(0), -1, -1, -1)[row, 0, :, padding:]
            scores += torch.zeros(given.shape).masked_fill(~given, -torch.inf) if given.dtype == torch.bool else given
        out[row, head] = scores.softmax(-1).nan_to_num(0.0) @ v.double()
    return out


def check(query, past, mask=None, softcap=None, splits=None) -> None:
    out = triton_attention(query, past, mask, SCALING, softcap, splits)
    expected = reference(query, past, mask, softcap)
    assert out.dtype == query.dtype
    assert out.shape == query.shape
    assert (out.double() - expected).abs().amax() <= TOLERANCE[query.dtype] * expected.abs().amax().clamp(min=1)


def random_query(past, group=2, queries=1, dtype=torch.float32) -> torch.Tensor:
    batch, kv_heads, _, head_dim = past.tail_keys.shape
    return torch.randn(batch, kv_heads * group, queries, head_dim).to(dtype)


def causal(past, queries) -> torch.Tensor:
    """Bool `[batch, 1, queries, slots]`: the queries are the last slots; padding is masked."""
    slot, padding = torch.arange(past.slots), torch.tensor(past.padding)
    ends = past.slots - queries + torch.arange(queries)
    return ((slot <= ends[:, None]) & (slot >= padding[:, None, None]))[:, None]


@pytest.fixture(autouse=True)
def seeded_on_device():
    torch.manual_seed(0)
    with torch.device(DEVICE):
        yield


@pytest.mark.parametrize("bits", [(1, 1), (2, 2), (4, 4), (8, 8), (2, 1), (1, 8), (4, 2)], ids=str)
def test_bits(bits):
    past = random_past(bits=bits)
    check(random_query(past), past)


@pytest.mark.parametrize("bits", [(2, 1), (1, 4), (8, 2)], ids=str)
@pytest.mark.parametrize(
    ("groups", "head_dim"), [((16, 16), 128), ((32, 128), 128), ((64, 32), 256), ((128, 64), 128), ((128, 64), 256)]
)
def test_group_sizes(groups, bits, head_dim):
    """Larger and smaller than a block of tokens, which is shorter for a large head."""
    past = random_past(packed=200, padding=(0,), head_dim=head_dim, groups=groups, bits=bits)
    check(random_query(past), past)


@pytest.mark.parametrize("head_dim", [8, 10, 80, 96, 128])
@pytest.mark.parametrize("bits", [(2, 1), (8, 2), (1, 4)], ids=str)
def test_head_dimensions(head_dim, bits):
    past = random_past(padding=(0,), head_dim=head_dim, bits=bits)
    check(random_query(past), past)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bits", [(2, 1), (8, 8)], ids=str)
def test_half_precision(dtype, bits):
    past = random_past(bits=bits, dtype=dtype)
    check(random_query(past, queries=3, dtype=dtype), past, causal(past, 3))


@pytest.mark.parametrize(("group", "queries"), [(1, 1), (1, 5), (4, 1), (4, 5), (8, 1), (8, 5), (4, 32), (8, 16)])
def test_query_rows_that_share_a_head(group, queries):
    past = random_past(tail=40, padding=(20,), kv_heads=1 if queries > 5 else 2, head_dim=128)
    check(random_query(past, group, queries), past, causal(past, queries))


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("kind", ["bool", "float32", "float16"])
def test_masks(kind, queries):
    past = random_past(packed=100, tail=9)
    mask = causal(past, queries) & (torch.rand(2, 1, queries, past.slots) < 0.5)
    if kind != "bool":
        mask = torch.randn(mask.shape).masked_fill(~mask, -torch.inf).to(getattr(torch, kind))
    check(random_query(past, queries=queries), past, mask)


def test_one_mask_for_all_rows():
    past = random_past()
    check(random_query(past, queries=5), past, causal(past, 5)[:1])


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("padding", [(0, 3), (70, 0), (96, 64), (99, 1)], ids=str)
def test_left_padding(padding, queries):
    """Also of all packed slots, and of some in the tail."""
    past = random_past(packed=96, tail=9, padding=padding)
    query = random_query(past, queries=queries)
    check(query, past, causal(past, queries))
    check(query, past, torch.ones(1, 1, queries, past.slots, dtype=torch.bool))


@pytest.mark.parametrize(("packed", "tail"), [(0, 1), (0, 150), (1, 1), (77, 0), (130, 70)])
def test_extents(packed, tail):
    """Nothing packed, no tail, and neither a multiple of a group or a block."""
    past = random_past(packed, tail)
    check(random_query(past), past)


def test_unused_capacity_and_foreign_strides():
    past = random_past(packed=70, tail=6, spare=(5, 2, 3))
    slots = past.slots
    wide = torch.randn(2, 5, 4, 64)  # [batch, queries, heads, head_dim], as models make it
    mask = torch.zeros(2, 1, 5, slots + 10, dtype=torch.bool)
    mask[..., :slots] = causal(past, 5)
    check(wide.transpose(1, 2), past, mask[..., :slots])
    keys = replace(
        past.keys, **{name: getattr(past.keys, name).mT.contiguous().mT for name in ("codes", "scale", "zero")}
    )
    check(wide.transpose(1, 2), replace(past, keys=keys), causal(past, 5).mT.contiguous().mT)


def test_float32_metadata():
    past = random_past(metadata=torch.float32)
    check(random_query(past), past)
    half = replace(past.keys, scale=past.keys.scale.half())
    check(random_query(past), replace(past, keys=half))


@pytest.mark.parametrize("softcap", [1.0, 30.0])
def test_softcap(softcap):
    past = random_past()
    check(random_query(past, queries=3), past, causal(past, 3), softcap)


@pytest.mark.parametrize("splits", [1, 2, 3, 5, 64])
def test_any_number_of_splits(splits):
    past = random_past(packed=300, padding=(0, 170))
    check(random_query(past), past, splits=splits)


@pytest.mark.parametrize("additive", [False, True])
def test_a_query_that_attends_to_nothing_is_zero(additive):
    past = random_past()
    mask = causal(past, 3)
    mask[0, :, 1] = False
    query = random_query(past, queries=3)
    given = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf) if additive else mask
    assert torch.equal(triton_attention(query, past, given, SCALING)[0, :, 1], torch.zeros(4, 64))
    check(query, past, given)


def test_by_hand():
    """Equal keys weigh three tokens equally: two packed, of 1-bit values with channel c in bit c, and a tail."""
    zeros = torch.zeros(1, 1, 1, 8)
    keys = PackedStates(torch.full((1, 1, 2, 8), 0b10011011, dtype=torch.uint8), zeros, zeros, KeyLayout(1, 16, 8))
    codes = torch.tensor([0b10110001, 0b00000011], dtype=torch.uint8).view(1, 1, 2, 1)
    scale, zero = torch.tensor([3.0, 6.0]).view(1, 1, 2, 1), torch.tensor([0.0, 9.0]).view(1, 1, 2, 1)
    values = PackedStates(codes, scale, zero, ValueLayout(1, 32, 8))
    past = QuantizedPast(keys, values, 2, (0,), zeros, zeros + 30)
    query = torch.randn(1, 1, 1, 8)
    out = triton_attention(query, past, None, SCALING)
    # (3 * bit + (9 + 6 * bit') + 30) / 3
    torch.testing.assert_close(out.flatten(), torch.tensor([16.0, 15, 13, 13, 14, 14, 13, 14]))
    only_second = torch.tensor([False, True, False]).view(1, 1, 1, 3)
    out = triton_attention(query, past, only_second, SCALING)
    torch.testing.assert_close(out.flatten(), torch.tensor([15.0, 15, 9, 9, 9, 9, 9, 9]))


@pytest.mark.parametrize("shape", [(2, 4, 1, 103), (3, 1, 1, 103), (2, 1, 2, 103), (2, 1, 1, 96), (1, 103)], ids=str)
def test_masks_of_other_shapes_are_refused(shape):
    past = random_past()
    with pytest.raises(ValueError, match="mask is"):
        triton_attention(random_query(past), past, torch.ones(shape, dtype=torch.bool), SCALING)


def test_several_queries_need_a_mask():
    past = random_past()
    with pytest.raises(ValueError, match="need a mask"):
        triton_attention(random_query(past, queries=2), past, None, SCALING)


@pytest.mark.parametrize(
    ("head_dim", "group", "queries", "dtype", "supported"),
    [
        (128, 8, 16, torch.bfloat16, True),
        (128, 8, 17, torch.bfloat16, False),
        (128, 8, 8, torch.float32, True),
        (128, 8, 9, torch.float32, False),
        (256, 2, 32, torch.float16, True),
        (264, 1, 1, torch.float16, False),
    ],
)
def test_support(head_dim, group, queries, dtype, supported):
    past = random_past(packed=0, padding=(0,), head_dim=head_dim)
    assert is_supported(random_query(past, group, queries, dtype), past) is supported


@settings(max_examples=15)
@given(
    packed=st.integers(0, 200),
    tail=st.integers(1, 80),
    padding=st.lists(st.integers(0, 150), min_size=1, max_size=2),
    head_dim=st.integers(1, 70),
    bits=st.tuples(*[st.sampled_from([1, 2, 4, 8])] * 2),
    groups=st.tuples(*[st.sampled_from([16, 32, 64, 128])] * 2),
    queries=st.integers(1, 3),
    splits=st.integers(1, 4),
)
def test_any_past(packed, tail, padding, head_dim, bits, groups, queries, splits):
    padding = tuple(min(slots, packed + tail - 1) for slots in padding)
    past = random_past(packed, tail, padding, 1, head_dim, bits, groups)
    queries = min(queries, tail)
    check(random_query(past, queries=queries), past, causal(past, queries), splits=splits)

"""Attention over packed codes in torch, against float64 softmax attention over the dequantised states."""

import pytest
import torch
from tiny_families import tiny, tokens
from transformers import LlamaConfig

from setaria.generation import XQuantCache, XQuantConfig
from setaria.generation.xquant import use_packed_attention
from setaria.generation.xquant.attention import packed_attention, xquant_attention
from setaria.generation.xquant.lazy_states import LazyStates
from setaria.generation.xquant.past import PackedStates


def lazy_states(config, tokens, batch=1, heads=2, head_dim=32, dtype=torch.float32, padding=None):
    """Keys and values of a filled layer as attention gets them, lazy and dense."""
    model_config = LlamaConfig(num_hidden_layers=2, num_attention_heads=heads, head_dim=head_dim)
    caches = [XQuantCache(model_config, config) for _ in range(2)]
    caches[0].config._attn_implementation = "xquant"
    caches[1].config = LlamaConfig(attn_implementation="sdpa")
    generator = torch.Generator().manual_seed(1)
    given = torch.randn(2, 2, batch, heads, tokens, head_dim, generator=generator).to(dtype)
    results = []
    for cache in caches:
        if padding is not None:
            cache.set_padding(padding)
        for layer in range(2):
            keys, values = given[layer]
            cache.update(keys[:, :, :-1], values[:, :, :-1], layer)
            last = cache.update(keys[:, :, -1:], values[:, :, -1:], layer)
        results.append(last)
    return results


def exact_attention(query, keys, values, mask, scaling, softcap=None):
    query, keys, values = query.double(), keys.double(), values.double()
    group = query.size(1) // keys.size(1)
    scores = query @ keys.repeat_interleave(group, 1).transpose(-1, -2) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.nan_to_num(scores.softmax(-1))
    return weights @ values.repeat_interleave(group, 1)


@pytest.mark.parametrize("bits", [(2, 1), (4, 8), (1, 2)])
@pytest.mark.parametrize("group_size", [16, 32, 64, 128])
@pytest.mark.parametrize("head_dim", [8, 32, 80, 96])
def test_packed_attention_is_exact(bits, group_size, head_dim):
    config = XQuantConfig(
        key_bits=bits[0], value_bits=bits[1], group_size=group_size, residual_length=group_size, v_share_from=0
    )
    (keys, _), (dense_keys, dense_values) = lazy_states(config, tokens=400, head_dim=head_dim)
    assert isinstance(keys, LazyStates) and keys.shape == dense_keys.shape
    query = torch.randn(1, 6, 1, head_dim)
    output = packed_attention(query, keys.past, None, 0.3)
    expected = exact_attention(query, dense_keys, dense_values, None, 0.3)
    torch.testing.assert_close(output.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_masks_padding_and_softcap(dtype, softcap):
    padding = torch.ones(4, 299, dtype=torch.long)
    for row, padded in enumerate((0, 7, 150, 290)):
        padding[row, :padded] = 0
    config = XQuantConfig(residual_length=32, window="paper")
    (keys, _), (dense_keys, dense_values) = lazy_states(config, tokens=300, batch=4, padding=padding)
    queries = 3
    mask = torch.nn.functional.pad(padding, (0, 1), value=1).bool()[:, None, None].repeat(1, 1, queries, 1)
    mask[:, :, 0, -1] = False
    mask[3, :, 1] = False  # a query that attends to nothing
    given = mask if dtype == torch.bool else torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    query = torch.randn(4, 4, queries, 32)
    output = packed_attention(query, keys.past, given, 0.3, softcap)
    expected = exact_attention(query, dense_keys, dense_values, mask, 0.3, softcap)
    torch.testing.assert_close(output.double(), expected, rtol=1e-4, atol=1e-5)
    assert output[3, :, 1].eq(0).all()
    unmasked = packed_attention(query, keys.past, None, 0.3, softcap)
    assert (unmasked - output)[2].abs().max() > 1e-3


def test_many_chunks(monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["setaria.generation.xquant.chunked_attention"], "CHUNK_ELEMENTS", 1)
    chunks = []
    dense = PackedStates.dense

    def recorded(self, start, stop, *args, **kwargs):
        chunks.append(stop - start)
        return dense(self, start, stop, *args, **kwargs)

    monkeypatch.setattr(PackedStates, "dense", recorded)
    (keys, _), (dense_keys, dense_values) = lazy_states(XQuantConfig(residual_length=32), tokens=1000)
    query = torch.randn(1, 2, 1, 32)
    expected = exact_attention(query, dense_keys, dense_values, None, 2.0)
    chunks.clear()
    torch.testing.assert_close(packed_attention(query, keys.past, None, 2.0).double(), expected, rtol=1e-4, atol=1e-5)
    assert len(chunks) >= 7 and max(chunks) <= 128  # no more of the past is dense at a time


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    (keys, _), (dense_keys, dense_values) = lazy_states(XQuantConfig(residual_length=32), tokens=300, dtype=dtype)
    query = torch.randn(1, 2, 1, 32, dtype=dtype)
    output = packed_attention(query, keys.past, None, 0.3)
    assert output.dtype == dtype
    expected = exact_attention(query, dense_keys, dense_values, None, 0.3)
    # float32 inside: what differs is the rounding of dequantised states and of the result to the dtype
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(output.double(), expected, rtol=tolerance, atol=tolerance)


def test_lazy_states_are_right_for_any_operation():
    (keys, values), (dense_keys, dense_values) = lazy_states(XQuantConfig(residual_length=32), tokens=300)
    assert torch.equal(keys * 1, dense_keys)
    assert torch.equal(torch.cat((values, values)), torch.cat((dense_values, dense_values)))
    query = torch.randn(1, 2, 1, 32)
    attend = torch.nn.functional.scaled_dot_product_attention
    torch.testing.assert_close(attend(query, keys, values), attend(query, dense_keys, dense_values))


def test_lazy_states_outlive_later_updates():
    config = XQuantConfig(residual_length=32)
    (keys, values), (dense_keys, dense_values) = lazy_states(config, tokens=320)  # the next token makes a group leave
    assert torch.equal(keys.dense(), dense_keys)
    assert torch.equal(values.dense(), dense_values)


def test_the_interface_takes_what_it_cannot_do_packed_to_sdpa():
    (keys, values), (dense_keys, dense_values) = lazy_states(XQuantConfig(residual_length=32), tokens=300)
    module = torch.nn.Module()
    query = torch.randn(1, 2, 4, 32)
    mask = torch.ones(1, 1, 4, 300, dtype=torch.bool).tril(296)
    bias = torch.randn(1, 2, 4, 300)
    plain, _ = xquant_attention(module, query, keys, values, mask)
    biased, _ = xquant_attention(module, query, keys, values, mask, position_bias=bias)
    expected = exact_attention(query, dense_keys, dense_values, mask, 32**-0.5)
    expected_biased = exact_attention(query, dense_keys, dense_values, bias.masked_fill(~mask, -1e9), 32**-0.5)
    torch.testing.assert_close(plain.transpose(1, 2).double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(biased.transpose(1, 2).double(), expected_biased, rtol=1e-4, atol=1e-5)


def test_a_model_attends_packed_without_making_the_past_dense(monkeypatch):
    model = tiny("llama")
    use_packed_attention(model)
    config = XQuantConfig(value_bits=1, v_share_from=0, residual_length=16, group_size=16)
    ids = tokens(2, 100)
    logits = []
    for simulate in (False, True):
        cache = XQuantCache(model.config, config, simulate=simulate)
        with torch.no_grad():
            model(ids[:, :-1], past_key_values=cache)
            if not simulate:
                monkeypatch.setattr(LazyStates, "dense", lambda self: pytest.fail("the past was made dense"))
            logits.append(model(ids[:, -1:], past_key_values=cache).logits)
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)

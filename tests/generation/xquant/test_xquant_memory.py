"""Accounting: what `memory()` says against the tensors that the cache really holds, and the bits against hand
counts."""

import gc

import pytest
import torch
from tiny_families import tiny, tokens
from transformers import LlamaConfig

from setaria.generation import XQuantCache, XQuantConfig, xquant


def held_bytes(root) -> int:
    """Bytes of all distinct tensor storages that can be reached from an object, found by walking its attributes."""
    storages, seen, stack = {}, set(), [root]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
        elif type(value).__module__.startswith(("setaria", "transformers.cache_utils")):
            stack += vars(value).values()
    return sum(storages.values())


def filled(
    config: XQuantConfig, layers: int, tokens: int, batch=1, heads=1, head_dim=32, dtype=torch.float16, **kwargs
):
    model_config = LlamaConfig(num_hidden_layers=layers, num_attention_heads=heads, head_dim=head_dim)
    cache = XQuantCache(model_config, config, **kwargs)
    generator = torch.Generator().manual_seed(0)
    for layer in range(layers):
        keys, values = torch.randn(2, batch, heads, tokens, head_dim, generator=generator).to(dtype)
        cache.update(keys.clone(), values.clone(), layer)
    return cache


# True bits at group 32 with a float16 scale and zero: code bits + (16 + 16) / 32, the latter also where codes are
# shared.
@pytest.mark.parametrize(
    ("preset", "equivalent", "stored"),
    [
        ("kivi-4", 4.0, 5.0),
        ("kivi-2", 2.0, 3.0),
        ("asymkv-1.5", 1.5, 2.5),
        ("xquant-1.4", 1.40625, 2.40625),
        ("xquant-1.38", 1.375, 2.375),
        ("xquant-1.16", 1.15625, 2.15625),
    ],
)
def test_bits_of_32_layers(preset, equivalent, stored):
    # sliding, so that keys and values have packed equally many tokens and the mean is exact
    memory = filled(XQuantConfig.preset(preset, window="sliding"), layers=32, tokens=160 + 64).memory()
    assert memory.equivalent_bits == equivalent
    assert memory.stored_bits == stored


def test_bytes_by_hand():
    # 2 layers, 1 row, 2 heads of 32 channels, 96 tokens: sliding keeps 32, 64 are packed.
    config = XQuantConfig(value_bits=1, v_share_from=0, residual_length=32)
    memory = filled(config, layers=2, tokens=96, heads=2).memory()
    # key codes: 2 layers x 2 heads x 64 tokens x 32 channels x 2 bits; value codes: one layer, 1 bit
    assert memory.codes == 2 * 2 * 64 * 32 * 2 // 8 + 2 * 64 * 32 // 8
    # a scale and a zero of 2 bytes for every 32 of 2 layers x (keys, values) x 2 heads x 64 x 32 elements
    assert memory.metadata == 2 * 2 * 2 * 64 * 32 // 32 * 4
    # 32 tokens, 2 bytes per element
    assert memory.residual == 2 * 2 * 2 * 32 * 32 * 2
    assert memory.slack == 0
    assert memory.total == memory.codes + memory.metadata + memory.residual


@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma3", "phi3"])
def test_memory_is_what_torch_holds(family, simulate):
    model = tiny(family)
    config = XQuantConfig(value_bits=1, v_share_from=0, residual_length=16, group_size=16)
    cache = XQuantCache(model.config, config, simulate=simulate)
    for length in (1, 70, 90):
        cache.reset()
        model.generate(tokens(2, length), past_key_values=cache, max_new_tokens=30, do_sample=False)
        gc.collect()
        memory = cache.memory()
        assert memory.total == held_bytes(cache)
        assert min(memory.codes, memory.metadata, memory.residual, memory.slack) >= 0
    assert (memory.stored_bits, memory.codes > 0) == (cache.memory().stored_bits, True)


def test_slack_stays_below_a_quarter_and_growth_is_linear():
    config = XQuantConfig.preset("xquant-1.38", residual_length=32)
    cache = filled(config, layers=2, tokens=256, heads=2)
    used = {}
    for length in range(257, 1025):
        for layer in range(2):
            keys, values = torch.randn(2, 1, 2, 1, 32).half()
            cache.update(keys, values, layer)
        memory = cache.memory()
        packed = memory.codes + memory.metadata
        assert memory.slack <= 0.25 * packed + 2 * 4 * 64 * 16
        used[length] = packed
    # 2 layers x (keys, values) x 2 heads x 32 channels per token, at 2.25 stored bits: 4 sides of 2, 2, 1 and 0 code
    # bits plus 1 of metadata each make 9 bits per position of 64 elements.
    per_token = 64 * 9 / 8
    assert (used[1024] - used[512]) / 512 == pytest.approx(per_token, rel=0.02)


def test_8k_tokens_take_less_than_a_fifth_of_float16():
    cache = filled(XQuantConfig.preset("xquant-1.38"), layers=32, tokens=8192, heads=1, head_dim=64)
    full = 2 * 32 * 8192 * 64 * 2
    assert held_bytes(cache) == cache.memory().total
    assert cache.memory().total <= 0.2 * full


def test_float32_metadata_where_the_range_demands_it():
    config = XQuantConfig(residual_length=32)
    model_config = LlamaConfig(num_hidden_layers=2, num_attention_heads=1, head_dim=32)
    cache = XQuantCache(model_config, config)
    small, large = torch.randn(1, 1, 64, 32), torch.randn(1, 1, 64, 32) + 1e5
    for states in (small, large):
        for layer in range(2):
            cache.update(states, states, layer)
    read, _ = cache.update(small[:, :, :1], small[:, :, :1], 0)
    assert read.isfinite().all()
    torch.testing.assert_close(read[:, :, :32], small[:, :, :32], rtol=0, atol=1.5)
    torch.testing.assert_close(read[:, :, 64:96], large[:, :, :32], rtol=0, atol=1.5)
    assert cache.memory().stored_bits == 3.5  # 2 + (16 + 32) / 32: only the zeros are large


def test_8_bit_metadata_is_counted_with_its_ends():
    # 8 bits of scale and of zero per 32 elements; per row (token or key group) two pairs of float32 ends for 8 heads x
    # 64 channels: values 512 elements, keys 512 x 32.
    memory = filled(XQuantConfig(metadata="int8"), layers=2, tokens=160, heads=8, head_dim=64).memory()
    expected = (2 + 16 / 32 + 128 / 512 + 2 + 16 / 32 + 128 / (512 * 32)) / 2
    assert memory.stored_bits == expected


def test_the_hook_reports_the_last_cache():
    model = tiny("llama")
    with xquant(model, "safe") as hook:
        assert hook.cache is None
        model.generate(tokens(1, 200), max_new_tokens=2)
        assert hook.cache.memory().stored_bits > 4
    assert hook.cache is None

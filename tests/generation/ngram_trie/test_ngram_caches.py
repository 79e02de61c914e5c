"""Drafts over quantised caches: the tokens of plain decoding through the same cache."""

import pytest
import torch
from ngram_inputs import EAGER, both, left_padded
from tiny_families import tiny, tokens
from transformers import DynamicCache, QuantizedCache, StaticCache

from setaria.generation import XQuantCache, XQuantConfig, ngram_trie, xquant
from setaria.generation.xquant import PRESETS


SMALL = XQuantConfig(residual_length=32, group_size=16)
LONG = {"max_new_tokens": 200, "pad_token_id": 0, "do_sample": False}


@pytest.fixture(scope="module")
def model():
    return tiny("llama", initializer_range=0.1)


@pytest.mark.parametrize("preset", [*PRESETS, SMALL], ids=[*PRESETS, "small window"])
@pytest.mark.parametrize("packed", [False, True], ids=["dense", "packed"])
def test_xquant(model, preset, packed):
    inputs = left_padded(1)
    results = []
    for drafts in (False, True):
        if packed:
            with xquant(model, preset):
                results.append(generate(model, inputs, drafts))
        else:
            results.append(generate(model, inputs, drafts, XQuantCache(model.config, preset)))
    (plain, _), (drafted, stats) = results
    assert torch.equal(plain, drafted)
    # the paper's windows quantise a value with every token once they are full: no draft is exact there
    assert stats.tokens_per_forward > (2 if preset in ("safe", SMALL) else 1.2)


def test_both_hooks_in_either_order(model):
    inputs = left_padded(1)
    with xquant(model, SMALL):
        plain = model.generate(**inputs, **LONG)
    for first, second in ((xquant, ngram_trie), (ngram_trie, xquant)):
        with first(model, *settings(first)) as outer, second(model, *settings(second)) as inner:
            drafted = model.generate(**inputs, **LONG)
            hook, stats = (outer, inner) if first is xquant else (inner, outer)
            assert hook.cache.memory().codes > 0
            assert stats.tokens_per_forward > 2
        assert torch.equal(plain, drafted)
    assert not {"generate", "_prepare_cache_for_generation", "_get_stopping_criteria"} & set(vars(model))


def test_sliding_layers_beside_quantised_ones():
    model = tiny("gemma3", sliding_window=16, initializer_range=0.1)
    with xquant(model, SMALL):
        plain, drafted, stats = both(model, left_padded(1), max_new_tokens=150)
    assert torch.equal(plain, drafted)
    assert stats.tokens_per_forward > 1.5


def test_a_batch_over_a_quantised_cache_is_decoded_but_not_bit_identical(model):
    """Rows that accept fewer tokens leave slots unused, which shift the groups of later tokens."""
    with xquant(model, SMALL):
        plain, drafted, stats = both(model, left_padded(3), max_new_tokens=100)
    assert plain.shape == drafted.shape
    assert torch.equal(plain[:, : 21 + 8], drafted[:, : 21 + 8])  # nothing is quantised yet
    assert stats.accepted


@pytest.mark.parametrize(
    ("backend", "settings"),
    [("fp8", {}), ("quanto", {"nbits": 4}), ("quanto", {"nbits": 2}), ("hqq", {"nbits": 2, "axis_key": 1})],
)
def test_quantized_caches_of_transformers(model, backend, settings):
    if backend != "fp8":
        pytest.importorskip({"quanto": "optimum.quanto"}.get(backend, backend))
        settings = {"q_group_size": 16, "residual_length": 16, **settings}
    inputs = {"input_ids": tokens(1, 32)}
    (plain, _), (drafted, stats) = (
        generate(model, inputs, drafts, QuantizedCache(backend, model.config, **settings)) for drafts in (False, True)
    )
    assert torch.equal(plain, drafted)
    assert stats.tokens_per_forward > 1.5


def test_a_cache_without_a_configuration(model):
    (plain, _), (drafted, stats) = (
        generate(model, left_padded(1), drafts, DynamicCache()) for drafts in (False, True)
    )
    assert torch.equal(plain, drafted)
    assert stats.accepted


def test_caches_of_fixed_size_are_refused(model):
    with ngram_trie(model):
        with pytest.raises(ValueError, match="StaticCache has a fixed size"):
            model.generate(**left_padded(1), past_key_values=StaticCache(model.config, max_cache_len=64))
        with pytest.raises(ValueError, match="has a fixed size; leave cache_implementation unset"):
            model.generate(**left_padded(1), cache_implementation="static", max_new_tokens=4)
        with pytest.raises(ValueError, match="leave use_cache on"):
            model.generate(**left_padded(1), use_cache=False, max_new_tokens=4)


def settings(hook) -> list:
    return [SMALL if hook is xquant else EAGER]


def generate(model, inputs, drafts: bool, cache=None):
    options = {**LONG, **({} if cache is None else {"past_key_values": cache})}
    if not drafts:
        return model.generate(**inputs, **options), None
    with ngram_trie(model, EAGER) as stats:
        return model.generate(**inputs, **options), stats

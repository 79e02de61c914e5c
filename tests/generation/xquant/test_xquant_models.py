"""Which models and inputs a cache takes, and what it says to those it does not."""

import logging

import pytest
import torch
from PIL import Image
from tiny_families import tiny, tokens
from transformers import AutoConfig, LlamaConfig, MistralConfig, T5Config
from transformers.cache_utils import DynamicCache, DynamicSlidingWindowLayer

from setaria.generation import XQuantCache, XQuantConfig, xquant
from setaria.generation.xquant import similarity_report, teacher_forced_nll
from setaria.generation.xquant.layer import XQuantLayer
from setaria.generation.xquant.similarity import auto_share
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_qwen2_vl


SMALL = XQuantConfig(value_bits=1, k_share_from=0, v_share_from=0, residual_length=16, group_size=16)


def states(batch=1, heads=2, tokens=40, head_dim=16, dtype=torch.float32):
    return torch.randn(2, batch, heads, tokens, head_dim, dtype=dtype)


def test_only_full_attention_layers_are_quantised():
    cache = XQuantCache(tiny("gemma3").config, SMALL)
    kinds = [type(layer) for layer in cache.layers]
    assert kinds == [XQuantLayer, XQuantLayer, DynamicSlidingWindowLayer, XQuantLayer]


def test_layers_that_cannot_pair_keep_their_codes_and_say_so(caplog):
    logging.Logger.warning_once.cache_clear()  # other tests have been warned already
    model = tiny("gemma3")
    with caplog.at_level(logging.WARNING), xquant(model, SMALL) as hook:
        for _ in range(2):
            model.generate(tokens(1, 40), max_new_tokens=2)
        # keys and values of layers 0, 1, 3: layer 1 has none, layer 3, above a sliding one, keeps its own
        assert hook.cache.memory().equivalent_bits == (2 + 1 + 0 + 0 + 2 + 1) / 6
    said = [record.message for record in caplog.records if "layer 3 keeps key codes of its own" in record.message]
    assert len(said) == 1 and "there is none of full attention" in said[0]


def test_a_pair_of_unequal_bits_does_not_share():
    cache = XQuantCache(LlamaConfig(num_hidden_layers=2), XQuantConfig(v_share_from=0, layers={0: {"value_bits": 4}}))
    for layer in range(2):
        cache.update(*states(tokens=200), layer)
    assert cache.memory().equivalent_bits == (2 + 4 + 2 + 2) / 4


def test_layers_of_another_dtype_do_not_share():
    """As layers on another device would not: the form of their states must be the same."""
    cache = XQuantCache(LlamaConfig(num_hidden_layers=2), SMALL)
    cache.update(*states(), 0)
    cache.update(*states(dtype=torch.bfloat16), 1)
    assert cache.memory().equivalent_bits == (2 + 1 + 2 + 1) / 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (T5Config(), "'t5': encoder-decoder models .* Generate without XQuant"),
        (AutoConfig.for_model("deepseek_v3"), r"multi-head latent attention \(kv_lora_rank=512\) .* DynamicCache"),
        (AutoConfig.for_model("gemma3n_text"), "layers share keys and values in full precision. Use .* DynamicCache"),
        (MistralConfig(sliding_window=64), "layers of sliding_attention: only full-attention layers .* DynamicCache"),
    ],
    ids=["t5", "deepseek", "gemma3n", "sliding"],
)
def test_models_that_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        XQuantCache(config)


@pytest.mark.parametrize(
    "change",
    [{"batch": 2}, {"heads": 4}, {"head_dim": 8}, {"dtype": torch.bfloat16}],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_form_is_named(change):
    cache = XQuantCache(tiny("llama").config, SMALL)
    cache.update(*states(), 0)
    with pytest.raises(ValueError, match=r"layer 0: key_states with batch, heads, .* do not fit this cache"):
        cache.update(*states(**change), 0)


def test_a_cache_of_another_model_is_named():
    cache = XQuantCache(tiny("llama", num_hidden_layers=2).config, SMALL)
    with pytest.raises(ValueError, match="layer_idx=2: this cache was made for a model with 2 layers"):
        tiny("llama").generate(tokens(1, 20), past_key_values=cache, max_new_tokens=2)


def test_padding_must_fit_the_batch():
    cache = XQuantCache(tiny("llama").config, SMALL, attention_mask=torch.ones(2, 40, dtype=torch.long))
    with pytest.raises(ValueError, match="the padding of 2 rows does not fit a batch of 3"):
        cache.update(*states(batch=3), 0)
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 1, 4, 4\), it must be \[batch, tokens\]"):
        XQuantCache(tiny("llama").config, SMALL, attention_mask=torch.ones(2, 1, 4, 4))


def test_layers_out_of_order_are_noticed():
    cache = XQuantCache(tiny("llama").config, SMALL)
    cache.update(*states(tokens=10), 0)
    cache.update(*states(tokens=10), 1)
    with pytest.raises(RuntimeError, match="was updated before that layer"):
        cache.update(*states(tokens=40), 1)


def test_crop_takes_no_positive_number():
    cache = XQuantCache(tiny("llama").config, SMALL)
    cache.update(*states(), 0)
    with pytest.raises(ValueError, match="tokens_to_remove=3 must be 0 or negative"):
        cache.crop(3)


def test_batch_operations():
    given = states(batch=3)
    caches = [XQuantCache(LlamaConfig(num_hidden_layers=2), SMALL) for _ in range(2)]
    rows = [0, 0, 2, 2]
    for layer in range(2):
        caches[0].update(*given, layer)
        caches[1].update(*given[:, rows], layer)
    caches[0].batch_select_indices(torch.tensor([0, 2]))
    caches[0].batch_repeat_interleave(2)
    assert caches[0].batch_size == 4
    new = states(batch=4, tokens=1)
    for layer in range(2):
        for one, other in zip(caches[0].update(*new, layer), caches[1].update(*new, layer), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("head_dim", [8, 80, 96, 20])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_head_dims_and_dtypes(head_dim, dtype):
    given = states(tokens=200, head_dim=head_dim, dtype=dtype)
    for bits in (1, 2, 4, 8):
        config = XQuantConfig(key_bits=bits, value_bits=bits, group_size=64, residual_length=64)
        cache = XQuantCache(LlamaConfig(num_hidden_layers=1), config)
        cache.update(*given, 0)
        read = torch.stack(cache.update(*given[..., :1, :], 0))[..., :200, :]
        assert read.dtype == dtype
        error = (read.float() - given.float()).square().mean() / given.float().square().mean()
        # Gaussian groups of up to 64, least squares: .36 at 1 bit, .16 at 2, then about a fourth per bit
        assert error < {1: 0.42, 2: 0.2, 4: 0.012, 8: 1e-4}[bits]


def test_vision_language_generation():
    tokenizer = byte_tokenizer()
    model = tiny_qwen2_vl(tokenizer).eval()
    processor = image_only_processor(
        tokenizer, patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
    )
    image = Image.effect_mandelbrot((48, 32), (-3, -2.5, 2, 2.5), 20).convert("RGB")
    text = "<|vision_start|><|image_pad|><|vision_end|>What is this?"
    inputs = processor(images=[image], text=[text], return_tensors="pt")
    outputs = []
    for simulate in (False, True):
        cache = XQuantCache(model.config, SMALL, simulate=simulate)
        outputs.append(model.generate(**inputs, past_key_values=cache, max_new_tokens=40, do_sample=False))
    with xquant(model, SMALL) as hook:
        outputs.append(model.generate(**inputs, max_new_tokens=40, do_sample=False))
        assert hook.cache.memory().codes > 0
        assert model.config.get_text_config()._attn_implementation == "xquant"
        assert model.config.vision_config._attn_implementation == "sdpa"
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_teacher_forced_likelihoods_are_those_of_decoding():
    model = tiny("llama")
    ids = tokens(1, 70)
    nll = teacher_forced_nll(model, ids, SMALL)
    cache = XQuantCache(model.config, SMALL)
    with torch.no_grad():
        for index in range(69):
            logits = model(ids[:, index : index + 1], past_key_values=cache).logits[0, -1]
            torch.testing.assert_close(nll[0, index], -logits.log_softmax(-1)[ids[0, index + 1]])
        plain = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="none")
    torch.testing.assert_close(nll[0, :31], plain[:31], rtol=1e-4, atol=1e-4)  # nothing is quantised before token 32
    assert (nll[0, 31:] - plain[31:]).abs().max() > 0.1


def test_teacher_forcing_of_a_padded_batch():
    model = tiny("qwen3")
    rows = [tokens(1, 70), tokens(1, 55, seed=1)]
    padded = torch.cat((rows[0], torch.nn.functional.pad(rows[1], (15, 0))))
    mask = (padded > 0).long()
    nll = teacher_forced_nll(model, padded, SMALL, step=3, attention_mask=mask)
    assert nll[1, :15].eq(0).all()
    torch.testing.assert_close(nll[0], teacher_forced_nll(model, rows[0], SMALL, step=3)[0], rtol=1e-4, atol=1e-4)
    alone = teacher_forced_nll(model, rows[1], SMALL, step=3)[0]
    torch.testing.assert_close(nll[1, 15:], alone, rtol=1e-4, atol=1e-4)


def test_similarity_needs_a_whole_group():
    with pytest.raises(ValueError, match="the inputs have 20 tokens, fewer than group_size=32"):
        similarity_report(tiny("llama"), {"input_ids": tokens(1, 20)})


def test_a_cache_takes_the_name_of_a_preset():
    config = tiny("llama").config
    assert XQuantCache(config, "xquant-1.38").quantization == XQuantConfig.preset("xquant-1.38")
    with pytest.raises(ValueError, match=r"preset='kivi2' .*did you mean 'kivi-2'"):
        XQuantCache(config, "kivi2")


def test_similarity_of_equal_and_of_unrelated_layers():
    """Layer 1 is given layer 0's states, layer 3 its own: the report tells them apart and shares accordingly."""

    class Filled(torch.nn.Module):
        config = LlamaConfig(num_hidden_layers=4)

        def forward(self, past_key_values: DynamicCache, **kwargs):
            generator = torch.Generator().manual_seed(0)
            for layer, seed in enumerate((0, 0, 1, 2)):
                generator.manual_seed(seed)
                past_key_values.update(*torch.randn(2, 1, 4, 256, 64, generator=generator), layer)

    report = similarity_report(Filled(), {}, XQuantConfig())
    assert [(pair.layer, pair.states) for pair in report] == [(1, "keys"), (1, "values"), (3, "keys"), (3, "values")]
    for pair in report[:2]:
        assert pair.agreement == 1 and pair.shared_error == pair.own_error < 0.14
    for pair in report[2:]:
        # independent codes: agreement by chance, nothing to gain over the mean but one fitted slope in 32 elements
        assert pair.agreement == pytest.approx(pair.chance, abs=0.01)
        assert pair.shared_error == pytest.approx(1 - 1 / 31, abs=0.01)
        assert pair.minmax_error > 1.9
    shared = auto_share(XQuantConfig(v_share_from=0), report).resolve(4)
    assert [(layer.share_keys, layer.share_values) for layer in shared] == [(False, False), (True, True)] + [
        (False, False)
    ] * 2

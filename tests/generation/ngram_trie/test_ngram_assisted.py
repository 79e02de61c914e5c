"""Linear drafts through transformers' assisted loop, for models that cannot verify a tree."""

import pytest
import torch
from ngram_inputs import EAGER, both
from tiny_families import tiny, tokens
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BloomConfig,
    BloomForCausalLM,
    DynamicCache,
    FalconConfig,
    FalconForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    QuantizedCache,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.generation.streamers import BaseStreamer

from setaria.generation import XQuantConfig, ngram_trie, xquant
from setaria.generation.ngram_trie.support import takes_trees
from setaria.models.tiny import byte_tokenizer


SMALL = {"vocab_size": 64, "eos_token_id": None, "bos_token_id": None, "pad_token_id": None}


def t5():
    config = T5Config(
        **{**SMALL, "pad_token_id": 0},
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def bart():
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "init_std": 0.2, "forced_eos_token_id": None}
    layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "d_model": 32}
    config = BartConfig(**{**SMALL, "pad_token_id": 1, "decoder_start_token_id": 2}, **heads, **layers)
    return BartForConditionalGeneration(config)


def falcon_with_alibi():
    config = FalconConfig(
        **SMALL, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True, initializer_range=0.1
    )
    return FalconForCausalLM(config)


def bloom():
    return BloomForCausalLM(BloomConfig(**SMALL, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.1))


def llama_without_masks():
    """As with FlashAttention, whose mask cannot say who attends to whom in a tree."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register("no_masks", sdpa_attention_forward)
    AttentionMaskInterface.register("no_masks", sdpa_mask)
    return tiny("llama", initializer_range=0.1, vocab_size=64, attn_implementation="no_masks")


MODELS = [t5, bart, falcon_with_alibi, bloom, llama_without_masks]


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().eval()


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("sampled", [False, True])
def test_texts_are_those_of_plain_decoding(make, sampled):
    model, inputs = seeded(make), {"input_ids": tokens(1, 24) % 64}
    options = {"do_sample": True, "top_k": 1} if sampled else {}  # a single token to draw
    plain, drafted, stats = both(model, inputs, max_new_tokens=60, **options)
    assert torch.equal(plain, drafted)
    assert stats.tokens_per_forward > 1.2
    assert stats.tokens == 59
    assert stats.decode_seconds > 0


def test_encoder_decoder_models_copy_from_what_the_encoder_read():
    model, source = seeded(bart), tokens(1, 24) % 64
    written = model.generate(source, max_new_tokens=12, do_sample=False)[0, 1:].tolist()
    source = torch.tensor([written * 2])
    known = model.generate(source, max_new_tokens=12, do_sample=False)[0].tolist()
    with ngram_trie(model, EAGER) as stats:
        assert model.generate(source, max_new_tokens=12, do_sample=False)[0].tolist() == known
    assert stats.trie_tokens >= 24


@pytest.mark.parametrize("position", range(3, 40, 7))
def test_stop_strings_within_a_draft(position):
    model, tokenizer = seeded(llama_without_masks), byte_tokenizer()
    inputs = {"input_ids": tokens(1, 24) % 64}
    text = model.generate(**inputs, max_new_tokens=60, do_sample=False)[0, 24:].tolist()
    stop = tokenizer.decode(text[position : position + 2])
    plain, drafted, _ = both(model, inputs, max_new_tokens=60, stop_strings=[stop], tokenizer=tokenizer)
    assert torch.equal(plain, drafted)
    assert drafted.size(1) < 84


def test_streamers_get_one_token_at_a_time():
    class Recorder(BaseStreamer):
        values: list = []

        def put(self, value):
            self.values.append(value)

        def end(self):
            self.values.append(None)

    recorder, model = Recorder(), seeded(llama_without_masks)
    with ngram_trie(model, EAGER):
        ids = model.generate(tokens(1, 24) % 64, max_new_tokens=30, do_sample=False, streamer=recorder)
    assert recorder.values[-1] is None
    assert [value.shape for value in recorder.values[1:-1]] == [(1,)] * 30
    assert torch.equal(torch.cat(recorder.values[1:-1]), ids[0, 24:])


def test_drafts_end_before_xquant_quantises():
    model = seeded(falcon_with_alibi)
    with xquant(model, XQuantConfig(residual_length=16, group_size=16)) as hook:
        plain, drafted, stats = both(model, {"input_ids": tokens(1, 24) % 64}, max_new_tokens=80)
        assert torch.equal(plain, drafted)
        assert stats.accepted > 0
        assert hook.cache.memory().codes > 0


def test_batches_are_refused_with_the_remedy():
    for make, remedy in ((t5, "one prompt at a time"), (llama_without_masks, "attn_implementation='sdpa'")):
        model = seeded(make)
        with ngram_trie(model), pytest.raises(ValueError, match=remedy):
            model.generate(tokens(2, 10) % 64, max_new_tokens=4)


def test_caches_that_cannot_take_drafts_back_are_refused():
    model = seeded(llama_without_masks)
    with ngram_trie(model), pytest.raises(ValueError, match="cannot take drafts back"):
        model.generate(tokens(1, 10) % 64, past_key_values=QuantizedCache("fp8", model.config), max_new_tokens=4)


def test_recurrent_models_are_refused():
    model = MambaForCausalLM(MambaConfig(**SMALL, hidden_size=16, num_hidden_layers=1)).eval()
    with ngram_trie(model), pytest.raises(ValueError, match="drafts are verified against a cache"):
        model.generate(tokens(1, 10) % 64, max_new_tokens=4)


def test_which_models_take_trees():
    inputs = {"position_ids": torch.zeros(1, 1)}
    for make, expected in ((bloom, False), (falcon_with_alibi, False), (llama_without_masks, False)):
        model = seeded(make)
        assert takes_trees(model, {**inputs, "past_key_values": DynamicCache(config=model.config)}) is expected
    for family in ("llama", "gemma3", "mistral"):
        model = tiny(family)
        assert takes_trees(model, {**inputs, "past_key_values": DynamicCache(config=model.config)})

"""Greedy decoding with drafts gives the tokens of plain decoding, in fewer forwards."""

import sys

import pytest
import torch
from ngram_inputs import EAGER, both, left_padded
from PIL import Image
from tiny_families import tiny, tiny_qwen3_vl, tokens

from setaria.generation import NGramTrieConfig, ngram_trie
from setaria.generation.ngram_trie import check_lossless
from setaria.generation.ngram_trie.rope import draft_room
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_qwen2_vl


# (family, changes): small initial weights make greedy decoding loop, so that drafts are accepted
MODELS = {
    "llama": ("llama", {"initializer_range": 0.1}),
    "qwen2": ("qwen2", {"initializer_range": 0.1}),
    "qwen3": ("qwen3", {"initializer_range": 0.1}),
    "phi3-sliding": ("phi3", {"initializer_range": 0.1, "sliding_window": 12}),
    "mistral-sliding": ("mistral", {"initializer_range": 0.1, "sliding_window": 16}),
    "gemma2": ("gemma2", {"sliding_window": 16}),
    "gemma3": ("gemma3", {"sliding_window": 16, "initializer_range": 0.1}),
}
WITHOUT_SDPA = ("gemma2",)


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_tokens_are_those_of_plain_decoding(name, attention, rows):
    if name in WITHOUT_SDPA and attention == "sdpa":
        pytest.skip(f"transformers has no sdpa for {name}")
    family, changes = MODELS[name]
    model = tiny(family, attn_implementation=attention, **changes)
    assert model.config._attn_implementation == attention
    plain, drafted, stats = both(model, left_padded(rows), max_new_tokens=80)
    assert torch.equal(plain, drafted)
    assert stats.tokens == rows * 79
    assert stats.tokens_per_forward > 1.3  # so drafts were verified and accepted
    assert stats.nodes_per_forward <= EAGER.budget


@pytest.mark.parametrize("changes", [{"shape": "linear"}, {"drafter": "paper"}, {"learn_generated": False}, {}])
def test_every_way_to_draft(changes):
    config = NGramTrieConfig(width="fixed", budget=6, **changes)
    model = tiny("llama", initializer_range=0.1)
    prompt = model.generate(tokens(1, 12), max_new_tokens=60, do_sample=False)  # in a loop by now: something to copy
    plain, drafted, stats = both(model, {"input_ids": prompt}, config, max_new_tokens=80)
    assert torch.equal(plain, drafted)
    assert stats.accepted > 0


def test_200_prompts_of_a_trained_model(data):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = data / "models" / "stories260K"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    text = tokenizer((data / "text" / "war_and_peace_300k.txt").read_text()[:40_000])["input_ids"]
    prompts = [text[60 * number : 60 * number + 10 + number % 50] for number in range(200)]
    report = check_lossless(model, prompts, EAGER, batch_size=8, max_new_tokens=24, pad_token_id=0, do_sample=False)
    assert report.prompts == report.identical == 200, str(report)
    assert report.stats.tokens_per_forward > 1.02


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("new_tokens", [1, 2, 3, 4, 5])
def test_short_prompts_and_few_tokens(length, new_tokens):
    model = tiny("llama", initializer_range=0.02)  # repeats one token: drafts want to go on
    plain, drafted, _ = both(model, {"input_ids": tokens(2, length)}, max_new_tokens=new_tokens)
    assert torch.equal(plain, drafted)
    assert drafted.shape == (2, length + new_tokens)


def test_several_return_sequences():
    model = tiny("llama", initializer_range=0.1)
    plain, drafted, stats = both(
        model, left_padded(2), do_sample=True, top_k=1, num_return_sequences=3, max_new_tokens=40
    )
    assert torch.equal(plain, drafted)  # top_k=1 leaves one token to draw
    assert stats.tokens == 6 * 39
    assert len(set(map(id, stats.tries))) == 2  # samples of a prompt share its trie


def test_the_returned_cache_goes_on_as_plain_decoding_does():
    for family, changes in (("llama", {"initializer_range": 0.1}), ("gemma3", {"sliding_window": 16})):
        model = tiny(family, **changes)
        plain, drafted, _ = both(model, {"input_ids": tokens(1, 30)}, max_new_tokens=40, return_dict_in_generate=True)
        assert drafted.past_key_values.get_seq_length() == plain.past_key_values.get_seq_length() == 69
        for ours, theirs in zip(drafted.past_key_values.layers, plain.past_key_values.layers, strict=True):
            torch.testing.assert_close(ours.keys, theirs.keys, atol=1e-5, rtol=1e-4)
        follow = torch.cat((plain.sequences, tokens(1, 5, seed=9)), dim=1)
        ids = [
            model.generate(follow, past_key_values=result.past_key_values, max_new_tokens=20, do_sample=False)
            for result in (plain, drafted)
        ]
        assert torch.equal(*ids)


def test_a_second_turn_on_one_cache():
    from transformers import DynamicCache

    model = tiny("qwen2", initializer_range=0.1)
    texts = []
    for config in (None, EAGER):
        cache, text = DynamicCache(config=model.config), tokens(1, 20)
        for turn in range(2):
            text = torch.cat((text, tokens(1, 6, seed=turn)), dim=1)
            if config is None:
                text = model.generate(text, past_key_values=cache, max_new_tokens=30, do_sample=False)
            else:
                with ngram_trie(model, config) as stats:
                    text = model.generate(text, past_key_values=cache, max_new_tokens=30, do_sample=False)
                assert stats.accepted
        texts.append(text)
    assert torch.equal(*texts)


def test_scores_and_logits_are_those_of_plain_decoding():
    model = tiny("llama", initializer_range=0.1)
    options = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}
    plain, drafted, _ = both(model, left_padded(2), max_new_tokens=30, repetition_penalty=1.2, **options)
    assert torch.equal(plain.sequences, drafted.sequences)
    for name in ("scores", "logits"):
        assert len(drafted[name]) == len(plain[name]) == 30
        for ours, theirs in zip(drafted[name], plain[name], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 48,
    "rope_theta": 1e4,
}


def test_frequencies_that_change_with_every_token():
    model = tiny("llama", rope_parameters=DYNAMIC, max_position_embeddings=48, initializer_range=0.1)
    plain, drafted, stats = both(model, {"input_ids": tokens(1, 20)}, max_new_tokens=60)
    assert torch.equal(plain, drafted)
    assert 0 < stats.accepted < 28  # within the context only
    assert [draft_room(model.config, length) for length in (40, 48, 49)] == [8, 0, 0]
    for family in ("llama", "gemma3"):
        assert draft_room(tiny(family).config, 40) == sys.maxsize


@pytest.mark.parametrize(("length", "new_tokens"), [(12, 36), (49, 40)])
def test_frequencies_that_change_once(length, new_tokens):
    model = tiny("phi3", rope_parameters=LONGROPE, original_max_position_embeddings=48, initializer_range=0.1)
    plain, drafted, stats = both(model, {"input_ids": tokens(1, length)}, max_new_tokens=new_tokens)
    assert torch.equal(plain, drafted)
    assert stats.accepted > 0
    with ngram_trie(model), pytest.raises(ValueError, match="change beyond 48 tokens"):
        model.generate(tokens(1, 20), max_new_tokens=29)


def test_embeddings_as_the_prompt():
    model = tiny("llama", initializer_range=0.1)
    embeddings = model.get_input_embeddings()(tokens(2, 15))
    plain, drafted, stats = both(model, {"inputs_embeds": embeddings}, max_new_tokens=60)
    assert torch.equal(plain, drafted)
    assert stats.accepted > 0


def test_vision_language_models():
    plain, drafted, stats = both(tiny_qwen3_vl(), {"input_ids": tokens(1, 20)}, max_new_tokens=60)
    assert torch.equal(plain, drafted)
    tokenizer = byte_tokenizer()
    processor = image_only_processor(
        tokenizer, patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
    )
    image = Image.effect_mandelbrot((48, 32), (-3, -2.5, 2, 2.5), 20).convert("RGB")
    inputs = processor(
        images=[image], text=["<|vision_start|><|image_pad|><|vision_end|>What is this?"], return_tensors="pt"
    )
    plain, drafted, stats = both(tiny_qwen2_vl(tokenizer).eval(), inputs, max_new_tokens=40)
    assert torch.equal(plain, drafted)
    assert stats.accepted > 0

"""Logits processors see the true prefix of their row, along the accepted path only."""

import pytest
import torch
from ngram_inputs import EAGER, both, left_padded
from tiny_families import tiny
from transformers import LogitsProcessor, LogitsProcessorList, WatermarkingConfig

from setaria.generation import ngram_trie


PROCESSORS = {
    "repetition penalty": {"repetition_penalty": 1.3},
    "no repeated n-grams": {"no_repeat_ngram_size": 3},
    "bad words": {"bad_words_ids": [[5], [7, 8], [1, 2, 3]]},
    "minimum length": {"min_length": 40, "eos_token_id": [1, 2, 3, 4, 5]},
    "minimum of new tokens": {"min_new_tokens": 20, "eos_token_id": list(range(1, 60))},
    "forced end": {"forced_eos_token_id": 3, "eos_token_id": 3},
    "suppressed": {"suppress_tokens": list(range(1, 40)), "begin_suppress_tokens": list(range(40, 90))},
    "biased": {"sequence_bias": [[[9], 2.0], [[4, 5], 4.0]]},
    "rising end": {"exponential_decay_length_penalty": (5, 1.5), "eos_token_id": 7},
    "prompt penalty": {"encoder_repetition_penalty": 1.5},
    "no n-grams of the prompt": {"encoder_no_repeat_ngram_size": 2},
    "watermark": {"watermarking_config": WatermarkingConfig(bias=3.0, context_width=1)},
    "by prefix": {"prefix_allowed_tokens_fn": lambda row, ids: list(range(1 + row, 90, 1 + len(ids) % 3))},
    "sampling warpers": {"do_sample": True, "top_k": 1, "top_p": 0.9, "temperature": 0.7, "renormalize_logits": True},
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", PROCESSORS)
def test_processors(name, rows):
    model = tiny("llama", initializer_range=0.1)
    plain, drafted, stats = both(model, left_padded(rows), max_new_tokens=40, **PROCESSORS[name])
    assert torch.equal(plain, drafted)
    assert stats.nodes_per_forward > 1


def test_a_processor_that_counts_its_calls_sees_every_prefix_once():
    seen: list[tuple[int, ...]] = []

    class Recorder(LogitsProcessor):
        def __call__(self, input_ids, scores):
            assert scores.dtype == torch.float32
            seen.append(tuple(input_ids[0].tolist()))
            return scores

    model, inputs = tiny("llama", initializer_range=0.1), left_padded(1)
    with ngram_trie(model, EAGER) as stats:
        ids = model.generate(
            **inputs, max_new_tokens=30, do_sample=False, logits_processor=LogitsProcessorList([Recorder()])
        )
    assert seen == [tuple(ids[0, :length].tolist()) for length in range(21, 51)]
    assert stats.accepted


def test_processors_of_a_whole_batch_are_refused():
    model = tiny("llama")
    with ngram_trie(model), pytest.raises(ValueError, match=r"UnbatchedClassifierFree.*one prompt at a time"):
        model.generate(**left_padded(2), guidance_scale=1.5, max_new_tokens=4)


def test_guidance_of_one_row():
    model = tiny("llama", initializer_range=0.1)
    plain, drafted, _ = both(model, left_padded(1), guidance_scale=1.5, max_new_tokens=30)
    assert torch.equal(plain, drafted)

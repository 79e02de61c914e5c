"""Prompts as a checkpoint wants them, and replies that end where the model ends them."""

import json

import pytest
import torch
from eval_inputs import TEXT, config, write_inputs

from setaria.evaluation import evaluate
from setaria.evaluation.generating import as_prompt, greedy_replies
from setaria.evaluation.loading import load
from setaria.evaluation.scores import Setting
from setaria.generation import XQuantCache


@pytest.fixture
def checkpoint(tiny_checkpoint, tmp_path):
    return load(str(tiny_checkpoint), None, config(tiny_checkpoint, tmp_path), torch.device("cpu"))


def test_prompts(checkpoint):
    turns = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}]
    for messages, template, text in (
        ("A", False, "A"),
        ("A", True, "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\n"),
        (turns, False, "A\n\nB\n\nC"),
        (
            turns[1:],
            True,
            "<|im_start|>assistant\nB<|im_end|>\n<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n",
        ),
    ):
        assert checkpoint.tokenizer.decode(as_prompt(checkpoint, messages, template)) == text


@pytest.mark.parametrize("drafter", ["none", "trie"])
def test_replies_of_a_batch_end_each_at_its_end(checkpoint, drafter):
    """The eighth token of the first reply and the seventh of the second end a text, and come in neither before."""
    setting = Setting("tiny", "tiny", drafter=drafter)
    prompts = [as_prompt(checkpoint, text, False) for text in (TEXT[:50], TEXT[9:30])]
    first, second = (reply.ids for reply in greedy_replies(checkpoint, setting, prompts, 12))
    assert (len(first), len(second)) == (12, 12)
    checkpoint.model.generation_config.eos_token_id = [first[7], second[6]]
    replies = greedy_replies(checkpoint, setting, prompts, 12)
    assert [reply.ids for reply in replies] == [first[:8], second[:7]]
    for reply in replies:
        assert reply.text == checkpoint.tokenizer.decode(reply.ids)
        assert 0 < reply.seconds < 10


def test_bits_of_a_quantised_cache_are_counted_where_no_text_is_fed(checkpoint, tiny_checkpoint, tmp_path):
    tasks = {"completion": write_inputs(tmp_path)["completion"]}
    done = config(tiny_checkpoint, tmp_path, tasks=tasks, caches=("none", "kivi-2"), limit=1)
    plain, quantised = evaluate(done).settings
    cache = XQuantCache(checkpoint.model.config, "kivi-2")
    prompt = json.loads(tasks["completion"].read_text().splitlines()[0])["prompt"]
    inputs = checkpoint.tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    checkpoint.model.generate(**inputs, do_sample=False, max_new_tokens=24, past_key_values=cache)
    assert plain.true_bits == 32.0
    assert quantised.true_bits == pytest.approx(cache.memory().stored_bits)

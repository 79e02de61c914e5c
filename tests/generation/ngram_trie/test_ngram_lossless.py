"""The equality checker reports what is equal, and finds what is not."""

import pytest
import torch
from ngram_inputs import EAGER
from tiny_families import tiny, tokens

from setaria.generation.ngram_trie import Difference, check_lossless
from setaria.generation.ngram_trie.rows import Rows


PROMPTS = [tokens(1, length, seed=length)[0].tolist() for length in (5, 12, 20)]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_equal_texts(batch_size):
    model = tiny("llama", initializer_range=0.1)
    report = check_lossless(
        model, PROMPTS, EAGER, batch_size=batch_size, max_new_tokens=40, do_sample=False, pad_token_id=0
    )
    assert (report.prompts, report.identical, report.differences) == (3, 3, [])
    assert report.measured_speedup == report.plain_seconds / report.drafted_seconds > 0
    assert report.stats.tokens == 3 * 39
    assert str(report).startswith("3 of 3 texts identical")


def test_sampled_texts():
    model = tiny("llama", initializer_range=0.1)
    report = check_lossless(model, PROMPTS, EAGER, seed=5, max_new_tokens=20, do_sample=True, pad_token_id=0)
    assert report.identical == 3


def test_a_wrong_token_is_found_with_its_margin(monkeypatch):
    model = tiny("llama", initializer_range=0.1)
    append = Rows._append

    def second_best(self, row, token):
        wrong = row.length == 20 + 6 and int(row.ids[0, 0]) == PROMPTS[2][0]
        append(self, row, 96 if wrong else token)

    monkeypatch.setattr(Rows, "_append", second_best)
    report = check_lossless(model, PROMPTS, EAGER, max_new_tokens=15, do_sample=False, pad_token_id=0)
    assert report.identical == 2
    (difference,) = report.differences
    ids = model.generate(torch.tensor([PROMPTS[2]]), max_new_tokens=15, do_sample=False)[:, :26]
    logits = model(ids).logits[0, -1]
    best = int(logits.argmax())
    assert difference == Difference(2, 6, best, 96, pytest.approx(float(logits[best] - logits[96]), abs=1e-4))
    assert f"prompt 2, token 6: {best} plain, 96 drafted, logit margin" in str(report)


def test_a_text_that_ends_early_is_found(monkeypatch):
    model = tiny("llama", initializer_range=0.1)
    append = Rows._append

    def stop(self, row, token):
        append(self, row, token)
        row.finished |= row.length == 5 + 4

    monkeypatch.setattr(Rows, "_append", stop)
    report = check_lossless(model, PROMPTS[:1], EAGER, max_new_tokens=15, do_sample=False)
    (difference,) = report.differences
    assert (difference.position, difference.drafted, difference.margin) == (4, None, None)


def test_prompts_are_needed():
    for prompts in ([], [[]]):
        with pytest.raises(ValueError, match="prompts of at least one token"):
            check_lossless(tiny("llama"), prompts)

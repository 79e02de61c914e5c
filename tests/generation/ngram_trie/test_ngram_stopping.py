"""Generation ends at the very token at which plain decoding ends, also in the middle of a draft."""

import pytest
import torch
from ngram_inputs import EAGER, both, left_padded
from tiny_families import tiny
from transformers import MaxTimeCriteria, StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer
from transformers.generation.streamers import BaseStreamer

from setaria.generation import ngram_trie
from setaria.models.tiny import byte_tokenizer, tiny_llama


@pytest.fixture(scope="module")
def looping():
    """A model that soon repeats itself, with its text of 60 tokens."""
    model = tiny("llama", initializer_range=0.1)
    return model, model.generate(**left_padded(1), max_new_tokens=60, do_sample=False)[0, 21:].tolist()


@pytest.mark.parametrize("position", range(0, 40, 3))
def test_end_of_text_within_a_draft(looping, position):
    model, text = looping
    plain, drafted, _ = both(model, left_padded(1), max_new_tokens=60, eos_token_id=[text[position], 96])
    assert torch.equal(plain, drafted)
    assert drafted[0, -1] == text[position]
    assert drafted.size(1) == 21 + 1 + text.index(text[position])


@pytest.mark.parametrize("new_tokens", [1, 2, 3, 4, 5, 17])
@pytest.mark.parametrize("rows", [1, 3])
def test_exactly_max_new_tokens(looping, new_tokens, rows):
    plain, drafted, _ = both(looping[0], left_padded(rows), max_new_tokens=new_tokens)
    assert torch.equal(plain, drafted)
    assert drafted.size(1) == 21 + new_tokens


def test_max_length_counts_padding(looping):
    plain, drafted, _ = both(looping[0], left_padded(3), max_length=50)
    assert torch.equal(plain, drafted)
    assert drafted.size(1) == 50


def test_rows_end_apart(looping):
    model, text = looping
    plain, drafted, _ = both(model, left_padded(8), max_new_tokens=60, eos_token_id=[text[8], 11, 12, 13])
    assert torch.equal(plain, drafted)
    assert len({int((row != 0).sum()) for row in drafted[:, 21:]}) > 1


def byte_model():
    tokenizer = byte_tokenizer()
    return tiny_llama(tokenizer).eval(), tokenizer


def test_stop_strings_across_token_borders():
    model, tokenizer = byte_model()
    inputs = tokenizer("to be, or not to be, or not to be", return_tensors="pt")
    text = tokenizer.decode(model.generate(**inputs, max_new_tokens=80, do_sample=False, eos_token_id=None)[0])
    generated = text[-60:]
    for start in (5, 20, 37):
        stop = generated[start : start + 3]  # three tokens
        plain, drafted, _ = both(
            model, inputs, max_new_tokens=80, stop_strings=[stop], tokenizer=tokenizer, eos_token_id=None
        )
        assert torch.equal(plain, drafted)


def test_a_stop_string_cuts_a_draft(looping):
    model, text = looping
    tokenizer = byte_tokenizer()
    tokenizer.get_vocab()
    plain, drafted, stats = both(
        model, left_padded(1), max_new_tokens=60, stop_strings=[chr(text[40]) * 2 + "never"], tokenizer=tokenizer
    )
    assert torch.equal(plain, drafted)
    assert stats.accepted


class EveryLength(StoppingCriteria):
    """Records the lengths that it is asked about and stops at one of them."""

    def __init__(self, stop_at: int):
        self.stop_at, self.lengths = stop_at, []

    def __call__(self, input_ids, scores, **kwargs):
        self.lengths.append(input_ids.size(1))
        return torch.full((len(input_ids),), input_ids.size(1) >= self.stop_at)


def test_criteria_are_asked_after_every_token(looping):
    criterion = EveryLength(stop_at=44)
    with ngram_trie(looping[0], EAGER) as stats:
        ids = looping[0].generate(
            **left_padded(1), max_new_tokens=60, do_sample=False, stopping_criteria=StoppingCriteriaList([criterion])
        )
    assert ids.size(1) == 44
    assert criterion.lengths == list(range(22, 45))
    assert stats.accepted


def test_criteria_given_scores_get_those_of_each_token(looping):
    class Scores(StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            assert len(scores) == input_ids.size(1) - 21
            assert int(scores[-1].argmax()) == input_ids[0, -1]
            return torch.tensor([False])

    both(
        looping[0],
        left_padded(1),
        max_new_tokens=20,
        stopping_criteria=StoppingCriteriaList([Scores()]),
        return_dict_in_generate=True,
        output_scores=True,
    )


def test_time_is_up(looping):
    with ngram_trie(looping[0], EAGER):
        ids = looping[0].generate(
            **left_padded(1), max_new_tokens=60, stopping_criteria=StoppingCriteriaList([MaxTimeCriteria(0.0)])
        )
    assert ids.size(1) == 22


class Recorder(BaseStreamer):
    def __init__(self):
        self.put_values, self.ended = [], False

    def put(self, value):
        self.put_values.append(value)

    def end(self):
        self.ended = True


def test_streamers_get_one_token_at_a_time(looping):
    recorder = Recorder()
    with ngram_trie(looping[0], EAGER) as stats:
        ids = looping[0].generate(**left_padded(1), max_new_tokens=30, do_sample=False, streamer=recorder)
    prompt, *generated = recorder.put_values
    assert torch.equal(prompt, ids[:, :21])
    assert [value.shape for value in generated] == [(1,)] * 30
    assert torch.equal(torch.cat(generated), ids[0, 21:])
    assert recorder.ended
    assert stats.accepted


def test_a_text_streamer_gives_the_text():
    model, tokenizer = byte_model()
    inputs = tokenizer("to be, or not to be", return_tensors="pt")
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    with ngram_trie(model):
        ids = model.generate(**inputs, max_new_tokens=30, do_sample=False, streamer=streamer, eos_token_id=None)
    assert "".join(streamer) == tokenizer.decode(ids[0, inputs["input_ids"].size(1) :])

"""The notes world: its tokenizer loses nothing, gold answers score 1, splits are apart, labels as noisy as said."""

import pytest

from setaria.datasets_builders.worlds.notes import (
    build_tokenizer,
    label_pairs,
    prompt_dataset,
    reference_note,
    sft_dataset,
)
from setaria.datasets_builders.worlds.replies import sample_replies
from setaria.models.tiny import tiny_llama
from setaria.rewards.notes import mean_components, score_note
from setaria.rewards.notes_language import Request


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def texts(column):
    return [messages[-1]["content"] for messages in column]


def test_gold_answers_score_one_after_a_round_trip_through_the_tokenizer(tokenizer):
    requests = [Request.parse(text) for text in texts(prompt_dataset(300)["prompt"])]
    for seed, request in enumerate(requests):
        ids = tokenizer(reference_note(request, seed))["input_ids"]
        assert score_note(tokenizer.decode(tokenizer(request.text)["input_ids"]), tokenizer.decode(ids)).gold == 1.0


def test_tokens_are_words(tokenizer):
    assert len(tokenizer) == 155
    text = "Hi Anna! The cat is asleep on the sofa."
    assert tokenizer.tokenize(text) == [
        *["Hi", " Anna", "!", " The", " cat", " is", " asleep", " on", " the", " sofa", "."],
    ]
    assert tokenizer.decode(tokenizer("Hi zebra!")["input_ids"]) == "Hi<|unknown|>!"
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
    )
    assert tokenizer.decode(tokenizer(prompt)["input_ids"]) == prompt


def test_held_out_prompts_are_never_trained_on():
    def key(text):
        request = Request.parse(text)
        return request.tone, request.name, frozenset(request.things)

    trained = {key(text) for text in texts([*prompt_dataset(2000)["prompt"], *sft_dataset(2000)["prompt"]])}
    held_out = texts(prompt_dataset(500, held_out=True)["prompt"])
    assert len(set(held_out)) == 500
    assert trained.isdisjoint(map(key, held_out))


def test_everything_is_seeded():
    assert prompt_dataset(20, seed=3)["prompt"][:] == prompt_dataset(20, seed=3)["prompt"][:]
    assert prompt_dataset(20, seed=3)["prompt"][:] != prompt_dataset(20, seed=4)["prompt"][:]
    assert sft_dataset(20, seed=3)[:] == sft_dataset(20, seed=3)[:]
    assert texts(sft_dataset(1, seed=3)["prompt"]) == ["Write a thankful note to Hugo. Mention the cat and the dog."]


def test_too_many_prompts():
    with pytest.raises(ValueError, match="n=4001: the notes world gives at most 4000"):
        prompt_dataset(4001)


def test_demonstrations_are_well_formed_and_far_from_perfect():
    demonstrations = sft_dataset(2000)
    means = mean_components(texts(demonstrations["prompt"]), texts(demonstrations["completion"]))
    assert means["malformed"] == 0
    assert means["gold"] == pytest.approx(0.6, abs=0.05)


PERFECT = [reference_note(Request.parse(text)) for text in texts(prompt_dataset(1000)["prompt"])]


def labelled(**options):
    return label_pairs(prompt_dataset(1000)["prompt"][:], [[note, "The end."] for note in PERFECT], **options)


def test_a_sure_judge_chooses_by_gold():
    pairs = labelled(beta=100, flip_rate=0)
    assert texts(pairs["chosen"]) == PERFECT
    assert set(pairs["gold_chosen"]) == {1.0}
    assert set(pairs["gold_rejected"]) == {-0.5}
    assert not any(pairs["flipped"])


def test_a_noisy_judge():
    """Gold is 1 or -.5, half each: standard deviation .75, so that P(right) = sigmoid(1.5 * 1.5 / .75) = .953."""
    pairs = labelled(flip_rate=0)
    assert sum(gold == 1.0 for gold in pairs["gold_chosen"]) / 1000 == pytest.approx(0.953, abs=0.02)


def test_a_share_of_the_labels_is_flipped():
    pairs = labelled(beta=100, flip_rate=0.1)
    assert sum(pairs["flipped"]) / 1000 == pytest.approx(0.1, abs=0.03)
    assert [gold == -0.5 for gold in pairs["gold_chosen"]] == list(pairs["flipped"])


def test_equal_candidates_make_no_pair():
    prompts = prompt_dataset(2)["prompt"][:]
    pairs = label_pairs(prompts, [["same", "same", "a", "b"], ["c", "d", "left over"]])
    assert len(pairs) == 2
    assert pairs.column_names == ["prompt", "chosen", "rejected", "gold_chosen", "gold_rejected", "flipped"]
    assert pairs["prompt"][:] == prompts


def test_sample_replies(tokenizer):
    model = tiny_llama(tokenizer).train()
    prompts = prompt_dataset(3)["prompt"][:]
    replies = sample_replies(model, tokenizer, prompts, per_prompt=2, max_new_tokens=5, seed=1)
    assert [len(of_prompt) for of_prompt in replies] == [2, 2, 2]
    assert replies == sample_replies(model, tokenizer, prompts, per_prompt=2, max_new_tokens=5, seed=1)
    assert replies != sample_replies(model, tokenizer, prompts, per_prompt=2, max_new_tokens=5, seed=2)
    assert model.training


def test_padding_does_not_change_a_greedy_reply(tokenizer):
    model = tiny_llama(tokenizer)
    prompts = prompt_dataset(8)["prompt"][:]
    alone = [sample_replies(model, tokenizer, [prompt], temperature=0, max_new_tokens=6)[0] for prompt in prompts]
    assert sample_replies(model, tokenizer, prompts, temperature=0, max_new_tokens=6) == alone

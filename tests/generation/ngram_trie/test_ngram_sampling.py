"""Sampled decoding with drafts: the same draws at batch size 1, the same distribution beyond."""

from collections import Counter
from itertools import product

import pytest
import torch
from ngram_inputs import EAGER, both
from tiny_families import tiny, tokens

from setaria.generation import NGramTrieConfig, ngram_trie
from setaria.generation.ngram_trie.rows import Rows


def test_200_seeds_give_the_texts_of_plain_decoding():
    model = tiny("llama", initializer_range=0.1)
    prompt, accepted = {"input_ids": tokens(1, 24)}, 0
    options = {"do_sample": True, "top_k": 4, "temperature": 0.5, "max_new_tokens": 16, "pad_token_id": 0}
    for seed in range(200):
        torch.manual_seed(seed)
        plain = model.generate(**prompt, **options)
        torch.manual_seed(seed)
        with ngram_trie(model, EAGER) as stats:
            drafted = model.generate(**prompt, **options)
        assert torch.equal(plain, drafted), seed
        accepted += stats.accepted
    assert accepted > 200


def test_the_generator_is_left_where_plain_decoding_leaves_it():
    model = tiny("llama", initializer_range=0.1)
    both(model, {"input_ids": tokens(1, 24)}, do_sample=True, max_new_tokens=10)
    after_drafts = torch.rand(1)
    torch.manual_seed(0)
    model.generate(tokens(1, 24), do_sample=True, max_new_tokens=10, pad_token_id=0)
    assert torch.equal(after_drafts, torch.rand(1))


VOCABULARY, STEPS, SAMPLES = 3, 4, 3000


def exact_distribution(model, prompt: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Probability of every continuation of `STEPS` tokens, by plain forwards."""
    texts = list(product(range(VOCABULARY), repeat=STEPS))
    ids = torch.cat((prompt.expand(len(texts), -1), torch.tensor(texts)), dim=1)
    with torch.no_grad():
        logps = model(ids).logits[:, prompt.size(1) - 1 : -1].log_softmax(-1)
    chosen = logps.gather(2, ids[:, prompt.size(1) :, None]).sum(dim=(1, 2))
    return {text: float(logp.exp()) for text, logp in zip(texts, chosen, strict=True)}


def chi_square(found: Counter, expected: dict[tuple[int, ...], float], samples: int) -> float:
    """Of the texts that are expected 5 times or more; the others count as one."""
    rare_expected = rare_found = statistic = 0.0
    for text, probability in expected.items():
        if probability * samples >= 5:
            statistic += (found[text] - probability * samples) ** 2 / (probability * samples)
        else:
            rare_expected += probability * samples
            rare_found += found[text]
    return statistic + ((rare_found - rare_expected) ** 2 / rare_expected if rare_expected else 0.0)


def sample(model, prompt: torch.Tensor) -> tuple[Counter, float]:
    found: Counter = Counter()
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}  # the prompt holds the padding token
    torch.manual_seed(1)
    with ngram_trie(model, NGramTrieConfig(width="fixed", budget=8, min_probability=1e-4)) as stats:
        for _ in range(SAMPLES // 50):
            ids = model.generate(
                **inputs, do_sample=True, top_k=0, max_new_tokens=STEPS, num_return_sequences=50, pad_token_id=0
            )
            found.update(tuple(row) for row in ids[:, prompt.size(1) :].tolist())
    return found, stats.accepted / stats.forwards


# 81 texts, at most 80 degrees of freedom: the 99.9 % quantile of chi-square is 124.8
CRITICAL = 124.8


@pytest.fixture(scope="module")
def tiny_vocabulary():
    model = tiny("llama", vocab_size=VOCABULARY, initializer_range=0.1)
    prompt = torch.tensor([[0, 1, 2, 0, 1, 0, 2, 2, 0, 1]])
    return model, prompt, exact_distribution(model, prompt)


def test_batches_are_sampled_from_the_model(tiny_vocabulary):
    model, prompt, expected = tiny_vocabulary
    assert abs(sum(expected.values()) - 1) < 1e-5
    found, accepted = sample(model, prompt)
    assert accepted > 0.5  # so most tokens were drafted
    assert chi_square(found, expected, SAMPLES) < CRITICAL


def test_the_test_sees_a_sampler_that_draws_again_after_a_miss(tiny_vocabulary, monkeypatch):
    """The released code discards a draw that was not drafted and draws anew: P(draft) = p + (1 - p) p."""
    model, prompt, expected = tiny_vocabulary
    choose = Rows._choose

    def again(self, row, logits):
        token = choose(self, row, logits)
        return token if token == 0 else choose(self, row, logits)  # as if token 0 had been drafted

    monkeypatch.setattr(Rows, "_choose", again)
    found, _ = sample(model, prompt)
    assert chi_square(found, expected, SAMPLES) > CRITICAL

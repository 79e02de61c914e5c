"""The CRF against sums over all label sequences, and against what is known of chains."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from setaria.models.crf import IGNORED, LinearChainCRF


LENGTHS = (4, 2, 0, 1)
LABELS = 3


def random_chain(seed: int, lengths=LENGTHS, scale: float = 2.0):
    """A CRF with random transitions, and a batch of rows of some lengths, in float64."""
    generator = torch.Generator().manual_seed(seed)
    crf = LinearChainCRF(LABELS).double()
    with torch.no_grad():
        for weights in crf.parameters():
            weights.copy_(scale * torch.randn(weights.shape, generator=generator, dtype=torch.float64))
    width = max(1, *lengths)
    emissions = scale * torch.randn(len(lengths), width, LABELS, generator=generator, dtype=torch.float64)
    labels = torch.randint(LABELS, (len(lengths), width), generator=generator)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return crf, emissions, labels, mask


def enumerate_row(crf: LinearChainCRF, emissions, length: int) -> dict[tuple[int, ...], float]:
    """Score of each label sequence of a row."""
    scores = {}
    for path in itertools.product(range(LABELS), repeat=length):
        score = crf.start[path[0]] + crf.end[path[-1]]
        score = score + sum(emissions[word, label] for word, label in enumerate(path))
        scores[path] = (score + sum(crf.transitions[pair] for pair in itertools.pairwise(path))).item()
    return scores


@pytest.mark.parametrize("seed", range(5))
def test_against_all_label_sequences(seed):
    crf, emissions, labels, mask = random_chain(seed)
    likelihood = crf.log_likelihood(emissions, labels, mask)
    paths = crf.best_paths(emissions, mask)
    marginals = crf.marginals(emissions, mask)
    for row, length in enumerate(LENGTHS):
        if not length:
            continue
        scores = enumerate_row(crf, emissions[row], length)
        partition = math.log(sum(map(math.exp, scores.values())))
        gold = tuple(labels[row, :length].tolist())
        assert likelihood[row].item() == pytest.approx(scores[gold] - partition)
        assert tuple(paths[row, :length].tolist()) == max(scores, key=scores.get)
        for word, label in itertools.product(range(length), range(LABELS)):
            share = sum(math.exp(score - partition) for path, score in scores.items() if path[word] == label)
            assert marginals[row, word, label].item() == pytest.approx(share)


def test_a_chain_by_hand():
    # Without emissions only the pair (0, 0) weighs 3, the other three weigh 1: Z = 6. p(0, 0) = 3/6; p(1, 0) = 1/6.
    # p(first is 0) = (3 + 1)/6.
    crf = LinearChainCRF(2)
    with torch.no_grad():
        crf.transitions[0, 0] = math.log(3)
    emissions, mask = torch.zeros(2, 2, 2), torch.ones(2, 2, dtype=torch.bool)
    likelihood = crf.log_likelihood(emissions, torch.tensor([[0, 0], [1, 0]]), mask)
    assert likelihood.exp().tolist() == pytest.approx([1 / 2, 1 / 6])
    assert crf.marginals(emissions, mask)[0, 0].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert crf.best_paths(emissions, mask).tolist() == [[0, 0], [0, 0]]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 6), min_size=2, max_size=4))
def test_marginals_are_probabilities_and_the_gradient(seed, lengths):
    crf, emissions, labels, mask = random_chain(seed, lengths)
    emissions.requires_grad_()
    marginals = crf.marginals(emissions, mask)
    assert torch.allclose(marginals.sum(2), mask.double())
    # d log p(y) / d emission = [y is the label] - p(label)
    (gradient,) = torch.autograd.grad(crf.log_likelihood(emissions, labels, mask).sum(), emissions)
    gold = torch.nn.functional.one_hot(labels, LABELS) * mask[..., None]
    assert torch.allclose(gradient, gold - marginals, atol=1e-9)


def test_padding_changes_nothing():
    crf, emissions, labels, mask = random_chain(7)
    wide = torch.cat((emissions, torch.full((4, 3, LABELS), 1e6, dtype=torch.float64)), 1)
    wide[:, :4][~mask] = -1e6
    labels_wide = torch.cat((labels.masked_fill(~mask, IGNORED), torch.full((4, 3), IGNORED)), 1)
    mask_wide = torch.cat((mask, torch.zeros(4, 3, dtype=torch.bool)), 1)
    expected, found = crf.log_likelihood(emissions, labels, mask), crf.log_likelihood(wide, labels_wide, mask_wide)
    assert torch.allclose(found, expected)
    assert torch.allclose(crf.marginals(wide, mask_wide)[:, :4], crf.marginals(emissions, mask))
    assert torch.equal(crf.best_paths(wide, mask_wide)[:, :4], crf.best_paths(emissions, mask))
    assert (crf.best_paths(wide, mask_wide)[~mask_wide] == IGNORED).all()


def test_a_row_without_words_costs_nothing():
    crf, emissions, labels, mask = random_chain(3, (0, 0))
    likelihood = crf.log_likelihood(emissions, labels, mask)
    assert likelihood.tolist() == [0, 0]
    assert crf.best_paths(emissions, mask).tolist() == [[IGNORED], [IGNORED]]
    likelihood.sum().backward()
    assert all(torch.equal(weights.grad, torch.zeros_like(weights)) for weights in crf.parameters())


def test_untrained_transitions_are_a_softmax_of_each_word():
    _, emissions, labels, mask = random_chain(1)
    crf = LinearChainCRF(LABELS, trained=False)
    assert not list(crf.parameters())
    losses = torch.nn.functional.cross_entropy(emissions.transpose(1, 2), labels, reduction="none")
    assert torch.allclose(crf.log_likelihood(emissions, labels, mask), -(losses * mask).sum(1))
    assert torch.allclose(crf.marginals(emissions, mask), emissions.softmax(2) * mask[..., None])
    assert torch.equal(crf.best_paths(emissions, mask), emissions.argmax(2).masked_fill(~mask, IGNORED))


def test_long_and_extreme_chains_stay_finite():
    crf, emissions, labels, mask = random_chain(2, (300, 299), scale=1000.0)
    assert torch.isfinite(crf.log_likelihood(emissions, labels, mask)).all()
    assert torch.allclose(crf.marginals(emissions, mask).sum(2), mask.double())

"""The SPO loss in numbers, its identities, and TRL's CPOTrainer as an independent oracle."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import softplus
from trl.experimental.cpo import CPOTrainer

from setaria.trainers.objective_settings import (
    SPO_FLOOR,
    SPO_MINIMUM_LOGIT,
    SPO_STRONGEST_PULL_BACK,
    resolve_objective,
)
from setaria.trainers.objectives import LOSSES, cpo_loss, repo_loss, simpo_loss, spo_loss


def at_logit(loss, u, **options):
    """The loss and its derivative at u, with beta 1 and gamma 0, where u is the chosen score."""
    logits = torch.tensor(u, dtype=torch.float32, requires_grad=True)
    value = loss(logits, torch.zeros_like(logits), beta=1.0, **options)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


# u, d softplus(-u) / du = -sigmoid(-u), d SiLU(-u) / du = -sigmoid(-u) * (1 - u * sigmoid(u))
GRADIENTS = [
    (-2.399, -0.917, -1.0998),
    (-1.278, -0.782, -1.0),
    (0.0, -0.5, -0.5),
    (1.0, -0.269, -0.072),
    (1.278, -0.218, 0.0),
    (2.0, -0.119, 0.091),
    (2.399, -0.083, 0.0998),
    (3.0, -0.047, 0.088),
    (5.0, -0.007, 0.027),
    (8.0, -0.0003, 0.0024),
]


@pytest.mark.parametrize(("u", "logistic", "spo"), GRADIENTS)
def test_gradients(u, logistic, spo):
    assert at_logit(simpo_loss, [u])[1].item() == pytest.approx(logistic, abs=5e-4)
    assert at_logit(spo_loss, [u])[1].item() == pytest.approx(spo, abs=5e-4)


def test_minimum_is_finite():
    # u* solves u * sigmoid(u) = 1; with w = u - 1 that is w * exp(w) = 1/e, so u* = 1 + W(1/e) = 1.2784645, and
    # SiLU(-u*) = -u* (1 - sigmoid(u*)) = -u* + 1.
    value, gradient = at_logit(spo_loss, [1.2784645])
    assert SPO_MINIMUM_LOGIT == pytest.approx(1.2784645, abs=1e-7)
    assert value.item() == pytest.approx(-0.2784645, abs=1e-7)
    assert SPO_FLOOR == pytest.approx(-0.2784645, abs=1e-7)
    assert gradient.item() == pytest.approx(0, abs=1e-6)
    assert 1 / (1 + math.exp(-SPO_MINIMUM_LOGIT)) == pytest.approx(0.78219, abs=1e-5)
    grid = torch.linspace(-20, 20, 4001)
    assert spo_loss(grid, torch.zeros_like(grid), beta=1.0).min() >= SPO_FLOOR


def test_strongest_pull_back():
    around = [SPO_STRONGEST_PULL_BACK - 0.05, SPO_STRONGEST_PULL_BACK, SPO_STRONGEST_PULL_BACK + 0.05]
    below, at, above = at_logit(spo_loss, around)[1].tolist()
    assert at > below and at > above
    assert at == pytest.approx(0.0998, abs=1e-4)


@given(st.floats(-50, 50))
def test_spo_is_the_logistic_loss_less_the_entropy_of_the_preference(u):
    u = torch.tensor([u], dtype=torch.float64)
    p = torch.sigmoid(u)
    entropy = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p))
    spo, _ = at_logit(spo_loss, u.tolist())
    assert softplus(-u).item() - spo.item() == pytest.approx(entropy.item(), abs=1e-5)


@given(st.floats(-50, 50))
def test_losses_are_ordered(u):
    spo, repo, simpo = (at_logit(loss, [u])[0].item() for loss in (spo_loss, repo_loss, simpo_loss))
    assert spo <= repo + 1e-6
    assert repo <= simpo + 1e-6
    assert simpo <= spo + math.log(2) + 1e-5


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 5), st.floats(0.05, 3))
def test_bounds_the_dpo_loss(delta, reference_delta, gamma, beta):
    # L_DPO <= L_SPO + log 2 + max(0, r - gamma), r = beta * reference log-ratio, for equal beta and aggregation
    r = beta * reference_delta
    dpo = softplus(torch.tensor(-(beta * delta - r), dtype=torch.float64)).item()
    spo = spo_loss(torch.tensor([delta]), torch.zeros(1), beta=beta, gamma=gamma).item()
    assert dpo <= spo + math.log(2) + max(0.0, r - gamma) + 1e-4


# The logit that minimises (1 - eps) SiLU(-u) + eps SiLU(u), by bisection of its derivative.
@pytest.mark.parametrize(
    ("flips", "minimum"), [(0.0, 1.278), (0.05, 1.077), (0.1, 0.912), (0.2, 0.641), (0.3, 0.411), (0.4, 0.201)]
)
def test_label_smoothing_moves_the_minimum(flips, minimum):
    gradient = at_logit(spo_loss, [minimum - 0.01, minimum + 0.01], label_smoothing=flips)[1]
    assert gradient[0] < 0 < gradient[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("objective", LOSSES)
def test_computes_in_float32(objective, dtype):
    chosen, rejected = torch.tensor([-1.03], dtype=dtype), torch.tensor([-1.5], dtype=dtype)
    loss = LOSSES[objective](chosen, rejected, beta=2.0, gamma=0.3)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, LOSSES[objective](chosen.float(), rejected.float(), beta=2.0, gamma=0.3))


def test_repo_is_flat_beyond_the_margin():
    # delta .5 and .1 against a margin of .4 (beta 1): ReLU(.4 - .5) = 0 and ReLU(.4 - .1) = .3
    loss = repo_loss(torch.tensor([-1.0, -1.0]), torch.tensor([-1.5, -1.1]), beta=1.0, gamma=0.4)
    assert loss.tolist() == pytest.approx([0.0, 0.3])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_agrees_with_trl(label_smoothing):
    chosen = torch.tensor([-1.2, -0.4, -3.0, -2.2])
    rejected = torch.tensor([-1.9, -0.3, -2.9, -5.0])
    oracle = SimpleNamespace(
        accelerator=SimpleNamespace(device="cpu"),
        alpha=0.0,
        beta=2.0,
        label_smoothing=label_smoothing,
        simpo_gamma=0.9,
    )
    oracle.loss_type = "simpo"
    expected, *_ = CPOTrainer.cpo_loss(oracle, chosen, rejected)
    assert torch.allclose(simpo_loss(chosen, rejected, 2.0, 0.9, label_smoothing), expected, atol=1e-6)
    oracle.loss_type = "sigmoid"
    expected, *_ = CPOTrainer.cpo_loss(oracle, chosen, rejected)
    assert torch.allclose(cpo_loss(chosen, rejected, 2.0, 0.0, label_smoothing), expected, atol=1e-6)


def test_margin_keeps_its_ratio_when_beta_is_given():
    assert resolve_objective("spo", beta=10.0).gamma == 5.0
    assert resolve_objective("spo", beta=10.0, gamma_beta_ratio=0.3).gamma == pytest.approx(3.0)
    assert resolve_objective("spo", beta=10.0, gamma=0.3).gamma == 0.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objective": "spoo"}, "objective='spoo' is not one of spo, simpo, cpo, repo, dpo"),
        ({"objective": "spo", "gamma": 1.0, "gamma_beta_ratio": 0.5}, "two ways to say one thing"),
        ({"objective": "spo", "beta": 0.0}, "beta=0.0 is not allowed"),
        ({"objective": "spo", "beta": math.inf}, "beta=inf is not allowed"),
        ({"objective": "spo", "gamma": -0.1}, "gamma=-0.1 is not allowed"),
        ({"objective": "spo", "gamma_beta_ratio": math.nan}, "gamma_beta_ratio=nan is not allowed"),
        ({"objective": "cpo", "sft_weight": -1.0}, "sft_weight=-1.0 is not allowed"),
        ({"objective": "spo", "label_smoothing": 0.5}, "label_smoothing=0.5 is not allowed"),
    ],
)
def test_bad_settings_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        resolve_objective(**given)

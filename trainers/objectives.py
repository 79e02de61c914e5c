r"""Preference objectives as pure functions of per-pair scores.

With the logit u = beta * (chosen - rejected) - gamma of a pair:

    SPO    SiLU(-u) = -u * sigmoid(-u)     finite minimum at u* = 1.2785, value -0.2785 (Sun et al., EMNLP 2025)
    SimPO  softplus(-u) = -log sigmoid(u)  no minimum                                   (arXiv 2405.14734)
    CPO    softplus(-u), scores summed, gamma 0, plus the NLL of the chosen completion   (arXiv 2401.08417)
    RePO   ReLU(-u)                        flat above u = 0                              (arXiv 2503.07426)

They are ordered, SPO <= RePO <= SimPO <= SPO + log 2, and SPO is SimPO less the binary entropy of the model's own
preference sigmoid(u), our reading of "self regularization".

Every function takes `chosen` and `rejected`, scores `[pairs]` in nats of any floating dtype, and returns the loss
`[pairs]` in float32. `label_smoothing` eps is the probability that a label is flipped: (1 - eps) f(u) + eps f(-u).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F


def preference_logits(chosen: torch.Tensor, rejected: torch.Tensor, beta: float, gamma: float = 0.0) -> torch.Tensor:
    """u = beta * (chosen - rejected) - gamma, `[pairs]`, float32."""
    return beta * (chosen.float() - rejected.float()) - gamma


def spo_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, beta: float, gamma: float = 0.0, label_smoothing: float = 0.0
) -> torch.Tensor:
    """SPO: SiLU(-u), at least -0.2785 (without label smoothing)."""
    return _smoothed(lambda u: F.silu(-u), preference_logits(chosen, rejected, beta, gamma), label_smoothing)


def simpo_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, beta: float, gamma: float = 0.0, label_smoothing: float = 0.0
) -> torch.Tensor:
    """SimPO: -log sigmoid(u)."""
    return _smoothed(lambda u: -F.logsigmoid(u), preference_logits(chosen, rejected, beta, gamma), label_smoothing)


def cpo_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, beta: float, gamma: float = 0.0, label_smoothing: float = 0.0
) -> torch.Tensor:
    """CPO's preference term: -log sigmoid(u) on summed log-probabilities; the caller adds its NLL term."""
    return simpo_loss(chosen, rejected, beta, gamma, label_smoothing)


def repo_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, beta: float, gamma: float = 0.0, label_smoothing: float = 0.0
) -> torch.Tensor:
    """RePO: ReLU(-u)."""
    return _smoothed(lambda u: F.relu(-u), preference_logits(chosen, rejected, beta, gamma), label_smoothing)


LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "spo": spo_loss,
    "simpo": simpo_loss,
    "cpo": cpo_loss,
    "repo": repo_loss,
}


def _smoothed(
    loss: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    if label_smoothing == 0:
        return loss(logits)
    return (1 - label_smoothing) * loss(logits) + label_smoothing * loss(-logits)

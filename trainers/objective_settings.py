r"""The numbers an objective runs with: defaults, their resolution and the constants of the SPO loss. No torch.

Every objective scores a pair by the SimPO logit

    u = beta * (score_chosen - score_rejected) - gamma

where a score is the mean (`length_normalize`) or the sum of the completion's token log-probabilities, in nats, and
`gamma = beta * gamma_beta_ratio`. SPO's loss SiLU(-u) is smallest at the finite u* = 1 + W(1/e), W being Lambert's
function, where it equals 1 - u*. Its pull-back towards u* is strongest at `SPO_STRONGEST_PULL_BACK`.
"""

import math
from dataclasses import dataclass


SPO_MINIMUM_LOGIT = 1.2784645427610738
SPO_FLOOR = 1 - SPO_MINIMUM_LOGIT
SPO_STRONGEST_PULL_BACK = 2.3993572805154676

# Below this learning rate an AdamW step is lost in the rounding of bfloat16 weights: bf16(0.02) - 5e-7 == bf16(0.02).
LOWEST_BF16_LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class ObjectiveSettings:
    """Resolved settings of a reference-free objective; `gamma` is absolute, in units of u."""

    beta: float
    gamma: float
    length_normalize: bool
    sft_weight: float


# SPO and SimPO: the recipe of SimPO with ratio .5 (our choice). CPO: TRL's defaults, summed log-probabilities plus the
# NLL of the chosen completion. RePO: the margin is in nats per token (beta = 1), .4 as in arXiv 2503.07426.
OBJECTIVE_DEFAULTS = {
    "spo": ObjectiveSettings(beta=2.0, gamma=1.0, length_normalize=True, sft_weight=0.0),
    "simpo": ObjectiveSettings(beta=2.0, gamma=1.0, length_normalize=True, sft_weight=0.0),
    "cpo": ObjectiveSettings(beta=0.1, gamma=0.0, length_normalize=False, sft_weight=1.0),
    "repo": ObjectiveSettings(beta=1.0, gamma=0.4, length_normalize=True, sft_weight=0.0),
}
# TRL's own losses, selected by `loss_type`, with their reference model.
TRL_OBJECTIVE = "dpo"
OBJECTIVES = (*OBJECTIVE_DEFAULTS, TRL_OBJECTIVE)


def resolve_objective(
    objective: str,
    beta: float | None = None,
    gamma: float | None = None,
    gamma_beta_ratio: float | None = None,
    length_normalize: bool | None = None,
    sft_weight: float | None = None,
    label_smoothing: float = 0.0,
) -> ObjectiveSettings:
    """Fill what is `None` with the objective's default; the default margin keeps its ratio when only beta is given.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    if objective not in OBJECTIVE_DEFAULTS:
        raise ValueError(f"objective={objective!r} is not one of {', '.join(OBJECTIVES)}")
    default = OBJECTIVE_DEFAULTS[objective]
    if gamma is not None and gamma_beta_ratio is not None:
        raise ValueError(
            f"gamma={gamma} and gamma_beta_ratio={gamma_beta_ratio} are two ways to say one thing: give one "
            "(gamma = beta * gamma_beta_ratio)"
        )
    beta = default.beta if beta is None else beta
    _require("beta", beta, math.isfinite(beta) and beta > 0, "a finite number above 0")
    if gamma is None:
        ratio = default.gamma / default.beta if gamma_beta_ratio is None else gamma_beta_ratio
        _require("gamma_beta_ratio", ratio, math.isfinite(ratio) and ratio >= 0, "a finite number, 0 or above")
        gamma = beta * ratio
    _require("gamma", gamma, math.isfinite(gamma) and gamma >= 0, "a finite number, 0 or above")
    sft_weight = default.sft_weight if sft_weight is None else sft_weight
    _require("sft_weight", sft_weight, math.isfinite(sft_weight) and sft_weight >= 0, "a finite number, 0 or above")
    _require("label_smoothing", label_smoothing, 0 <= label_smoothing < 0.5, "at least 0 and below 0.5")
    length_normalize = default.length_normalize if length_normalize is None else length_normalize
    return ObjectiveSettings(beta, gamma, length_normalize, sft_weight)


def _require(name: str, value: float, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name}={value} is not allowed: {name} must be {allowed}")

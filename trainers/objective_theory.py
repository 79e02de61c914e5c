r"""What a preference objective does to a pair, as plain functions of its logit u. No torch, for `setaria explain`.

SPO's loss SiLU(-u) is SimPO's softplus(-u) less the binary entropy of the model's own preference sigmoid(u). Its
gradient -sigmoid(-u) (1 - u sigmoid(u)) changes sign at u* = 1.2785: below, a pair is pushed apart; above, pulled
back. With label smoothing eps, (1 - eps) f(u) + eps f(-u), u* is smaller, and SimPO and CPO have one too.
"""

import math

from setaria.trainers.objective_settings import ObjectiveSettings


def sigmoid(u: float) -> float:
    """1 / (1 + exp(-u)) without overflow."""
    return 1 / (1 + math.exp(-u)) if u >= 0 else math.exp(u) / (1 + math.exp(u))


def softplus(u: float) -> float:
    """log(1 + exp(u)) without overflow."""
    return max(u, 0.0) + math.log1p(math.exp(-abs(u)))


# Loss and its derivative at u, without label smoothing.
CURVES = {
    "spo": (lambda u: -u * sigmoid(-u), lambda u: -sigmoid(-u) * (1 - u * sigmoid(u))),
    "simpo": (lambda u: softplus(-u), lambda u: -sigmoid(-u)),
    "cpo": (lambda u: softplus(-u), lambda u: -sigmoid(-u)),
    "repo": (lambda u: max(-u, 0.0), lambda u: -1.0 if u < 0 else 0.0),
}


def loss(objective: str, u: float, label_smoothing: float = 0.0) -> float:
    """Loss of a pair with logit `u`."""
    value, _ = CURVES[objective]
    return (1 - label_smoothing) * value(u) + label_smoothing * value(-u)


def gradient(objective: str, u: float, label_smoothing: float = 0.0) -> float:
    """Derivative of `loss` by `u`; below 0 the pair is pushed apart."""
    _, slope = CURVES[objective]
    return (1 - label_smoothing) * slope(u) - label_smoothing * slope(-u)


def minimum_logit(objective: str, label_smoothing: float = 0.0) -> float:
    """The logit u* from which no pair is pushed further apart: infinite for SimPO and CPO without label smoothing.

    RePO's is 0, where its loss becomes flat.
    """
    if objective == "repo":
        return 0.0
    if objective != "spo" and label_smoothing == 0:
        return math.inf
    if objective != "spo":
        return math.log((1 - label_smoothing) / label_smoothing)
    low, high = 0.0, 2.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if gradient("spo", middle, label_smoothing) < 0 else (low, middle)
    return (low + high) / 2


def target_gap(objective: str, settings: ObjectiveSettings, label_smoothing: float = 0.0) -> float:
    """The gap delta* = (gamma + u*) / beta between the two scores at the minimum, in nats per score."""
    return (settings.gamma + minimum_logit(objective, label_smoothing)) / settings.beta

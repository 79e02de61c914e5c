"""The monitor's numbers and its verdict, as pure functions of two measurements.

Primary alarm is the drift of the chosen log-probability. In the lab it told over-optimised checkpoints from others
with an AUC of .97, where the logit u, the margin that trainers plot, had .49 (docs/results.md).
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from trl import DPOConfig

from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.objective_settings import SPO_MINIMUM_LOGIT, SPO_STRONGEST_PULL_BACK
from setaria.trainers.objectives import preference_logits
from setaria.trainers.probes import Measurement
from setaria.trainers.spo_config import SPOConfig


class MonitorState(IntEnum):
    """Verdict on a checkpoint."""

    OK = 0
    WARN = 1
    STOP = 2


@dataclass(frozen=True)
class Verdict:
    """A state and the thresholds that were passed, in words."""

    state: MonitorState
    reasons: list[str]


def probe_metrics(now: Measurement, step_zero: Measurement, args: DPOConfig) -> dict[str, float]:
    """Metrics of the policy on the probes, in nats per token unless named otherwise.

    Returns:
        `chosen_drift`, `rejected_drift`: change of the mean log-probability since step 0, mean over pairs;
        `holdout_nll` and its change `nll_rise`: of the chosen completions, mean over tokens;
        `entropy` and its relative change `entropy_change`: of the next token, mean over tokens;
        `kl`: KL(policy || step 0) of the next token, if it was measured;
        `u_p05`, `u_p50`, `u_p95`: quantiles of the objective's logit u;
        `u_past_minimum`, `u_past_pull_back`: shares of pairs beyond the minimum of the SPO loss, 1.28, and beyond its
        strongest pull-back, 2.40.
    """
    drift = ((now.logps - step_zero.logps) / now.tokens).mean(0)
    u = objective_logits(now, step_zero, args)
    quantiles = torch.quantile(u, torch.tensor([0.05, 0.5, 0.95])).tolist()
    metrics = {
        "chosen_drift": drift[0].item(),
        "rejected_drift": drift[1].item(),
        "holdout_nll": _nll(now),
        "nll_rise": _nll(now) - _nll(step_zero),
        "entropy": _entropy(now),
        "entropy_change": _entropy(now) / _entropy(step_zero) - 1,
        **dict(zip(("u_p05", "u_p50", "u_p95"), quantiles, strict=True)),
        "u_past_minimum": (u > SPO_MINIMUM_LOGIT).float().mean().item(),
        "u_past_pull_back": (u > SPO_STRONGEST_PULL_BACK).float().mean().item(),
    }
    if now.kl is not None:
        metrics["kl"] = now.kl.mean().item()
    return metrics


def objective_logits(now: Measurement, step_zero: Measurement, args: DPOConfig) -> torch.Tensor:
    """u of each pair, `[pairs]`: the configured objective's, or for TRL's losses DPO's with step 0 as reference."""
    if isinstance(args, SPOConfig) and args.reference_free:
        settings = args.settings
        scores = now.logps / now.tokens if settings.length_normalize else now.logps
        return preference_logits(scores[:, 0], scores[:, 1], settings.beta, settings.gamma)
    ratios = now.logps - step_zero.logps
    return preference_logits(ratios[:, 0], ratios[:, 1], args.beta)


def judge(metrics: dict[str, float], config: MonitorConfig) -> Verdict:
    """STOP at the drift's stop threshold, WARN at any warn threshold, else OK."""
    drift = metrics["chosen_drift"]
    if drift <= config.monitor_stop_drift:
        return Verdict(MonitorState.STOP, [_passed("chosen_drift", drift, "monitor_stop_drift", config)])
    reasons = []
    if drift <= config.monitor_warn_drift:
        reasons.append(_passed("chosen_drift", drift, "monitor_warn_drift", config))
    if metrics["nll_rise"] >= config.monitor_warn_nll_rise:
        reasons.append(_passed("nll_rise", metrics["nll_rise"], "monitor_warn_nll_rise", config))
    if -metrics["entropy_change"] >= config.monitor_warn_entropy_drop:
        reasons.append(_passed("entropy_change", metrics["entropy_change"], "monitor_warn_entropy_drop", config))
    if metrics.get("kl", 0.0) >= config.monitor_warn_kl:
        reasons.append(_passed("kl", metrics["kl"], "monitor_warn_kl", config))
    return Verdict(MonitorState.WARN if reasons else MonitorState.OK, reasons)


def _passed(metric: str, value: float, threshold: str, config: MonitorConfig) -> str:
    return f"{metric} {value:+.3f} passed {threshold}={getattr(config, threshold)}"


def _nll(measurement: Measurement) -> float:
    return -(measurement.logps[:, 0].sum() / measurement.tokens[:, 0].sum()).item()


def _entropy(measurement: Measurement) -> float:
    return (measurement.entropy.sum() / measurement.tokens.sum()).item()

"""Configuration of `OverOptimizationMonitor`: what is measured, and when it says WARN or STOP."""

import math
from dataclasses import dataclass, field


@dataclass
class MonitorConfig:
    """Configuration class for [`OverOptimizationMonitor`]; every field starts with `monitor_`.

    The thresholds were calibrated on two toys (docs/over_optimization.md): recalibrate them on your own text.

    Parameters:
        monitor_pairs (`int`, *optional*, defaults to `64`):
            Size of the frozen probe set: the first pairs of the evaluation set.
        monitor_kl_tokens (`int`, *optional*, defaults to `4`):
            Positions per completion at which the exact, full-vocabulary KL to step 0 is taken. Step 0 is cached as
            `2 * pairs * kl_tokens * vocabulary` half-precision numbers, 131 MB at 64 pairs and a vocabulary of 128k.
            0 leaves the KL out.
        monitor_sampled_prompts (`int`, *optional*, defaults to `8`):
            Probe prompts to sample two completions each from. 0 leaves samples out.
        monitor_max_new_tokens (`int`, *optional*, defaults to `128`):
            Longest sample, in tokens.
        monitor_temperature (`float`, *optional*, defaults to `1.0`):
            Temperature of the samples; 0 is greedy.
        monitor_warn_drift (`float`, *optional*, defaults to `-0.2`):
            WARN when the chosen log-probability has drifted this far from step 0, in nats per token.
        monitor_stop_drift (`float`, *optional*, defaults to `-0.6`):
            STOP at this drift.
        monitor_warn_nll_rise (`float`, *optional*, defaults to `0.95`):
            WARN when the hold-out NLL has risen by this much, in nats per token.
        monitor_warn_entropy_drop (`float`, *optional*, defaults to `0.31`):
            WARN when the mean entropy has fallen by this share of its value at step 0.
        monitor_warn_kl (`float`, *optional*, defaults to `0.3`):
            WARN at this KL to step 0, in nats per token.
        monitor_stop_ends_training (`bool`, *optional*, defaults to `False`):
            Whether STOP ends the training.
    """

    monitor_pairs: int = field(
        default=64, metadata={"help": "Size of the probe set, the first pairs of the evaluation set."}
    )
    monitor_kl_tokens: int = field(
        default=4, metadata={"help": "Positions per completion for the exact KL to step 0; 0 leaves it out."}
    )
    monitor_sampled_prompts: int = field(
        default=8, metadata={"help": "Probe prompts to sample two completions each from; 0 leaves samples out."}
    )
    monitor_max_new_tokens: int = field(default=128, metadata={"help": "Longest sample, in tokens."})
    monitor_temperature: float = field(default=1.0, metadata={"help": "Temperature of the samples; 0 is greedy."})
    monitor_warn_drift: float = field(
        default=-0.2, metadata={"help": "WARN at this drift of the chosen log-probability, nats per token."}
    )
    monitor_stop_drift: float = field(
        default=-0.6, metadata={"help": "STOP at this drift of the chosen log-probability, nats per token."}
    )
    monitor_warn_nll_rise: float = field(
        default=0.95, metadata={"help": "WARN at this rise of the hold-out NLL, nats per token."}
    )
    monitor_warn_entropy_drop: float = field(
        default=0.31, metadata={"help": "WARN when the entropy has fallen by this share of its value at step 0."}
    )
    monitor_warn_kl: float = field(default=0.3, metadata={"help": "WARN at this KL to step 0, nats per token."})
    monitor_stop_ends_training: bool = field(default=False, metadata={"help": "Whether STOP ends the training."})

    def __post_init__(self):
        for name in ("monitor_pairs", "monitor_max_new_tokens"):
            self._require(name, getattr(self, name) >= 1, "1 or above")
        for name in ("monitor_kl_tokens", "monitor_sampled_prompts"):
            self._require(name, getattr(self, name) >= 0, "0 or above")
        self._require("monitor_temperature", 0 <= self.monitor_temperature < math.inf, "a finite number, 0 or above")
        self._require("monitor_warn_drift", self.monitor_warn_drift < 0, "below 0")
        self._require(
            "monitor_stop_drift",
            self.monitor_stop_drift <= self.monitor_warn_drift,
            f"at most monitor_warn_drift={self.monitor_warn_drift}",
        )
        self._require("monitor_warn_nll_rise", self.monitor_warn_nll_rise > 0, "above 0")
        self._require("monitor_warn_entropy_drop", 0 < self.monitor_warn_entropy_drop <= 1, "above 0 and at most 1")
        self._require("monitor_warn_kl", self.monitor_warn_kl > 0, "above 0")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name}={getattr(self, name)} is not allowed: {name} must be {allowed}")

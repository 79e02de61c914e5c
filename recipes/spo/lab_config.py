"""Arms and sizes of the over-optimisation lab."""

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One objective with its strength; `grid` are the values of `tuned` that `--tune` chooses from."""

    name: str
    objective: str
    settings: dict[str, Any]
    tuned: str
    grid: tuple[float, ...]

    def with_value(self, value: float) -> "Arm":
        """The arm with `tuned` set to `value`."""
        return replace(self, settings={**self.settings, self.tuned: value})


# Shipped values are the classes' defaults; SPO + NLL has CPO's weight of the NLL term.
ARMS = (
    Arm("SPO", "spo", {"gamma_beta_ratio": 0.5, "beta": 2.0}, "beta", (1.0, 2.0, 5.0)),
    Arm("SPO + NLL", "spo", {"gamma_beta_ratio": 0.5, "beta": 2.0, "sft_weight": 1.0}, "beta", (1.0, 2.0, 5.0)),
    Arm("SimPO", "simpo", {"gamma_beta_ratio": 0.5, "beta": 2.0}, "beta", (1.0, 2.0, 5.0)),
    Arm("CPO", "cpo", {"beta": 0.1}, "beta", (0.05, 0.1, 0.3)),
    Arm("RePO", "repo", {"beta": 1.0, "gamma": 0.4}, "gamma", (0.2, 0.4, 0.8)),
    Arm("DPO", "dpo", {"beta": 0.1}, "beta", (0.05, 0.1, 0.3)),
)
# The seed that `--tune` uses; never one of the reported seeds, which count from 0.
TUNING_SEED = 1000


@dataclass(frozen=True)
class LabConfig:
    """Sizes of the study, equal for every arm."""

    seeds: int = 3
    arms: tuple[Arm, ...] = field(default=ARMS)
    tune: bool = False
    hidden_size: int = 64
    demonstrations: int = 8000
    sft_steps: int = 800
    prompts: int = 1500
    candidates: int = 4
    steps: int = 300
    checkpoints: int = 10
    batch_size: int = 32
    learning_rate: float = 3e-4
    held_out_prompts: int = 256
    held_out_pair_prompts: int = 64
    max_new_tokens: int = 64

    def __post_init__(self):
        for name in ("seeds", "checkpoints", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is not allowed: {name} must be 1 or above")

    def quick(self) -> "LabConfig":
        """The same study in a few minutes; its numbers mean nothing."""
        return replace(
            self, seeds=1, demonstrations=400, sft_steps=40, prompts=80, steps=18, checkpoints=6, held_out_prompts=32
        )

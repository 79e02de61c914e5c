"""Configuration of `JudgmentGRPOTrainer`: what BacktrackAgent's judgment rewards add to `trl.GRPOConfig`."""

import math
from dataclasses import dataclass, field

from trl import GRPOConfig


@dataclass
class JudgmentGRPOConfig(GRPOConfig):
    r"""Configuration class for [`JudgmentGRPOTrainer`], of BacktrackAgent's stage 2 (Wu et al., EMNLP 2025).

    Only what differs from [`~trl.GRPOConfig`] is listed. The paper gives b1 = b2 = 0.1 beside a cross-entropy of
    weight 1; the reward for the right action is ours.

    Parameters:
        ce_coef (`float`, *optional*, defaults to `1.0`):
            Weight of L_CE, the negative log-likelihood per token of the column `gold_reply`, averaged over rows. Like
            GRPO's own log-probabilities it is taken at `temperature`. 0 trains on the rewards alone and needs no gold.
        gold_weight (`float`, *optional*, defaults to `1.0`):
            Weight of the reward 1 for the right action (ours). Not used with `paper_literal`.
        verifier_weight (`float`, *optional*, defaults to `0.1`):
            b1, weight of the penalty 1 - p_v for an action that fails the Verifier.
        judger_weight (`float`, *optional*, defaults to `0.1`):
            b2, weight of the penalty P(p_j = 0), the Judger's probability of "No".
        paper_literal (`bool`, *optional*, defaults to `False`):
            Take the paper's formula by the letter: the penalties are constants to the generator, so the policy term
            has no gradient. They are added to the logged loss and logged as `penalty`; what trains is L_CE.
        reward_weights (`list[float]`, *optional*):
            As in TRL, one per reward function. Defaults to the three weights above, in that order, for the functions
            of `setaria.rewards.judgment.JudgmentRewards`; give it in their place for other reward functions, `[]` for
            environments that reward themselves.
        scale_rewards (`str`, *optional*, defaults to `"none"`):
            As in TRL, with another default: dividing by the standard deviation of a group or batch cancels the size
            0.1 of the penalties beside L_CE, and only ratios between rewards would be left.
    """

    ce_coef: float = field(
        default=1.0, metadata={"help": "Weight of the cross-entropy on the column gold_reply. 0: rewards alone."}
    )
    gold_weight: float = field(default=1.0, metadata={"help": "Weight of the reward for the right action."})
    verifier_weight: float = field(
        default=0.1, metadata={"help": "b1: weight of the penalty for an action that fails the Verifier."}
    )
    judger_weight: float = field(
        default=0.1, metadata={"help": "b2: weight of the penalty P(p_j = 0), the Judger's probability of No."}
    )
    paper_literal: bool = field(
        default=False, metadata={"help": "Only log the penalties, which by the paper's letter have no gradient."}
    )
    scale_rewards: str = field(
        default="none",
        metadata={"help": "Divide advantages by a standard deviation: none, group, batch. Only none keeps sizes."},
    )

    def __post_init__(self):
        for name in ("ce_coef", "gold_weight", "verifier_weight", "judger_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}: a weight is a finite number of at least 0")
        if self.paper_literal and self.ce_coef == 0:
            raise ValueError(
                "paper_literal=True leaves only L_CE a gradient, and ce_coef=0 removes it: nothing to train"
            )
        self._resolve_reward_weights()
        super().__post_init__()
        if self.multi_objective_aggregation == "normalize_then_sum" and self.scale_rewards == "none":
            raise ValueError(
                "multi_objective_aggregation='normalize_then_sum' scales rewards whatever scale_rewards says: set "
                "scale_rewards='batch' to accept that, or multi_objective_aggregation='sum_then_normalize'"
            )

    def _resolve_reward_weights(self):
        gold_weight = 0.0 if self.paper_literal else self.gold_weight
        weights = [gold_weight, self.verifier_weight, self.judger_weight]
        if self.reward_weights is None:
            self.reward_weights = weights
        elif self.reward_weights != weights:
            names = ("gold_weight", "verifier_weight", "judger_weight", "paper_literal")
            given = [name for name in names if getattr(self, name) != getattr(JudgmentGRPOConfig, name)]
            if given:
                raise ValueError(
                    f"reward_weights={self.reward_weights} replaces {', '.join(given)}: give one of the two"
                )

"""Configuration of `SPOTrainer`: what SPO adds to `trl.DPOConfig`."""

from dataclasses import dataclass, field

from trl import DPOConfig

from setaria.trainers.objective_settings import TRL_OBJECTIVE, ObjectiveSettings, resolve_objective


@dataclass
class SPOConfig(DPOConfig):
    r"""Configuration class for [`SPOTrainer`], of SPO (Sun et al., Findings of EMNLP 2025, pp. 5601-5614).

    Only what differs from [`~trl.DPOConfig`] is listed. The paper's abstract gives SiLU, no reference model and a
    finite minimum; the token mean, the margin and all numbers below are our reading, with SimPO's recipe as the
    starting point (see `docs/spo.md`).

    Parameters:
        objective (`str`, *optional*, defaults to `"spo"`):
            `spo`, `simpo`, `cpo` or `repo`, all without a reference model; `dpo` hands over to TRL's own losses,
            chosen by `loss_type`, with TRL's reference model.
        beta (`float`, *optional*):
            Scale of the logit u = beta * (score_chosen - score_rejected) - gamma. Defaults to 2.0 for `spo` and
            `simpo`, 1.0 for `repo`, 0.1 for `cpo` and `dpo`. Means over tokens want about 2 to 10, sums about 0.1.
        gamma (`float`, *optional*):
            Target margin, absolute, in units of u.
        gamma_beta_ratio (`float`, *optional*):
            The same margin as gamma / beta, in nats per token, as SimPO's recipes give it. Give one of the two; with
            neither, 0.5 for `spo` and `simpo`, 0.4 for `repo`, 0 for `cpo`.
        length_normalize (`bool`, *optional*):
            Whether a score is the mean (True) or the sum (False) of the completion's token log-probabilities.
            Defaults to True, for `cpo` False.
        sft_weight (`float`, *optional*):
            Weight of the chosen completion's negative log-likelihood per token, averaged over pairs. Defaults to 0,
            for `cpo` 1.
        label_smoothing (`float`, *optional*, defaults to `0.0`):
            Probability that a preference label is flipped, at least 0 and below 0.5.
        share_prompt (`bool`, *optional*, defaults to `False`):
            Whether to run each prompt (text and images) once, both completions attending to it. The same losses and
            gradients with fewer tokens; needs `sdpa` or `eager` attention.
    """

    objective: str = field(
        default="spo",
        metadata={
            "help": "Preference objective: spo, simpo, cpo, repo (reference-free) or dpo (TRL's own, see loss_type).",
            "choices": ["spo", "simpo", "cpo", "repo", "dpo"],
        },
    )
    beta: float | None = field(
        default=None,
        metadata={"help": "Scale of the preference logit. Default: spo, simpo 2.0; repo 1.0; cpo, dpo 0.1."},
    )
    gamma: float | None = field(default=None, metadata={"help": "Target margin, absolute. Excludes gamma_beta_ratio."})
    gamma_beta_ratio: float | None = field(
        default=None,
        metadata={"help": "Target margin as gamma / beta. Default: spo, simpo 0.5; repo 0.4; cpo 0. Excludes gamma."},
    )
    length_normalize: bool | None = field(
        default=None,
        metadata={"help": "Score completions by the mean instead of the sum of log-probs. Default: True, cpo False."},
    )
    sft_weight: float | None = field(
        default=None, metadata={"help": "Weight of the chosen completion's NLL per token. Default: 0, cpo 1."}
    )
    share_prompt: bool = field(
        default=False, metadata={"help": "Run each prompt once for both completions (sdpa or eager attention)."}
    )

    @property
    def reference_free(self) -> bool:
        """Whether the objective needs no reference model (all but `dpo`)."""
        return self.objective != TRL_OBJECTIVE

    @property
    def settings(self) -> ObjectiveSettings:
        """The objective's resolved settings; not defined for `dpo`."""
        return resolve_objective(
            self.objective,
            self.beta,
            self.gamma,
            self.gamma_beta_ratio,
            self.length_normalize,
            self.sft_weight,
            self.label_smoothing,
        )

    def __post_init__(self):
        if self.reference_free:
            self.beta = self.settings.beta
            for name in ("precompute_ref_log_probs", "sync_ref_model"):
                if getattr(self, name):
                    raise ValueError(f"{name}=True needs a reference model, and objective={self.objective!r} has none")
            if self.loss_type not in ("sigmoid", ["sigmoid"]):
                raise ValueError(
                    f"loss_type={self.loss_type} chooses one of TRL's losses: set objective='dpo', or leave loss_type "
                    f"out for objective={self.objective!r}"
                )
        else:
            self.beta = 0.1 if self.beta is None else self.beta
            own = ("gamma", "gamma_beta_ratio", "length_normalize", "sft_weight")
            given = [name for name in own if getattr(self, name) is not None]
            if given or self.share_prompt:
                raise ValueError(f"{', '.join(given) or 'share_prompt'}: not used by objective='dpo', remove it")
        super().__post_init__()

"""The judgment rewards of BacktrackAgent's stage 2 as TRL reward functions.

    r = gold - b1 (1 - p_v) - b2 P(p_j = 0)

One reply is one action. It is executed once, and three rewards read the result: `gold_match` 1 or 0, `verifier`
-(1 - p_v), `judger` -P(p_j = 0); b1 = b2 = 0.1 are TRL's `reward_weights`. What executes and judges is bound by the
recipe. Source: Wu et al., EMNLP 2025; `gold` is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from setaria.rewards.completions import reply_text


@dataclass(frozen=True)
class Attempted:
    """A reply after its action was executed.

    Attributes:
        right: whether it is the right action; False for a reply that is no action.
        verified: p_v, whether it is valid and has an effect; False for a reply that is no action.
        bad: P(p_j = 0), the Judger's probability of "No", in [0, 1]. None if it was not asked, as it is not about an
            action that the Verifier turned down (our choice): b1 alone is then the penalty, as much as for the worst
            action that it lets pass.
    """

    right: bool
    verified: bool
    bad: float | None

    def __post_init__(self):
        if self.bad is not None and not 0 <= self.bad <= 1:
            raise ValueError(f"bad={self.bad} is no probability")


AttemptBatch: TypeAlias = Callable[[list[str], list[dict[str, Any]]], list[Attempted]]


class JudgmentRewards:
    """Three reward functions that execute and judge each batch once.

        rewards = JudgmentRewards(attempt_batch)
        JudgmentGRPOTrainer(model, rewards.functions, ...)

    TRL calls one function after another with the same batch, and no more than the last batch is kept.

    Args:
        attempt_batch: (replies, rows) -> what became of each. A row holds the sample's columns of the dataset, with
            `prompt`.

    Raises:
        ValueError: if `attempt_batch` returns more or fewer results than it was given replies.
    """

    def __init__(self, attempt_batch: AttemptBatch):
        self._attempt_batch = attempt_batch
        self._columns: list[list] = []
        self._attempted: list[Attempted] = []

    @property
    def functions(self) -> list[Callable[..., Sequence[float | None]]]:
        """`gold_match`, `verifier` and `judger`, in the order of `JudgmentGRPOConfig`'s weights."""
        return [self.gold_match, self.verifier, self.judger]

    def gold_match(self, prompts: list, completions: list, **columns: Any) -> list[float]:
        """1 for the right action, else 0."""
        return [float(attempted.right) for attempted in self._attempts(prompts, completions, **columns)]

    def verifier(self, prompts: list, completions: list, **columns: Any) -> list[float]:
        """-1 for an action that fails the Verifier, else 0."""
        return [float(attempted.verified) - 1 for attempted in self._attempts(prompts, completions, **columns)]

    def judger(self, prompts: list, completions: list, **columns: Any) -> list[float | None]:
        """-P(p_j = 0), from -1 to 0; None, which TRL adds as 0 and leaves out of means, where none was asked."""
        attempts = self._attempts(prompts, completions, **columns)
        return [None if attempted.bad is None else -attempted.bad for attempted in attempts]

    def _attempts(
        self,
        prompts: list,
        completions: list,
        completion_ids: Any = None,
        trainer_state: Any = None,
        log_extra: Any = None,
        log_metric: Any = None,
        environments: Any = None,
        **columns: list,
    ) -> list[Attempted]:
        held = [prompts, completions, *columns.values()]
        same = len(held) == len(self._columns) and all(a is b for a, b in zip(held, self._columns, strict=True))
        if not same:
            columns = {"prompt": prompts, **columns}
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            attempted = self._attempt_batch([reply_text(completion) for completion in completions], rows)
            if len(attempted) != len(completions):
                raise ValueError(f"attempt_batch returned {len(attempted)} results for {len(completions)} replies")
            self._columns, self._attempted = held, attempted
        return self._attempted

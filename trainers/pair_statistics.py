"""Training metrics of preference pairs under TRL's names, from one row of sums per pair.

One row per pair is gathered over processes once per step, and every metric is a ratio of column sums; TRL's
DPOTrainer makes fifteen gathers for the same.
"""

import torch
from transformers.utils import ModelOutput

from setaria.trainers.completion_logps import CompletionTokens
from setaria.trainers.objective_settings import SPO_MINIMUM_LOGIT


PER_COMPLETION = ("logps", "entropy", "logits", "top1", "tokens", "input_tokens", "score")
COLUMNS = (*(f"{name}/{side}" for name in PER_COMPLETION for side in ("chosen", "rejected")), "u")


def pair_statistics(
    outputs: ModelOutput,
    tokens: CompletionTokens,
    attention_mask: torch.Tensor,
    chosen: torch.Tensor,
    rejected: torch.Tensor,
    logits: torch.Tensor,
) -> torch.Tensor:
    """Sums over each completion, `[pairs, len(COLUMNS)]` float32.

    Args:
        outputs: flat per-token fields `log_probs`, `entropy`, `mean_logits`, `is_top1`, `[tokens]`.
        tokens: the completion tokens.
        attention_mask: `[2 * pairs, length]`.
        chosen, rejected: scores, `[pairs]`.
        logits: u, `[pairs]`.
    """
    fields = (outputs.log_probs, outputs.entropy, outputs.mean_logits, outputs.is_top1)
    sums = [tokens.spread(field.float()).sum(1) for field in fields]
    sums += [tokens.mask.sum(1), attention_mask.sum(1)]
    sides = [side for column in sums for side in column.chunk(2)]
    return torch.stack([column.float() for column in (*sides, chosen, rejected, logits)], dim=1)


def preference_metrics(table: torch.Tensor, beta: float) -> dict[str, float]:
    """Metrics of a batch from its statistics, `[pairs, len(COLUMNS)]`.

    `logps/*` are sums per completion, `rewards/*` are beta times the score, `nll/chosen` is in nats per token,
    `u/past_minimum` is the share of pairs beyond the minimum of the SPO loss, and `pairs/incomplete` the share with an
    empty completion, which the loss leaves out.
    """
    total = dict(zip(COLUMNS, table.sum(0).tolist(), strict=True))
    column = dict(zip(COLUMNS, table.unbind(1), strict=True))
    tokens_chosen, tokens_rejected = max(total["tokens/chosen"], 1), max(total["tokens/rejected"], 1)
    pairs = len(table)
    return {
        "entropy": (total["entropy/chosen"] + total["entropy/rejected"]) / (tokens_chosen + tokens_rejected),
        "num_tokens": total["input_tokens/chosen"] + total["input_tokens/rejected"],
        "logits/chosen": total["logits/chosen"] / tokens_chosen,
        "logits/rejected": total["logits/rejected"] / tokens_rejected,
        "mean_token_accuracy": total["top1/chosen"] / tokens_chosen,
        "rewards/chosen": beta * total["score/chosen"] / pairs,
        "rewards/rejected": beta * total["score/rejected"] / pairs,
        "rewards/accuracies": (column["score/chosen"] > column["score/rejected"]).float().mean().item(),
        "rewards/margins": beta * (total["score/chosen"] - total["score/rejected"]) / pairs,
        "logps/chosen": total["logps/chosen"] / pairs,
        "logps/rejected": total["logps/rejected"] / pairs,
        "nll/chosen": -total["logps/chosen"] / tokens_chosen,
        "u/mean": total["u"] / pairs,
        "u/past_minimum": (column["u"] > SPO_MINIMUM_LOGIT).float().mean().item(),
        "pairs/incomplete": ((column["tokens/chosen"] == 0) | (column["tokens/rejected"] == 0)).float().mean().item(),
    }

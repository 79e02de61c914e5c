"""Log-probabilities of completion tokens, without running the LM head anywhere else.

TRL's fused LM head projects the backbone's hidden states in tiles and never builds the logits of a whole batch. On
devices without Triton it still projects every position, prompt and padding included, through tiles as wide as the
vocabulary. Here the backbone hands it only the positions that predict a completion token, in one row, and on those
devices the tiles are as wide as a processor's cache holds. The same path runs everywhere; where Triton is used, TRL's
head would have dropped the other positions itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils import ModelOutput
from trl.kernels.chunked_logprob import TOKEN_CHUNK_SIZE, _use_triton
from trl.trainer import utils as trl_utils


# Elements of one tile of logits, 2 MiB in float32, on devices without Triton (our choice; see docs/results.md).
TILE_ELEMENTS = 2**19


@dataclass
class CompletionTokens:
    """Where the completion tokens of a batch of sequences are, and what they are.

    Attributes:
        source: `[tokens]` int64, index into the backbone's positions, flattened over rows, that predicts the token.
        target: `[tokens]` int64, the token's id.
        mask: `[sequences, slots]` bool; its true slots, read row by row, are the tokens.
        length: length of a row of the backbone's input.
    """

    source: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor
    length: int

    @classmethod
    def of_rows(cls, input_ids: torch.Tensor, completion_mask: torch.Tensor) -> "CompletionTokens":
        """One sequence per row, `[sequences, length]`: position t predicts token t + 1."""
        mask = completion_mask[:, 1:].bool()
        length = input_ids.size(1)
        positions = torch.arange(input_ids.numel(), device=input_ids.device).view_as(input_ids)
        return cls(source=positions[:, :-1][mask], target=input_ids[:, 1:][mask], mask=mask, length=length)

    def spread(self, per_token: torch.Tensor) -> torch.Tensor:
        """Bring values `[tokens]` to their slots, `[sequences, slots]`, zero elsewhere; differentiable."""
        return per_token.new_zeros(self.mask.shape).masked_scatter(self.mask, per_token)


def completion_outputs(
    model: torch.nn.Module, policy: PreTrainedModel, inputs: dict[str, Any], tokens: CompletionTokens
) -> ModelOutput:
    """Run `model` with TRL's fused LM head on the completion tokens only.

    Args:
        model: the model as the trainer wraps it (DDP, FSDP, DeepSpeed, PEFT).
        policy: the transformers model inside, patched by `trl.trainer.utils.add_fused_lm_head`.
        inputs: what the backbone takes.
        tokens: the tokens to score.

    Returns:
        TRL's `FusedCausalLMOutput`, its per-token fields flat, `[tokens]`, float32.
    """
    with _backbone_returns(policy.base_model, tokens), _narrow_tiles(tokens):
        outputs = model(**inputs, shift_labels=tokens.target[None], fused_lm_head=True)
    for name in ("log_probs", "entropy", "mean_logits", "is_top1"):
        setattr(outputs, name, getattr(outputs, name)[0])
    return outputs


@contextmanager
def _backbone_returns(backbone: torch.nn.Module, tokens: CompletionTokens) -> Iterator[None]:
    """The backbone returns the hidden states of `tokens.source` as one row, `[1, tokens, hidden]`."""

    def select(module, args, output):
        # Prompt tuning puts virtual tokens before the row; the positions of the real ones are the last.
        hidden = output.last_hidden_state[:, -tokens.length :]
        output.last_hidden_state = hidden.flatten(0, 1)[tokens.source][None]
        return output

    hook = backbone.register_forward_hook(select)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _narrow_tiles(tokens: CompletionTokens) -> Iterator[None]:
    """TRL's tile width, a constant it reads at each forward and keeps for the backward, fitted to the cache."""
    wide = trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE
    if not _use_triton(tokens.target.device):
        rows = min(max(tokens.target.numel(), 1), TOKEN_CHUNK_SIZE)
        trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = min(wide, TILE_ELEMENTS // rows)
    try:
        yield
    finally:
        trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE = wide

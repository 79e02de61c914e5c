"""Prefix sharing: run each pair's prompt once, both completions attending to it.

A pair becomes one row `[prompt | chosen | rejected]` instead of two rows that repeat the prompt. The block mask lets a
completion see the prompt and itself, and each token keeps the position it has in its own sequence, so that the
log-probabilities are those of the two rows. At prompt : completion lengths p : c the row has p + 2c tokens instead of
2p + 2c; images, part of the prompt, are encoded once.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from setaria.trainers.completion_logps import CompletionTokens, completion_outputs
from setaria.trainers.shared_prompt_attention import SHARED_PROMPT_ATTENTION


# Mean log-probabilities per token of the two layouts differ by rounding only: about 1e-6 in float32, 1e-2 in bfloat16.
AGREEMENT = 0.05


def share_prompts(
    policy: PreTrainedModel, inputs: dict[str, Any], completion_mask: torch.Tensor
) -> tuple[dict[str, Any], CompletionTokens]:
    """Fold a batch of `2 * pairs` right-padded rows, all chosen, then all rejected, to `pairs` rows.

    Args:
        policy: the transformers model; its configuration says how it takes a mask.
        inputs: the model's inputs: `input_ids` and `attention_mask` `[2 * pairs, length]`, and for vision models the
            processor's outputs, the images of the chosen rows first.
        completion_mask: `[2 * pairs, length]`, 1 at completion tokens.

    Returns:
        The model's inputs for the folded rows and the completion tokens, in the order of the unfolded rows.
    """
    attention_mask = inputs["attention_mask"]
    pairs, length = attention_mask.size(0) // 2, attention_mask.size(1)
    row_length = attention_mask.sum(1)
    completion_length = completion_mask.sum(1)
    prompt_length = (row_length - completion_length)[:pairs, None]
    chosen_end = row_length[:pairs, None]
    end = chosen_end + completion_length[pairs:, None]

    slot = torch.arange(int(end.max()), device=attention_mask.device).expand(pairs, -1)
    is_rejected = slot >= chosen_end
    column = torch.where(is_rejected, slot - chosen_end + prompt_length, slot).clamp(max=length - 1)

    def fold(values: torch.Tensor) -> torch.Tensor:
        """Bring per-token values `[..., 2 * pairs, length]` to the folded rows."""
        chosen, rejected = values.chunk(2, dim=-2)
        index = column.expand(*chosen.shape[:-1], -1)
        return torch.where(is_rejected, rejected.gather(-1, index), chosen.gather(-1, index))

    segment = (slot >= prompt_length).long() + is_rejected.long() + 2 * (slot >= end).long()
    folded = {
        name: fold(value) if value.shape == attention_mask.shape else value[: value.size(0) // 2]
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }
    folded["attention_mask"] = _block_mask(policy, segment, shared=int(prompt_length.min()))
    folded["position_ids"] = fold(_positions(policy, inputs))
    return folded, _completion_tokens(inputs["input_ids"], completion_mask, prompt_length, chosen_end, slot.size(1))


def check_shared_prompt(
    model: torch.nn.Module, policy: PreTrainedModel, inputs: dict[str, Any], completion_mask: torch.Tensor
) -> None:
    """Compare the two layouts on a batch, without gradients.

    Raises:
        ValueError: if the model does not keep the completions apart, as state-space layers, ALiBi and sliding windows
            shorter than the row do not.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        means = [
            _mean_logps(model, policy, *layout)
            for layout in (
                (inputs, CompletionTokens.of_rows(inputs["input_ids"], completion_mask)),
                share_prompts(policy, inputs, completion_mask),
            )
        ]
    model.train(training)
    difference = (means[0] - means[1]).abs().max().item()
    if not difference <= AGREEMENT:
        raise ValueError(
            f"share_prompt=True changes the log-probabilities of {type(policy).__name__} by {difference:.3g} nats per "
            "token: its layers do not follow the block mask. Set share_prompt: false."
        )


def _mean_logps(model, policy, inputs, tokens: CompletionTokens) -> torch.Tensor:
    log_probs = completion_outputs(model, policy, {**inputs, "use_cache": False}, tokens).log_probs
    return tokens.spread(log_probs).sum(1) / tokens.mask.sum(1).clamp(min=1)


def _completion_tokens(
    input_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    prompt_length: torch.Tensor,
    chosen_end: torch.Tensor,
    folded_length: int,
) -> CompletionTokens:
    """The first token of either completion is predicted by the prompt's last position, the others by their own."""
    rows = CompletionTokens.of_rows(input_ids, completion_mask)
    pairs = input_ids.size(0) // 2
    row, column = rows.mask.nonzero(as_tuple=True)
    pair = row % pairs
    prompt, shift = prompt_length[pair, 0], (chosen_end - prompt_length)[pair, 0]
    own = torch.where((row >= pairs) & (column >= prompt), column + shift, column)
    return CompletionTokens(pair * folded_length + own, rows.target, rows.mask, folded_length)


def _block_mask(policy: PreTrainedModel, segment: torch.Tensor, shared: int) -> torch.Tensor:
    """Mask of the queries behind the first `shared` slots, bool `[pairs, 1, length - shared, length]`; for eager
    attention of all queries, additive float32. Segments are prompt 0, chosen 1, rejected 2 and padding 4."""
    query, key = segment[:, :, None], segment[:, None, :]
    length = segment.size(1)
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    mask = (causal & ((key == 0) | (key == query)))[:, None]
    if policy.config.get_text_config()._attn_implementation == SHARED_PROMPT_ATTENTION:
        return mask[:, :, shared:]
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, torch.finfo(torch.float32).min)


def _positions(policy: PreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
    """Positions of the unfolded rows: `[rows, length]`, with images `[3, rows, length]` for 3D rotary embeddings."""
    input_ids = inputs["input_ids"]
    grids = {name: inputs[name] for name in ("image_grid_thw", "video_grid_thw") if name in inputs}
    if not grids:
        return torch.arange(input_ids.size(1), device=input_ids.device).expand_as(input_ids)
    position_ids, _ = policy.base_model.get_rope_index(
        input_ids,
        mm_token_type_ids=inputs["mm_token_type_ids"],
        attention_mask=inputs["attention_mask"],
        **grids,
    )
    return position_ids

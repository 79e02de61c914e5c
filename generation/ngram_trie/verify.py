"""Forwards over draft trees, behind a prompt that the model has seen."""

import sys
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.generation.utils import MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL

from setaria.generation.ngram_trie.rope import draft_room
from setaria.generation.ngram_trie.staging import StagedCache
from setaria.generation.ngram_trie.tree import DraftTree, stack


# Inputs that each forward gets anew, or that belong to the prompt.
NOT_PASSED_ON = {
    *MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL,
    "attention_mask",
    "inputs_embeds",
    "logits_to_keep",
    "mm_token_type_ids",
    "past_key_values",
    "position_ids",
    "token_type_ids",
}


class Verifier:
    """Verifies the drafts of a batch and keeps what is accepted of them in the cache.

    Args:
        model: decoder-only, with eager or sdpa attention.
        cache: filled by the prompt; `can_stage` is true for it.
        rows: of the batch.
        model_kwargs: as `generate` prepares them for the prompt's forward.
    """

    def __init__(self, model: PreTrainedModel, cache: Cache, rows: int, model_kwargs: dict[str, Any]):
        self.model = model
        mask = model_kwargs.get("attention_mask")
        prompt = cache.get_seq_length()
        attended = torch.ones(rows, prompt, device=model.device) if mask is None else mask[:, :prompt]
        self.cache = StagedCache(cache, model.config, attended.bool())
        self.last_positions = model_kwargs["position_ids"][..., -1:]  # of the prompts
        self.prompt_length = int(self.last_positions.max()) + 1
        self.inputs = {name: value for name, value in model_kwargs.items() if name not in NOT_PASSED_ON}
        self.additive = model.config.get_text_config(decoder=True)._attn_implementation == "eager"

    def verify(self, trees: list[DraftTree], last_tokens: list[int], generated: list[int]) -> torch.Tensor:
        """Logits `[batch, queries, vocabulary]` after the last token of each row and after each node of its tree.

        Args:
            generated: how many tokens of each row were generated, the last one included.
        """
        device = self.last_positions.device
        tokens, depths, ancestors = stack(trees, last_tokens, device)
        positions = self.last_positions + torch.tensor(generated, device=device)[:, None] + depths
        logits = self.model(
            input_ids=tokens,
            attention_mask=self._mask(depths, ancestors),
            position_ids=positions,
            past_key_values=self.cache,
            return_dict=True,
            **self.inputs,
        ).logits
        if logits.is_cuda:
            torch.cuda.synchronize(logits.device)  # its time is measured
        return logits

    def max_draft_depth(self, generated: list[int]) -> int:
        """How deep drafts may go so that every token of them sees what it would see when decoded alone.

        In a batch, whose rows grow at their own pace, quantised states and frequencies that change with the length are
        not those of plain decoding anyway.
        """
        if len(generated) > 1:
            return sys.maxsize
        text = self.model.config.get_text_config(decoder=True)
        return min(draft_room(text, self.prompt_length + generated[0]), self.cache.max_draft_depth())

    def commit(self, paths: list[list[int]]) -> None:
        """Keep the accepted nodes of each row, the root first."""
        self.cache.commit(paths)

    def _mask(self, depths: torch.Tensor, ancestors: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor] | None:
        masks = {
            layer_type: slots.mask(depths, ancestors) if depths.size(1) > 1 or slots.needs_mask else None
            for layer_type, slots in self.cache.slots.items()
        }
        if self.additive:
            masks = {layer_type: self._as_bias(mask) for layer_type, mask in masks.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _as_bias(self, mask: torch.Tensor | None) -> torch.Tensor | None:
        """Eager attention adds its mask to the scores."""
        if mask is None:
            return None
        dtype = self.model.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)

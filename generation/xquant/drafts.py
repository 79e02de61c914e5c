"""Drafts for speculative decoding that end before the next quantisation.

A token that leaves the window is seen quantised by the tokens after it. Draft tokens are verified together and see one
state of the cache; if one of them would have been decoded after a quantisation, it would see another. Cut there,
drafts change nothing but speed.
"""

import torch
from transformers.generation.candidate_generator import CandidateGenerator

from setaria.generation.xquant.cache import XQuantCache


def align_drafts(candidates: CandidateGenerator, cache: XQuantCache) -> None:
    """Let `candidates`, made for one `generate` call, draft no more than may be verified together with `cache`."""
    draft = candidates.get_candidates

    def get_candidates(input_ids: torch.LongTensor, *args, **kwargs):
        candidate_ids, logits = draft(input_ids, *args, **kwargs)
        limit = cache.max_draft_tokens(input_ids.size(1))
        # No draft is to have no logits: generate's speculative sampling cannot take none of them.
        logits = logits[:, :limit] if limit and logits is not None else None
        return candidate_ids[:, : input_ids.size(1) + limit], logits

    candidates.get_candidates = get_candidates

"""Linear drafts through transformers' assisted decoding, for models whose attention cannot take a tree's mask.

These are FlashAttention, encoder-decoder models, attention with biases by distance, and hybrids with linear or
chunked attention. transformers verifies one row at a time.
"""

import time

import torch
from transformers import PreTrainedModel
from transformers.generation import CandidateGenerator
from transformers.generation.streamers import BaseStreamer
from transformers.utils import ModelOutput

from setaria.generation.ngram_trie.call import GenerateCall
from setaria.generation.ngram_trie.drafting import Drafting
from setaria.generation.ngram_trie.override import override
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.tree import DraftTree


class TrieCandidates(CandidateGenerator):
    """Drafts of one row in transformers' form.

    A draft ends before a token at which generation would stop, since transformers asks the criteria once per forward,
    and where the cache says so (`max_draft_tokens`).

    Args:
        drafting: linear; its drafter knows the prompt.
    """

    def __init__(self, call: GenerateCall, drafting: Drafting, stats: DecodingStats):
        self.drafting, self.stats = drafting, stats
        self.known = call.input_ids.size(1)
        self.max_length = call.stopping_criteria.max_length
        self.criteria = call.other_criteria
        self.cache = call.model_kwargs["past_key_values"]
        self.prompt_is_read = False

    def get_candidates(self, input_ids: torch.LongTensor, *args, **kwargs) -> tuple[torch.LongTensor, None]:
        """`input_ids` `[1, tokens]` with a draft behind it, and no logits of it."""
        started = time.perf_counter()
        self.drafting.drafters[0].extend(input_ids[0, self.known :].tolist())
        self.known = input_ids.size(1)
        self.draft = self._propose(input_ids) if self.prompt_is_read else DraftTree()
        draft = torch.tensor([self.draft.tokens], dtype=torch.long, device=input_ids.device)
        self.verifying = time.perf_counter()
        self.stats.draft_seconds += self.verifying - started
        return torch.cat((input_ids, draft), dim=1), None

    def update_candidate_strategy(self, input_ids: torch.LongTensor, scores: torch.Tensor, num_matches: int) -> None:
        """`num_matches` tokens of the draft were right."""
        seconds = time.perf_counter() - self.verifying
        if self.prompt_is_read:
            path = list(range(1 + int(num_matches)))
            self.drafting.cost.observe(1 + len(self.draft), seconds)
            self.stats.count([path], [self.draft], drafting=0.0, verifying=seconds)
            self.stats.modelled_plain_seconds += len(path) * self.drafting.cost.seconds(1)
        else:
            self.stats.prefill_seconds += seconds
        self.prompt_is_read = True

    def _propose(self, input_ids: torch.LongTensor) -> DraftTree:
        room = self.max_length - input_ids.size(1) - 1
        if hasattr(self.cache, "max_draft_tokens"):
            room = min(room, self.cache.max_draft_tokens(input_ids.size(1)))
        (draft,) = self.drafting.propose([room])
        tokens = torch.tensor([draft.tokens], dtype=torch.long, device=input_ids.device)
        for length in range(1, 1 + len(draft)) if self.criteria else ():
            if self.criteria(torch.cat((input_ids, tokens[:, :length]), dim=1), None).any():
                draft.truncate(length - 1)
                break
        return draft


class OneByOne(BaseStreamer):
    """Hands a streamer the tokens of a forward one at a time."""

    def __init__(self, streamer: BaseStreamer):
        self.streamer = streamer

    def put(self, value: torch.Tensor) -> None:
        for token in value.flatten():
            self.streamer.put(token[None])

    def end(self) -> None:
        self.streamer.end()


def decode_assisted(
    model: PreTrainedModel,
    call: GenerateCall,
    drafting: Drafting,
    stats: DecodingStats,
) -> ModelOutput | torch.Tensor:
    """What `generate` returns. The drafter knows the prompt of the only row."""
    candidates = TrieCandidates(call, drafting, stats)
    started = time.perf_counter()
    with override(model, _get_candidate_generator=lambda **kwargs: candidates):
        result = type(model)._assisted_decoding(
            model,
            call.input_ids,
            logits_processor=call.logits_processor,
            stopping_criteria=call.stopping_criteria,
            generation_config=call.generation_config,
            synced_gpus=call.synced_gpus,
            streamer=None if call.streamer is None else OneByOne(call.streamer),
            inputs_tensor=call.inputs_tensor,
            **call.model_kwargs,
        )
    stats.decode_seconds += time.perf_counter() - started
    return result

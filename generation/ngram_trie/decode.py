"""Lossless speculative decoding of a batch: draft, verify in one forward, keep what plain decoding would give."""

import time
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, StoppingCriteriaList
from transformers.generation import GenerateDecoderOnlyOutput
from transformers.generation.streamers import BaseStreamer

from setaria.generation.ngram_trie.drafter import Drafter
from setaria.generation.ngram_trie.drafting import Drafting
from setaria.generation.ngram_trie.rows import Rows
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.tree import DraftTree
from setaria.generation.ngram_trie.verify import Verifier


def decode(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    drafting: Drafting,
    stats: DecodingStats,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    model_kwargs: dict[str, Any],
    streamer: BaseStreamer | None = None,
    synced_gpus: bool = False,
) -> GenerateDecoderOnlyOutput | torch.Tensor:
    """What `generate` returns, for inputs as it prepares them.

    Args:
        drafting: whose drafters know the rows' prompts.
        streamer: gets one token at a time.
        synced_gpus: make empty forwards until all processes are done.
    """
    rows = Rows(input_ids, logits_processor, stopping_criteria, generation_config)
    prompt_length = input_ids.size(1)
    with model._optimize_model_for_decode():
        started = time.perf_counter()
        outputs = model._prefill(input_ids, generation_config, model_kwargs)
        cache = outputs.past_key_values
        verifier = Verifier(model, cache, len(rows), model_kwargs)
        trees = [DraftTree() for _ in rows]
        rows.accept(outputs.logits[:, -1:], trees)
        del outputs  # the logits of a whole prompt may be large
        _tell(drafting.drafters, rows, [prompt_length] * len(rows), streamer)
        stats.prefill_seconds += time.perf_counter() - started

        started = time.perf_counter()
        while model._has_unfinished_sequences(not rows.unfinished, synced_gpus, device=input_ids.device):
            beginning = time.perf_counter()
            trees = drafting.propose(rows.room(verifier.cache.max_draft_depth()))
            verifying = time.perf_counter()
            before = [row.length for row in rows]
            logits = verifier.verify(trees, rows.last_tokens(), [length - prompt_length - 1 for length in before])
            if not rows.unfinished:
                continue
            paths = rows.accept(logits, trees)
            verified = time.perf_counter()
            verifier.commit(paths)
            _tell(drafting.drafters, rows, before, streamer)
            drafting.cost.observe(logits.size(1), verified - verifying)
            stats.count(paths, trees, drafting=verifying - beginning, verifying=verified - verifying)
        stats.decode_seconds += time.perf_counter() - started
        stats.modelled_plain_seconds += (max(row.length for row in rows) - prompt_length - 1) * drafting.cost.seconds(
            1
        )
    if streamer is not None:
        streamer.end()
    if len(rows) == 1:
        verifier.cache.restore()
    if not generation_config.return_dict_in_generate:
        return rows.sequences()
    return GenerateDecoderOnlyOutput(
        sequences=rows.sequences(),
        scores=rows.stacked("scores") if rows.keep_scores else None,
        logits=rows.stacked("logits") if rows.keep_logits else None,
        past_key_values=cache if len(rows) == 1 else None,
    )


def _tell(drafters: list[Drafter], rows: Rows, before: list[int], streamer: BaseStreamer | None) -> None:
    """Drafters and the streamer learn the tokens behind the first `before` of each row."""
    for row, drafter, start in zip(rows, drafters, before, strict=True):
        tokens = row.ids[0, start : row.length].tolist()
        drafter.extend(tokens)
        if streamer is not None:
            for token in tokens:
                streamer.put(torch.tensor([token]))

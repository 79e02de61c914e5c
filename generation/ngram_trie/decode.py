"""Lossless speculative decoding of a batch: draft, verify in one forward, keep what plain decoding would give."""

import time

import torch
from transformers import PreTrainedModel
from transformers.generation import GenerateDecoderOnlyOutput
from transformers.generation.streamers import BaseStreamer

from setaria.generation.ngram_trie.call import GenerateCall
from setaria.generation.ngram_trie.drafter import Drafter
from setaria.generation.ngram_trie.drafting import Drafting
from setaria.generation.ngram_trie.rows import Rows
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.tree import DraftTree
from setaria.generation.ngram_trie.verify import Verifier


def decode(
    model: PreTrainedModel,
    call: GenerateCall,
    drafting: Drafting,
    stats: DecodingStats,
) -> GenerateDecoderOnlyOutput | torch.Tensor:
    """What `generate` returns. The drafters know the prompts of their rows."""
    rows = Rows(call)
    with model._optimize_model_for_decode():
        started = time.perf_counter()
        outputs = model._prefill(call.input_ids, call.generation_config, call.model_kwargs)
        cache = outputs.past_key_values
        verifier = Verifier(model, cache, len(rows), call.model_kwargs)
        rows.accept(outputs.logits[:, -1:], [DraftTree() for _ in rows])
        del outputs  # the logits of a whole prompt may be large
        _tell(drafting.drafters, rows, [0] * len(rows), call.streamer)
        stats.prefill_seconds += time.perf_counter() - started

        started = time.perf_counter()
        while model._has_unfinished_sequences(rows.finished, call.synced_gpus, device=call.input_ids.device):
            beginning = time.perf_counter()
            before = [len(row.generated) for row in rows]
            trees = drafting.propose(rows.room(verifier.max_draft_depth(before)))
            verifying = time.perf_counter()
            logits = verifier.verify(trees, [row.generated[-1] for row in rows], before)
            verified = time.perf_counter()
            if rows.finished:
                continue
            drafting.cost.observe(logits.size(1), verified - verifying)
            paths = rows.accept(logits, trees)
            verifier.commit(paths)
            _tell(drafting.drafters, rows, before, call.streamer)
            stats.count(paths, trees, drafting=verifying - beginning, verifying=verified - verifying)
        stats.decode_seconds += time.perf_counter() - started
        steps = max(len(row.generated) for row in rows) - 1
        stats.modelled_plain_seconds += steps * drafting.cost.seconds(1)
    if call.streamer is not None:
        call.streamer.end()
    if len(rows) == 1:
        verifier.cache.restore()
    if not call.generation_config.return_dict_in_generate:
        return rows.sequences()
    return GenerateDecoderOnlyOutput(
        sequences=rows.sequences(),
        scores=rows.stacked("scores") if rows.keep_scores else None,
        logits=rows.stacked("logits") if rows.keep_logits else None,
        past_key_values=cache if len(rows) == 1 else None,
    )


def _tell(drafters: list[Drafter], rows: Rows, before: list[int], streamer: BaseStreamer | None) -> None:
    """Drafters and the streamer learn the tokens behind the first `before` generated ones of each row."""
    for row, drafter, start in zip(rows, drafters, before, strict=True):
        tokens = row.generated[start:]
        drafter.extend(tokens)
        if streamer is not None:
            for token in tokens:
                streamer.put(torch.tensor([token]))

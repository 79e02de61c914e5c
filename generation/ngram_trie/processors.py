"""Logits processors for one row of a batch.

The rows of a batch accept different numbers of tokens, so that each is processed by itself, with its true prefix.
Processors that look something up by the number of the row are given that row.
"""

import copy
from functools import partial

import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import (
    EncoderNoRepeatNGramLogitsProcessor,
    EncoderRepetitionPenaltyLogitsProcessor,
    PrefixConstrainedLogitsProcessor,
    SynthIDTextWatermarkLogitsProcessor,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)


# One keeps a state for the batch as a whole, the other runs the model on it.
WHOLE_BATCH = (SynthIDTextWatermarkLogitsProcessor, UnbatchedClassifierFreeGuidanceLogitsProcessor)


def split_processors(processors: LogitsProcessorList, rows: int) -> list[LogitsProcessorList]:
    """The processors of each row, for `input_ids` `[1, tokens]` and `scores` `[1, vocabulary]`.

    Raises:
        ValueError: for a processor that needs all rows at the same length.
    """
    if rows == 1:
        return [processors]
    for processor in processors:
        if isinstance(processor, WHOLE_BATCH):
            raise ValueError(
                f"ngram_trie(): {type(processor).__name__} needs all rows of a batch at the same length; generate "
                "one prompt at a time, or outside of the context"
            )
    return [LogitsProcessorList(_of_row(processor, row, rows) for processor in processors) for row in range(rows)]


def _of_row(processor: LogitsProcessor, row: int, rows: int) -> LogitsProcessor:
    if isinstance(processor, PrefixConstrainedLogitsProcessor):
        allowed = partial(_allowed_in, processor._prefix_allowed_tokens_fn, row)
        return PrefixConstrainedLogitsProcessor(allowed, num_beams=1)
    if isinstance(processor, EncoderNoRepeatNGramLogitsProcessor):
        own = copy.copy(processor)
        own.generated_ngrams = [processor.generated_ngrams[row * processor.batch_size // rows]]
        own.batch_size = 1
        return own
    if isinstance(processor, EncoderRepetitionPenaltyLogitsProcessor):
        own = copy.copy(processor)
        prompt = row * len(processor.encoder_input_ids) // rows
        own.encoder_input_ids = processor.encoder_input_ids[prompt : prompt + 1]
        return own
    if isinstance(getattr(processor, "prompt_ignore_length", None), torch.Tensor):
        own = copy.copy(processor)
        own.prompt_ignore_length = processor.prompt_ignore_length[row : row + 1]
        return own
    return processor


def _allowed_in(allowed, row, _, tokens):
    return allowed(row, tokens)

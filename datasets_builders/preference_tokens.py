"""What can be wrong with preference pairs once they are tokens: double BOS, missing EOS, truncation, and length bias.

The tokens are made by TRL's own preparation, so what is reported is what is trained on: the chat template over prompt
and completion, the prompt as their shared prefix, EOS appended to plain text only, truncation from the end.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import DPOTrainer

from setaria.datasets_builders.findings import Finding
from setaria.datasets_builders.preference_checks import check_lengths


def tokenize_as_trained(pairs: Dataset, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Add `prompt_ids`, `chosen_ids` and `rejected_ids` as `DPOTrainer` does, before truncation."""
    trainer: Any = SimpleNamespace(_tokenizer=tokenizer)
    args: Any = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    return DPOTrainer._prepare_dataset(trainer, pairs, tokenizer, args, "checked")


def check_tokens(
    pairs: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, row_numbers: Sequence[int]
) -> list[Finding]:
    """Double BOS, missing EOS, prompts that fill `max_length` (in tokens), completions that it cuts, length bias."""
    tokenized = tokenize_as_trained(pairs, tokenizer)
    double_bos, missing_eos, filled, cut = [], [], [], []
    columns = tokenized.select_columns(["prompt_ids", "chosen_ids", "rejected_ids"])
    for number, row in zip(row_numbers, columns, strict=True):
        prompt, completions = row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"])
        if tokenizer.bos_token_id is not None and prompt[:2] == [tokenizer.bos_token_id] * 2:
            double_bos.append(number)
        if not all(ends_with_eos(ids, tokenizer) for ids in completions):
            missing_eos.append(number)
        if len(prompt) >= max_length:
            filled.append(number)
        elif len(prompt) + max(map(len, completions)) > max_length:
            cut.append(number)
    total = len(tokenized)
    return [
        *Finding.of_rows(
            "double BOS",
            "error",
            f"the prompt begins with {tokenizer.bos_token!r} twice",
            "remove the BOS token from the texts, or set the tokenizer's add_bos_token to false",
            double_bos,
            total,
        ),
        *Finding.of_rows(
            "missing EOS",
            "error",
            f"a completion does not end with {tokenizer.eos_token!r}: the model does not learn to stop",
            "set eos_token to the token with which the chat template ends an assistant turn",
            missing_eos,
            total,
        ),
        *Finding.of_rows(
            "prompt fills max_length",
            "warning",
            f"the prompt alone has {max_length} tokens or more: TRL drops the pair",
            "raise max_length or remove these rows",
            filled,
            total,
        ),
        *Finding.of_rows(
            "completion cut",
            "warning",
            f"a completion is cut at max_length {max_length}, and its EOS with it",
            "raise max_length",
            cut,
            total,
        ),
        check_lengths(list(map(len, tokenized["chosen_ids"])), list(map(len, tokenized["rejected_ids"])), "tokens"),
    ]


def ends_with_eos(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether EOS is the last token but for white space, such as the newline after ChatML's `<|im_end|>`."""
    for token in reversed(ids):
        if token == tokenizer.eos_token_id:
            return True
        if str(tokenizer.decode([token])).strip():
            return False
    return False

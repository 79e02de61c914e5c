"""What can be wrong with preference pairs whatever the tokenizer: empty, equal and repeated texts, and length bias.

The pairs are those that `to_preference` returns. Token-level checks are in `preference_tokens`.
"""

import json
import math
from collections.abc import Sequence
from hashlib import blake2b
from statistics import fmean, median

from datasets import Dataset

from setaria.datasets_builders.findings import Finding


# A length bias worth a warning: a clear preference for one length that is not an accident of few pairs.
BIASED_SHARE = 0.6
SIGNIFICANT = 0.01


def check_texts(pairs: Dataset, row_numbers: Sequence[int]) -> list[Finding]:
    """Empty completions, chosen equal to rejected, repeated pairs and repeated prompts."""
    empty, equal, repeated_pairs, repeated_prompts = [], [], [], []
    seen_pairs, seen_prompts = set(), set()
    for number, pair in zip(row_numbers, pairs.select_columns(["prompt", "chosen", "rejected"]), strict=True):
        if any(not completion_text(pair[side]).strip() for side in ("chosen", "rejected")):
            empty.append(number)
        if pair["chosen"] == pair["rejected"]:
            equal.append(number)
        pair_key, prompt_key = _digest(pair), _digest(pair["prompt"])
        if pair_key in seen_pairs:
            repeated_pairs.append(number)
        elif prompt_key in seen_prompts:
            repeated_prompts.append(number)
        seen_pairs.add(pair_key)
        seen_prompts.add(prompt_key)
    total = len(pairs)
    return [
        *Finding.of_rows(
            "empty completion",
            "error",
            "a completion without text: the model learns to say nothing, or learns nothing from the pair",
            "remove these rows",
            empty,
            total,
        ),
        *Finding.of_rows(
            "chosen == rejected",
            "error",
            "both completions are the same, so there is no preference",
            "remove these rows",
            equal,
            total,
        ),
        *Finding.of_rows(
            "repeated pair", "warning", "the pair occurred before", "remove these rows", repeated_pairs, total
        ),
        *Finding.of_rows(
            "repeated prompt",
            "info",
            "the prompt occurred before, with other completions",
            "keep all pairs of a prompt on the same side of a train/test split",
            repeated_prompts,
            total,
        ),
    ]


def check_words(pairs: Dataset) -> Finding:
    """Length bias in words, for want of a tokenizer."""
    chosen, rejected = (
        [len(completion_text(text).split()) for text in pairs[side]] for side in ("chosen", "rejected")
    )
    return check_lengths(chosen, rejected, "words")


def check_lengths(chosen: Sequence[int], rejected: Sequence[int], unit: str) -> Finding:
    """Length of chosen against rejected completions, with a sign test over the pairs of unequal length.

    Args:
        chosen: length of each chosen completion, in `unit`s ("tokens" or "words").
    """
    longer = sum(a > b for a, b in zip(chosen, rejected, strict=True))
    shorter = sum(a < b for a, b in zip(chosen, rejected, strict=True))
    share = longer / (longer + shorter) if longer + shorter else 0.5
    p_value = sign_test(longer, shorter)
    biased = p_value < SIGNIFICANT and not 1 - BIASED_SHARE < share < BIASED_SHARE
    return Finding(
        "length bias",
        "warning" if biased else "info",
        f"chosen {fmean(chosen):.1f}, rejected {fmean(rejected):.1f} {unit} on average (median {median(chosen):g}, "
        f"{median(rejected):g}); chosen is longer in {share:.1%} of the {longer + shorter} pairs of unequal length "
        f"(sign test p = {p_value:.2g})",
        "score by the token mean (length_normalize) and compare length-controlled win rates" if biased else "",
        longer,
        longer / len(chosen),
    )


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p-value of the sign test, by the normal approximation with continuity correction."""
    if wins == losses:
        return 1.0
    z = (abs(wins - losses) - 1) / math.sqrt(wins + losses)
    return math.erfc(z / math.sqrt(2))


def completion_text(completion: str | list[dict]) -> str:
    """The words of a completion: of all its messages and text parts, and the names of the tools it calls."""
    if isinstance(completion, str):
        return completion
    return " ".join(text for message in completion for text in _message_texts(message))


def _message_texts(message: dict) -> list[str]:
    content = message.get("content") or ""
    texts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
    texts += [call["function"]["name"] for call in message.get("tool_calls") or []]
    return [text for text in texts if text]


def _digest(value: object) -> bytes:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).digest()

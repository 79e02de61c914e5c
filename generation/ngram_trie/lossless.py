"""Does drafting change a text? Compares with plain decoding, token by token, and times both."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from transformers import PreTrainedModel

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.hook import ngram_trie
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.store import TrieStore


@dataclass(frozen=True)
class Difference:
    """Where the two texts of a prompt part.

    Attributes:
        prompt: its number.
        position: of the first token that differs, counted from the first generated one.
        plain, drafted: the two tokens there, None where the text has ended.
        margin: logit of the plain token less that of the other, in the plain run: next to 0, the two were tied but
            for rounding. None where a text has ended.
    """

    prompt: int
    position: int
    plain: int | None
    drafted: int | None
    margin: float | None


@dataclass
class LosslessReport:
    """What a comparison found.

    Attributes:
        prompts: compared.
        differences: of the prompts whose texts differ.
        plain_seconds, drafted_seconds: wall time of `generate`.
        stats: of the drafted runs.
    """

    prompts: int = 0
    differences: list[Difference] = field(default_factory=list)
    plain_seconds: float = 0.0
    drafted_seconds: float = 0.0
    stats: DecodingStats = field(default_factory=DecodingStats)

    @property
    def identical(self) -> int:
        """Prompts whose texts are equal."""
        return self.prompts - len(self.differences)

    @property
    def measured_speedup(self) -> float:
        return self.plain_seconds / self.drafted_seconds if self.drafted_seconds else 0.0

    def __str__(self) -> str:
        lines = [
            f"{self.identical} of {self.prompts} texts identical, {self.stats.tokens_per_forward:.2f} tokens per "
            f"forward, {self.measured_speedup:.2f} times as fast"
        ]
        for difference in self.differences:
            margin = "" if difference.margin is None else f", logit margin {difference.margin:.2g}"
            lines.append(
                f"prompt {difference.prompt}, token {difference.position}: {difference.plain} plain, "
                f"{difference.drafted} drafted{margin}"
            )
        return "\n".join(lines)


def check_lossless(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    config: NGramTrieConfig | None = None,
    store: TrieStore | None = None,
    batch_size: int = 1,
    seed: int = 0,
    **generate_kwargs,
) -> LosslessReport:
    """Generate every prompt without and with drafts and compare.

    Args:
        prompts: token ids.
        batch_size: prompts per `generate` call, left-padded.
        seed: set before each run, so that sampled texts are equal at batch size 1 in float32. In larger batches they
            agree in distribution only.
        generate_kwargs: for `generate`, such as `max_new_tokens` and `do_sample`.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("check_lossless needs prompts of at least one token each")
    batches = [
        _pad_left(prompts[first : first + batch_size], model.device) for first in range(0, len(prompts), batch_size)
    ]

    def generate(inputs: dict[str, torch.Tensor], **options) -> tuple[torch.Tensor, float]:
        torch.manual_seed(seed)
        started = time.perf_counter()
        sequences = model.generate(**inputs, **generate_kwargs, **options)
        return sequences, time.perf_counter() - started

    plain = [generate(inputs) for inputs in batches]
    with ngram_trie(model, config, store) as stats:
        drafted = [generate(inputs) for inputs in batches]
    report = LosslessReport(
        prompts=len(prompts),
        plain_seconds=sum(seconds for _, seconds in plain),
        drafted_seconds=sum(seconds for _, seconds in drafted),
        stats=stats,
    )
    for number, (inputs, (expected, _), (found, _)) in enumerate(zip(batches, plain, drafted, strict=True)):
        start = inputs["input_ids"].size(1)
        parted = {
            row: position
            for row, texts in enumerate(zip(expected[:, start:].tolist(), found[:, start:].tolist(), strict=True))
            if (position := _first_difference(*texts)) is not None
        }
        if parted:
            logits = generate(inputs, return_dict_in_generate=True, output_logits=True)[0].logits
        for row, position in parted.items():
            right, wrong = (_token_at(texts[row, start:], position) for texts in (expected, found))
            margin = None
            if right is not None and wrong is not None:
                margin = float(logits[position][row, right] - logits[position][row, wrong])
            report.differences.append(Difference(number * batch_size + row, position, right, wrong, margin))
    return report


def _pad_left(prompts: Sequence[Sequence[int]], device: torch.device) -> dict[str, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }


def _first_difference(expected: list[int], found: list[int]) -> int | None:
    for position, (left, right) in enumerate(zip_longest(expected, found)):
        if left != right:
            return position
    return None


def _token_at(text: torch.Tensor, position: int) -> int | None:
    return int(text[position]) if position < len(text) else None

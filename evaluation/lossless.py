"""Lossless: whether a drafter leaves the greedy text of the same checkpoint and cache as it is, token for token.

Prompts are JSON lines, `{"prompt": ...}`, completed one by one. Settings without a drafter have no score.

    identical            1 if the two texts have the same tokens
    tokens_per_forward   after the prompt's forward: at 1 nothing was drafted that held, and equal texts say little

Where texts part, the item's `extra` has the place, both tokens and the plain run's margin of logits between them: next
to 0 it is a tie that rounding broke, else an error.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.generating import as_prompt
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_json_lines
from setaria.generation.ngram_trie import Difference, check_lossless


class Lossless(Task):
    """Prompts of JSON lines."""

    name = "lossless"
    metrics: tuple[Metric, ...] = (Metric(name, "identical", True), Metric(name, "tokens_per_forward", True))

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config

    def samples(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Prompts by item.

        Raises:
            ValueError: naming file, line and field.
        """
        rows = read_json_lines(self.file, "prompt")
        return {f"{number:05}": row["prompt"] for number, row in enumerate(rows[: self.config.limit])}

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, str]]) -> list[Item]:
        """Finished items of some samples."""
        if setting.drafter == NONE:
            return [Item(id, prompt, "", "", {}, "generation") for id, prompt in samples]
        with hooked(checkpoint.model, replace(setting, drafter=NONE)):
            return [self._item(checkpoint, id, prompt) for id, prompt in samples]

    def _item(self, checkpoint: Checkpoint, id: str, prompt: str) -> Item:
        report = check_lossless(
            checkpoint.model,
            [as_prompt(checkpoint, prompt, self.config.apply_chat_template)],
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            pad_token_id=checkpoint.tokenizer.pad_token_id,
        )
        scores = {"identical": float(report.identical)}
        if report.stats.forwards:
            scores["tokens_per_forward"] = report.stats.tokens_per_forward
        if not report.differences:
            return Item(id, prompt, "identical", "", scores, "generation")
        (difference,) = report.differences
        extra = asdict(difference)
        del extra["prompt"]  # the only one
        return Item(id, prompt, _wording(difference, checkpoint.tokenizer), "", scores, "generation", extra)


def _wording(difference: Difference, tokenizer: PreTrainedTokenizerBase) -> str:
    plain, drafted = (
        "its end" if token is None else repr(tokenizer.decode([token]))
        for token in (difference.plain, difference.drafted)
    )
    margin = "" if difference.margin is None else f", logit margin {difference.margin:.2g}"
    return f"token {difference.position}: {plain} plain, {drafted} drafted{margin}"

"""Lossless: does the drafter change a text? Greedy replies with it and without it, token by token.

identical          1 if both texts are the same
tokens_per_forward of decoding with drafts
"""

from collections.abc import Sequence
from pathlib import Path

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.replies import as_prompt
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_texts
from setaria.generation.ngram_trie import check_lossless


class Lossless(Task):
    """Prompts of JSON lines (`{"prompt": ...}`), for settings with a drafter."""

    name = "lossless"
    metrics: tuple[Metric, ...] = (Metric(name, "identical", True), Metric(name, "tokens_per_forward", True))
    in_batches = False

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config

    def applies_to(self, setting: Setting) -> bool:
        return setting.drafter != NONE

    def samples(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Prompts by item.

        Raises:
            ValueError: naming file, line and field.
        """
        rows = read_texts(self.file, "prompt")[: self.config.limit]
        chat = self.config.apply_chat_template
        return {f"{number:05}": as_prompt(checkpoint, [row["prompt"]], chat) for number, row in enumerate(rows)}

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, str]]) -> list[Item]:
        """Finished items, one prompt at a time, since drafts over a quantised cache are exact for one only."""
        return [self._item(checkpoint, setting, *sample) for sample in samples]

    def _item(self, checkpoint: Checkpoint, setting: Setting, id: str, prompt: str) -> Item:
        special = not self.config.apply_chat_template
        ids = checkpoint.tokenizer(prompt, add_special_tokens=special).input_ids
        with hooked(checkpoint.model, Setting(setting.name, setting.checkpoint, cache=setting.cache)):
            report = check_lossless(
                checkpoint.model,
                [ids],
                do_sample=False,
                max_new_tokens=self.config.max_new_tokens,
                pad_token_id=checkpoint.tokenizer.pad_token_id,
            )
        scores = {"identical": float(report.identical), "tokens_per_forward": report.stats.tokens_per_forward}
        said = "" if report.identical else str(report).partition("\n")[2]
        return Item(id, prompt, said, "", scores, "generation")

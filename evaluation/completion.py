"""Completion: what the model says to given prompts, decoded greedily with the setting's cache and drafter.

Prompts are JSON lines, `{"prompt": ..., "target": ...}`; the target may be missing.

    exact_match   1 if the completion is the target, spaces around both apart
"""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_json_lines


class Completion(Task):
    """Prompts of JSON lines."""

    name = "completion"
    metrics: tuple[Metric, ...] = (Metric(name, "exact_match", True), Metric(name, "tokens", True, "generated tokens"))

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config

    def samples(self, checkpoint: Checkpoint) -> dict[str, dict[str, str]]:
        """Prompts and targets by item.

        Raises:
            ValueError: naming file, line and field.
        """
        rows = read_json_lines(self.file, "prompt", ("target",))
        return {f"{number:05}": row for number, row in enumerate(rows[: self.config.limit])}

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, dict[str, str]]]
    ) -> list[Item]:
        """Finished items of some samples: at once, or one by one where drafts over a quantised cache ask for it."""
        if NONE not in (setting.cache, setting.drafter) and len(samples) > 1:
            return [item for sample in samples for item in self.run(checkpoint, setting, [sample])]
        tokenizer = checkpoint.tokenizer
        prompts = [row["prompt"] for _, row in samples]
        if self.config.apply_chat_template:
            prompts = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
                )
                for prompt in prompts
            ]
        inputs = tokenizer(
            prompts,
            padding=True,
            add_special_tokens=not self.config.apply_chat_template,
            return_tensors="pt",
            return_token_type_ids=False,
        ).to(checkpoint.device)
        began = time.monotonic()
        with torch.no_grad(), hooked(checkpoint.model, setting):
            texts = checkpoint.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=self.config.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        seconds = (time.monotonic() - began) / len(samples)
        replies = texts[:, inputs.input_ids.size(1) :]
        return [
            self._item(id, row, tokenizer.decode(reply, skip_special_tokens=True), reply, tokenizer, seconds)
            for (id, row), reply in zip(samples, replies, strict=True)
        ]

    def _item(self, id, row, said, reply, tokenizer, seconds) -> Item:
        ended = (reply == tokenizer.eos_token_id).nonzero()
        tokens = int(ended[0]) + 1 if len(ended) else int((reply != tokenizer.pad_token_id).sum())
        scores = {"tokens": float(tokens)}
        if "target" in row:
            scores["exact_match"] = float(said.strip() == row["target"].strip())
        return Item(id, row["prompt"], said, row.get("target", ""), scores, "generation", {"seconds": seconds})

"""Completion: what the model says to given prompts, decoded greedily with the setting's cache and drafter.

Prompts are JSON lines, `{"prompt": ..., "target": ...}`; the target may be missing.

    exact_match   1 if the completion is the target, spaces around both apart
"""

from collections.abc import Sequence
from pathlib import Path

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.generating import Reply, as_prompt, greedy_replies
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
        """Finished items of some samples."""
        prompts = [as_prompt(checkpoint, row["prompt"], self.config.apply_chat_template) for _, row in samples]
        replies = greedy_replies(checkpoint, setting, prompts, self.config.max_new_tokens)
        return [_item(id, row, reply) for (id, row), reply in zip(samples, replies, strict=True)]


def _item(id: str, row: dict[str, str], reply: Reply) -> Item:
    scores = {"tokens": float(len(reply.ids))}
    if "target" in row:
        scores["exact_match"] = float(reply.text.strip() == row["target"].strip())
    extra = {"seconds": reply.seconds, **reply.bits}
    return Item(id, row["prompt"], reply.text, row.get("target", ""), scores, "generation", extra)

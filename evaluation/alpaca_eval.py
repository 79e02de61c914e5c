"""Answers to AlpacaEval's instructions, in the format that `alpaca_eval` judges: `model_outputs.json`.

The file is AlpacaEval's own (a JSON list) or JSON lines: `{"instruction": ..., "output": ..., "dataset": ...}`. An `output`
is a reference; with a judge (`judging`) answers are compared with it:

    wins   1 if the judge prefers the answer in both orders, 0 if the reference, 0.5 if it changes its mind or ties
"""

import json
from collections.abc import Sequence
from pathlib import Path

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.judging import Judge
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.replies import as_prompt, complete
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_texts


class AlpacaEval(Task):
    """Instructions of a file; answers go to `RUN/alpaca_eval/SETTING/model_outputs.json`."""

    name = "alpaca_eval"
    metrics: tuple[Metric, ...] = (Metric(name, "wins", True), Metric(name, "tokens", False, "generated tokens"))

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config
        self.judge = Judge.of(config)

    def samples(self, checkpoint: Checkpoint) -> dict[str, dict[str, str]]:
        """Instructions by item.

        Raises:
            ValueError: naming file, line and field.
        """
        rows = read_texts(self.file, "instruction", ("output", "dataset"))
        return {f"{number:05}": row for number, row in enumerate(rows[: self.config.limit])}

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, dict[str, str]]]
    ) -> list[Item]:
        """Finished items of some instructions."""
        chat = self.config.apply_chat_template
        prompts = [as_prompt(checkpoint, [row["instruction"]], chat) for _, row in samples]
        replies = complete(checkpoint, setting, prompts, self.config.max_new_tokens, chat)
        items = []
        for (id, row), reply in zip(samples, replies, strict=True):
            scores = {"tokens": float(reply.tokens)}
            if self.judge and row.get("output"):
                preferred = self.judge.preference(row["instruction"], reply.text, row["output"])
                scores |= {} if preferred is None else {"wins": preferred}
            kept = {"dataset": row["dataset"]} if "dataset" in row else {}
            items.append(Item(id, row["instruction"], reply.text, row.get("output", ""), scores, "generation", kept))
        return items

    def export(self, run: Path, setting: Setting, items: Sequence[Item]) -> None:
        outputs = [
            {"instruction": item.prompt, "output": item.prediction, "generator": setting.name, **item.extra}
            for item in items
        ]
        folder = run / self.name / setting.slug
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "model_outputs.json", json.dumps(outputs, ensure_ascii=False, indent=1) + "\n")

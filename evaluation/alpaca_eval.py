"""AlpacaEval 2: greedy answers to its instructions, as the tool reads them, and a judge's preference over a reference.

The file is AlpacaEval's, a JSON list or JSON lines of `instruction`, and `dataset`, `output`, `generator` if there are
any: the reference answer and who gave it.

    RUN/alpaca_eval/<slug of the setting>/model_outputs.json   for `alpaca_eval --model_outputs`

    win_rate   share of the reference answers that the judge likes less, ties being half; each pair is judged in both
               orders and their mean counts, since judges favour a place
    tokens     generated ones

The length-controlled win rate, and any number that is to stand beside published ones, is left to the tool: our
judge's prompt is not its prompt.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from setaria.evaluation.chats import answers, cut_note, note_missing_template
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.judge_prompts import PREFERENCE, preference_prompt
from setaria.evaluation.judging import Judge, scored, unjudged_note
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_json_lines


class AlpacaEval(Task):
    """Instructions of AlpacaEval.

    Raises:
        ValueError: naming file, line or index, and field; and where a judge has no reference to compare with.
    """

    name = "alpaca_eval"
    metrics: tuple[Metric, ...] = (Metric(name, "win_rate", True), Metric(name, "tokens", True, "generated tokens"))

    def __init__(self, file: Path, config: EvalConfig):
        self.config, self.judge = config, Judge.of(config, self.name)
        rows = read_json_lines(file, "instruction", ("dataset", "output", "generator"))[: config.limit]
        without = sum("output" not in row for row in rows)
        if self.judge and without:
            raise ValueError(
                f"{file}: {without} of {len(rows)} instructions have no 'output' that a judge could compare"
            )
        self.rows = {f"{number:05}": row for number, row in enumerate(rows)}

    def samples(self, checkpoint: Checkpoint) -> dict[str, dict[str, str]]:
        """Instructions and references by item."""
        note_missing_template(checkpoint)
        return self.rows

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, dict[str, str]]]
    ) -> list[Item]:
        """Answers to some instructions."""
        talks = [[{"role": "user", "content": row["instruction"]}] for _, row in samples]
        found = answers(checkpoint, setting, talks, self.config.max_new_tokens)
        return [
            Item(
                id,
                row["instruction"],
                answer.text,
                row.get("output", ""),
                {"tokens": float(answer.tokens)},
                "generation",
                {"seconds": answer.seconds, "cut": answer.cut, **answer.bits},
            )
            for (id, row), answer in zip(samples, found, strict=True)
        ]

    def finish(self, setting: Setting, items: Sequence[Item]) -> list[Item]:
        """Write the answers for the tool; where there is a judge, the items have a `win_rate`."""
        outputs = [
            {
                "instruction": item.prompt,
                "output": item.prediction,
                "generator": setting.name,
                "dataset": self.rows[item.id].get("dataset", ""),
            }
            for item in items
        ]
        file = self.config.output / self.name / setting.slug / "model_outputs.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(outputs, ensure_ascii=False, indent=1) + "\n")
        return self._judged(self.judge, setting, items) if self.judge else list(items)

    def notes(self, items: Sequence[Item]) -> list[str]:
        """Answers that were cut short, and those without a verdict."""
        return cut_note(items, self.config.max_new_tokens) + unjudged_note(items)

    def _judged(self, judge: Judge, setting: Setting, items: Sequence[Item]) -> list[Item]:
        orders = {}
        for item in items:
            orders[f"{item.id} A"] = preference_prompt(item.prompt, item.prediction, item.target)
            orders[f"{item.id} B"] = preference_prompt(item.prompt, item.target, item.prediction)
        verdicts = judge.verdicts(setting, PREFERENCE, orders)
        return [scored(item, {"win_rate": _win(verdicts[f"{item.id} A"], verdicts[f"{item.id} B"])}) for item in items]


def _win(first: float | str, second: float | str) -> float | str:
    """Mean of a verdict that is 1 where the answer is A and of one that is 1 where the reference is."""
    if isinstance(first, str):
        return first
    if isinstance(second, str):
        return second
    return (first + 1 - second) / 2

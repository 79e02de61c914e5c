"""Answers to MT-Bench's questions of several turns, in the format that FastChat's judge reads.

The file is FastChat's `question.jsonl`: `{"question_id", "category", "turns": [...]}`. With a judge (`judging`):

    rating   1 to 10, mean over the turns of a question
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.judging import Judge
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.replies import as_prompt, complete
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_objects


class MTBench(Task):
    """Questions of a file; answers go to `RUN/mt_bench/SETTING.jsonl`, a model's answer file in FastChat."""

    name = "mt_bench"
    metrics: tuple[Metric, ...] = (Metric(name, "rating", True, "of 10"),)

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config
        self.judge = Judge.of(config)

    def samples(self, checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
        """Questions by item.

        Raises:
            ValueError: naming file, line and field.
        """
        found: dict[str, dict[str, Any]] = {}
        for place, row in read_objects(self.file):
            match row:
                case {"question_id": int() | str() as number, "turns": [str(), *_] as turns} if all(
                    isinstance(turn, str) and turn for turn in turns
                ):
                    id = f"{number:05}" if isinstance(number, int) else number
                case _:
                    raise ValueError(f"{place}: question_id, and turns as a list of texts, are expected")
            if id in found:
                raise ValueError(f"{place}: question_id {number!r} is there twice")
            found[id] = {"question_id": number, "category": str(row.get("category", "")), "turns": turns}
        return dict(list(found.items())[: self.config.limit])

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Item]:
        """Finished items of some questions, all of which take a turn before the next."""
        said: list[list[str]] = [[] for _ in samples]
        chat = self.config.apply_chat_template
        for turn in range(max(len(row["turns"]) for _, row in samples)):
            asked = [place for place, (_, row) in enumerate(samples) if turn < len(row["turns"])]
            prompts = [
                as_prompt(checkpoint, _conversation(samples[place][1]["turns"][: turn + 1], said[place]), chat)
                for place in asked
            ]
            for place, reply in zip(
                asked, complete(checkpoint, setting, prompts, self.config.max_new_tokens, chat), strict=True
            ):
                said[place].append(reply.text)
        return [self._item(id, row, answers) for (id, row), answers in zip(samples, said, strict=True)]

    def _item(self, id: str, row: dict[str, Any], answers: list[str]) -> Item:
        scores = {}
        if self.judge:
            turns = range(len(answers))
            ratings = [
                self.judge.rating(_conversation(row["turns"][: turn + 1], answers[: turn + 1])) for turn in turns
            ]
            named = [rating for rating in ratings if rating is not None]
            scores |= {"rating": sum(named) / len(named)} if named else {}
        kept = {"question_id": row["question_id"], "category": row["category"], "turns": answers}
        return Item(id, "\n\n".join(row["turns"]), "\n\n".join(answers), "", scores, "generation", kept)

    def export(self, run: Path, setting: Setting, items: Sequence[Item]) -> None:
        lines = []
        for item in items:
            answer = {
                "question_id": item.extra["question_id"],
                "answer_id": uuid.uuid5(uuid.NAMESPACE_OID, f"{setting.name} {item.id} {item.prediction}").hex,
                "model_id": setting.slug,
                "choices": [{"index": 0, "turns": item.extra["turns"]}],
                "tstamp": 0.0,  # the same answers make the same file
            }
            lines.append(json.dumps(answer, ensure_ascii=False) + "\n")
        folder = run / self.name
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{setting.slug}.jsonl", "".join(lines))


def _conversation(turns: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Turns and answers in order; the last answer may be missing."""
    said = [text for pair in zip(turns, answers, strict=False) for text in pair]
    return [*said, *turns[len(answers) :]]

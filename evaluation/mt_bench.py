"""MT-Bench: greedy answers to its questions of two turns, as FastChat reads them, and a judge's grades.

The file is FastChat's question.jsonl: `question_id`, `category`, two `turns`, and `reference` if there is one: up to
two texts, of which some may be empty. The second turn follows on the model's first answer.

    RUN/mt_bench/<slug of the setting>.jsonl   FastChat's answers; it names a model by its file, and so do we

    turn 1, turn 2   the judge's grade, 1 to 10, of each answer; references are shown to it for math, reasoning, coding
    score            mean of both grades
    tokens           generated ones, of both answers

FastChat samples some categories (writing and roleplay at temperature 0.7, stem and humanities at 0.1) and asks its
judge in other words. We decode all of them greedily: our numbers do not stand beside published ones.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setaria.evaluation.chats import answers, cut_note, note_missing_template
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.judge_prompts import GRADING, grading_prompt
from setaria.evaluation.judging import Judge, scored, unjudged_note
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_rows


TURNS = (0, 1)
WITH_REFERENCE = ("math", "reasoning", "coding")  # FastChat's NEED_REF_CATS
NEXT = "\n\n[turn 2]\n"


class MTBench(Task):
    """Questions of MT-Bench.

    Raises:
        ValueError: naming file, line or index, and field.
    """

    name = "mt_bench"
    metrics: tuple[Metric, ...] = (
        Metric(name, "turn 1", True, "of 10"),
        Metric(name, "turn 2", True, "of 10"),
        Metric(name, "score", True, "of 10"),
        Metric(name, "tokens", True, "generated tokens"),
    )

    def __init__(self, file: Path, config: EvalConfig):
        self.config, self.judge = config, Judge.of(config, self.name)
        questions = [_question(row, where) for where, row in read_rows(file)]
        [(id, times)] = Counter(question["question_id"] for question in questions).most_common(1)
        if times > 1:
            raise ValueError(f"{file}: question_id={id!r} is there twice")
        self.questions = {f"{number:05}": question for number, question in enumerate(questions[: config.limit])}

    def samples(self, checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
        """Questions by item."""
        note_missing_template(checkpoint)
        return self.questions

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Item]:
        """Both answers to some questions."""
        talks: list[list[dict[str, str]]] = [[] for _ in samples]
        said = []
        for turn in TURNS:
            for talk, (_, question) in zip(talks, samples, strict=True):
                talk.append({"role": "user", "content": question["turns"][turn]})
            said.append(answers(checkpoint, setting, talks, self.config.max_new_tokens))
            for talk, answer in zip(talks, said[-1], strict=True):
                talk.append({"role": "assistant", "content": answer.text})
        return [
            Item(
                id,
                NEXT.join(question["turns"]),
                NEXT.join(answer.text for answer in both),
                NEXT.join(question["reference"]) if any(question["reference"]) else "",
                {"tokens": float(sum(answer.tokens for answer in both))},
                "generation",
                {
                    "turns": [answer.text for answer in both],
                    "category": question["category"],
                    "seconds": sum(answer.seconds for answer in both),
                    "cut": any(answer.cut for answer in both),
                    "made": time.time(),
                    **both[-1].bits,
                },
            )
            for (id, question), *both in zip(samples, *said, strict=True)
        ]

    def finish(self, setting: Setting, items: Sequence[Item]) -> list[Item]:
        """Write the answers for FastChat; where there is a judge, the items have its grades."""
        file = self.config.output / self.name / f"{setting.slug}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(self._answer(setting, item), ensure_ascii=False) + "\n" for item in items]
        write_atomically(file, "".join(lines))
        return self._judged(self.judge, setting, items) if self.judge else list(items)

    def notes(self, items: Sequence[Item]) -> list[str]:
        """Answers that were cut short, and those without a grade."""
        return cut_note(items, self.config.max_new_tokens) + unjudged_note(items)

    def _answer(self, setting: Setting, item: Item) -> dict[str, Any]:
        id, turns = self.questions[item.id]["question_id"], item.extra["turns"]
        digest = hashlib.sha256(json.dumps([setting.name, id, turns]).encode()).hexdigest()
        return {
            "question_id": id,
            "answer_id": digest[:22],
            "model_id": setting.slug,
            "choices": [{"index": 0, "turns": turns}],
            "tstamp": item.extra["made"],
        }

    def _judged(self, judge: Judge, setting: Setting, items: Sequence[Item]) -> list[Item]:
        prompts = {}
        for item in items:
            question, said = self.questions[item.id], item.extra["turns"]
            reference = question["reference"] if question["category"] in WITH_REFERENCE else ["", ""]
            for turn in TURNS:
                prompts[f"{item.id} turn {turn + 1}"] = grading_prompt(
                    question["turns"][: turn + 1], said[: turn + 1], reference[turn]
                )
        verdicts = judge.verdicts(setting, GRADING, prompts)
        return [scored(item, _grades(*(verdicts[f"{item.id} turn {turn + 1}"] for turn in TURNS))) for item in items]


def _grades(first: float | str, second: float | str) -> dict[str, float | str]:
    grades = {"turn 1": first, "turn 2": second}
    if isinstance(first, str) or isinstance(second, str):
        return grades
    return grades | {"score": (first + second) / 2}


def _question(row: Any, where: str) -> dict[str, Any]:
    """A question with what we read of it, and two references, which are empty if it has none."""
    if not isinstance(row, dict):
        raise ValueError(f"{where}: an object with question_id, category and turns is expected")
    id, category = row.get("question_id"), row.get("category")
    if not isinstance(id, int | str) or isinstance(id, bool):
        raise ValueError(f"{where}: question_id={id!r}: a number or a text is expected")
    if not isinstance(category, str):
        raise ValueError(f"{where}: category={category!r}: a text is expected")
    turns, reference = _texts(row, "turns", where), _texts(row, "reference", where)
    if len(turns) != len(TURNS) or not all(turns):
        raise ValueError(f"{where}: turns={turns!r}: two texts that are not empty are expected")
    missing = [""] * (len(TURNS) - len(reference))
    return {"question_id": id, "category": category, "turns": turns, "reference": reference + missing}


def _texts(row: dict[str, Any], name: str, where: str) -> list[str]:
    texts = row.get(name) or []
    if not isinstance(texts, list) or len(texts) > len(TURNS) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: {name}={texts!r}: a list of two texts is expected")
    return texts

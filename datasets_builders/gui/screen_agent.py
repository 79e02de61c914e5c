"""ScreenAgent's recordings of desktop work, read for their judgments: is the sub-task done on this screenshot?

    <recording>/<time>_translate.json            a recorded step: the question, the screenshot's name, the answer
    <recording>/<time>_translate_neg_eval.json   a constructed one
    <recording>/images/<time>.jpg

(niuzaisheng/ScreenAgent, data/ScreenAgent). A step whose answer is an EvaluateSubTaskAction becomes a row for the
Judger with one image, that of the question: `sub_task_success` is Yes, `need_retry` and `need_reformulate` are No.

The text is the English question up to the current sub-task, hence the goal and the plan, then ours. What follows there
lists the possible answers as JSON and is left out, and so is the answer's advice. `current_task` is not used: half of
the steps have none, the others in Chinese.

Every No in the data is constructed: it asks the question of a recorded step about a screenshot from before its action.
So column `constructed` tells the answer and is nothing to show a model, and 24 of the 66 questions, those of the first
and the last sub-task of a recording, have no such twin and are always answered Yes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.rows import NO, YES, training_row


ANSWERS = {"sub_task_success": YES, "need_retry": NO, "need_reformulate": NO}
ASK = "Does the picture conform to the current subtask? Answer Yes or No."
QUESTION = re.compile(
    r'The overall goal is .+?^(?:The current|Now the) subtask is "(?P<sub_task>[^\n]+)"\.$', re.DOTALL | re.MULTILINE
)
IMAGE_NAME = re.compile(r"\w[\w.\-]{0,120}\.(jpg|jpeg|png)")
MOST_BYTES = 1_000_000  # of a step's file


@dataclass(frozen=True)
class ScreenJudgment:
    """A question about a screenshot, and its answer.

    Attributes:
        file: the step's file.
        context: goal, plan and current sub-task, in English.
        sub_task: the current sub-task alone.
        situation: the answer, a key of `ANSWERS`.
        constructed: whether the step was made rather than recorded.
        screenshot: file of the image, inside the recording.
    """

    file: Path
    context: str
    sub_task: str
    situation: str
    constructed: bool
    screenshot: Path


def read_judgments(root: Path) -> Iterator[ScreenJudgment]:
    """The judgments in all recordings under `root`, in order of recording and time.

    Raises:
        ValueError: naming the file and the field that is missing or wrong.
    """
    for file in sorted(root.glob("*/*.json")):
        try:
            judgment = _judgment(file)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        if judgment:
            yield judgment


def screen_agent_rows(root: Path) -> Iterator[dict[str, Any]]:
    """A row of role judger per judgment, one image in memory at a time.

    Its own columns: `app` is screen_agent, `task` and `page` are the recording and the step; `constructed`.

    Raises:
        ValueError: as `read_judgments`, and for a screenshot that is no image.
    """
    for judgment in read_judgments(root):
        image = Page(judgment.file.stem, judgment.screenshot).image
        text = f"{judgment.context}\n{ASK}"
        yield training_row(
            "judger",
            [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}],
            ANSWERS[judgment.situation],
            app="screen_agent",
            task=judgment.file.parent.name,
            page=judgment.file.stem,
            constructed=judgment.constructed,
        )


def _judgment(file: Path) -> ScreenJudgment | None:
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES} bytes")
    try:
        step = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(step, dict):
        raise ValueError(f"a {type(step).__name__}, not a step")
    actions = step.get("actions")
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise ValueError("actions: not a list of actions")
    answers = [action for action in actions if action.get("action_type") == "EvaluateSubTaskAction"]
    if not answers:
        return None
    situation = answers[0].get("situation")
    if len(answers) > 1 or situation not in ANSWERS:
        raise ValueError(f"actions: {str(answers)[:120]} is not one answer with a situation of {', '.join(ANSWERS)}")
    asked = QUESTION.search(_text(step, "send_prompt_en"))
    if asked is None:
        raise ValueError("send_prompt_en: no overall goal with a current subtask after it")
    return ScreenJudgment(
        file=file,
        context=asked[0],
        sub_task=asked["sub_task"],
        situation=situation,
        constructed=file.stem.endswith("_neg_eval"),
        screenshot=_screenshot(file.parent, _text(step, "saved_image_name")),
    )


def _screenshot(recording: Path, name: str) -> Path:
    screenshot = recording / "images" / name
    if not IMAGE_NAME.fullmatch(name) or not screenshot.resolve().is_relative_to(recording.resolve()):
        raise ValueError(f"saved_image_name: {name[:120]!r} is no image of the recording")
    if not screenshot.is_file():
        raise ValueError(f"saved_image_name: {screenshot} is missing")
    return screenshot


def _text(step: dict[str, Any], name: str) -> str:
    if not isinstance(step.get(name), str):
        raise ValueError(f"{name}: {'not a text' if name in step else 'missing'}")
    return step[name]

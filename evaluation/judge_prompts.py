"""What a judge is asked: which of two answers is better, or how good one is, and how it writes its verdict.

The wording is ours. What is judged is data: each of its lines starts with `> `, its indentation stays, and special
tokens are broken up by a space (`agents.makar.quoting`), of which the judge is told. That a judge does not follow what
it reads can be asked for, not promised.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from setaria.agents.makar.quoting import MARK, QUOTED, SPECIAL, cut


MOST_CHARACTERS = 30_000
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
VERDICT = re.compile(r"\[\[\s*([^\[\]]*?)\s*\]\]")
DATA = f"{QUOTED} A space after an opening bracket may be ours; it is no fault of an answer."

BETTER = f"""\
Two assistants answered the same instruction. Decide which answer its author would rather have got: the one that does \
what was asked, says nothing wrong and is of more use. Being longer, or coming first, is no merit. {DATA}

Instruction:
{{instruction}}

Answer A:
{{first}}

Answer B:
{{second}}

Compare them in a few sentences. Then end with a line that holds nothing but [[A]] if A is better, [[B]] if B is \
better, or [[tie]] if neither is."""

GRADE = f"""\
A user talks to an assistant. Grade the assistant's {{place}} answer from 1, of no use, to 10, nothing to improve: is \
it right, does it do all that was asked, is it clear, is it no longer than it has to be?{{rules}} {DATA}

{{talk}}

Name in a few sentences what is good and what is wrong. Then end with a line that holds nothing but the grade in \
double brackets, as in [[4]]."""
EARLIER = " The answer before it is there to understand it, and is not graded."
BY_REFERENCE = " A correct answer is there to check it against."


@dataclass(frozen=True)
class Form:
    """How a verdict is written, and the number it stands for: `None` where a reply holds none."""

    written: str
    read: Callable[[str], float | None]


def preference_prompt(instruction: str, first: str, second: str) -> str:
    """Which of two answers is better; read by `PREFERENCE`."""
    return BETTER.format(instruction=fenced(instruction), first=fenced(first), second=fenced(second))


def grading_prompt(questions: Sequence[str], answers: Sequence[str], reference: str = "") -> str:
    """How good the last of `answers` is, those before it being context; read by `GRADING`.

    Args:
        questions: as many as answers.
        reference: a correct answer to the last question; empty if there is none.
    """
    talk = [
        part
        for question, answer in zip(questions, answers, strict=True)
        for part in (f"User:\n{fenced(question)}", f"Assistant:\n{fenced(answer)}")
    ]
    if reference:
        talk.append(f"A correct answer to the last question:\n{fenced(reference)}")
    rules = (EARLIER if len(answers) > 1 else "") + (BY_REFERENCE if reference else "")
    return GRADE.format(place="last" if len(answers) > 1 else "only", rules=rules, talk="\n\n".join(talk))


def fenced(text: str) -> str:
    """`text` as a quotation that it cannot end; at most 30,000 characters of it."""
    lines = cut(SPECIAL.sub(r"\g<0> ", text.encode(errors="replace").decode()), MOST_CHARACTERS).splitlines()
    return "\n".join(MARK + CONTROL.sub(" ", line) for line in lines) or "(no text)"


def _preference(reply: str) -> float | None:
    return {"a": 1.0, "tie": 0.5, "b": 0.0}.get(_last_verdict(reply).lower())


def _grade(reply: str) -> float | None:
    verdict = _last_verdict(reply)
    grade = float(verdict) if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", verdict) else 0.0
    return grade if 1 <= grade <= 10 else None


def _last_verdict(reply: str) -> str:
    return ["", *VERDICT.findall(reply)][-1]


PREFERENCE = Form("[[A]], [[B]] or [[tie]]", _preference)
GRADING = Form("[[1]] to [[10]]", _grade)

"""What a large model knows from pretraining and one from scratch does not: to find a name in a list, and to read.

    locating     a list of clicks and a name -> the click with this name
    comparing    the numbered names on a screen, in words, and a task -> the task with their numbers, Yes or No
    reading      a screen and a task -> the names on it, the task with their numbers, Yes or No

The last two are answered as a Judger does that describes what it sees (`Prompts.described`); Yes if what the task is
about is there. In this order, and slowly, or the induction circuit that all of it rests on is lost. A yes or no alone
is too little to learn to read from. Screens are those of apps drawn for this, thousands of them, since a few apps have
too few different lists.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import GENERATE, NAME, Prompts, numbered, with_numbers
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.datasets_builders.worlds.app_tasks import OPEN, SEARCH, TURN_ON
from setaria.datasets_builders.worlds.apps import TOPICS, App
from setaria.rewards.gui.actions import Click


FEWEST, MOST = 3, 10  # lines of a list
FEWEST_NAMES, MOST_NAMES = 2, 6  # in words
INSTRUCTIONS = OPEN + TURN_ON + SEARCH


def locating_rows(pages: Sequence[Page], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows of text only: a list of clicks, a name, and the click with this name.

    Names and boxes are those of `pages`, put together at random, so that nothing can be learned by heart.
    """
    rng = random.Random(seed)
    clicks = [(page, action) for page in pages for action in page.actions if isinstance(action, Click)]
    names = sorted({action.text for _, action in clicks})
    lines = sorted({prompts.write(Click(action.box), page) for page, action in clicks})
    for _ in range(count):
        chosen = rng.sample(names, rng.randint(FEWEST, min(MOST, len(names))))
        offered = [rng.choice(lines).replace("<ref></ref>", f"<ref>{name}</ref>") for name in chosen]
        wanted = rng.randrange(len(chosen))
        text = "\n".join([f"Task: Find {chosen[wanted]}.", "Done:", "nothing", "Actions:", *offered, GENERATE])
        yield _row(text, offered[wanted])


def comparing_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows of text only, half of them about a topic that is among the names."""
    rng = random.Random(seed)
    for number in range(count):
        names = rng.sample(sorted(TOPICS), rng.randint(FEWEST_NAMES, MOST_NAMES))
        instruction, verdict = _asked(names, number % 2 == 0, rng)
        answer = f"{with_numbers(instruction, names)}\n{verdict}"
        yield _row(f"{numbered(names)}\n{NAME}\nTask: {instruction}", answer)


def reading_rows(apps: Sequence[App], prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """Three screens of each app: two sections, and what tells about a topic; half of the topics are there."""
    rng = random.Random(seed)
    for app in apps:
        topic = rng.choice([topic for topics in app.layout.values() for topic in topics])
        sections = [("section", section, False) for section in rng.sample(sorted(app.layout), 2)]
        for state in (*sections, rng.choice([("topic", topic, ""), ("dialog", topic), ("results", topic)])):
            screen = app.screen(state)
            page = Page(f"{app.name} {state}", screen.image, screen.xml)
            there = sorted(set(TOPICS) & {element.name for element in page.elements})
            instruction, verdict = _asked(there, rng.random() < 0.5, rng)
            question = prompts.naming([page])
            question[0]["content"][-1]["text"] += f"\nTask: {instruction}"
            yield training_row("naming", question, prompts.judged(instruction, page, verdict), page=page.id)


def _asked(there: Sequence[str], yes: bool, rng: random.Random) -> tuple[str, str]:
    """A task about a topic that is there, or is not, and the verdict."""
    topic = rng.choice(list(there) if yes else sorted(set(TOPICS) - set(there)))
    return rng.choice(INSTRUCTIONS).format(topic=topic), YES if yes else NO


def _row(text: str, answer: str) -> dict[str, Any]:
    return training_row("naming", [{"role": "user", "content": [{"type": "text", "text": text}]}], answer)

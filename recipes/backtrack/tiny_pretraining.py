"""What a large model knows from pretraining and one from scratch does not: to find a name in a list and copy its line,
and to read a screen.

    locating    a list of clicks, a name, and the click with this name
    reading     the names on a screen
    judging     the Judger's question about two screens of an app that have nothing to do with each other; it helps if
                the second one shows what is asked for

The answer of the last kind describes the screen (`Prompts.described`). Without that the tiny model learned neither
to see nor to compare: a yes or no is too little to learn from. Screens are those of apps drawn for this, thousands of
them, since a few apps have too few different lists.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import GENERATE, Prompts, name_of_page
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.datasets_builders.worlds.app_tasks import OPEN, SEARCH, TURN_ON
from setaria.datasets_builders.worlds.apps import TOPICS, App
from setaria.rewards.gui.actions import Click


FEWEST, MOST = 3, 10  # lines of a list
ROWS_PER_APP = 4


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
        question = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        yield training_row("naming", question, offered[wanted], app="", task="", page="")


def reading_rows(apps: Sequence[App], prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each screen of the apps that `judging_rows` shows."""
    rng = random.Random(seed)
    for app in apps:
        for state in _states(app, rng):
            page = _page(app, state)
            yield training_row(
                "naming", prompts.naming([page]), name_of_page(page), app=app.name, task="", page=page.id
            )


def judging_rows(apps: Sequence[App], prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`ROWS_PER_APP` rows per app, half of them with a topic that is on the second screen, where it has one."""
    rng = random.Random(seed)
    for app in apps:
        pages = [_page(app, state) for state in _states(app, rng)]
        starts = [page for page in pages if page.actions]
        for number in range(ROWS_PER_APP):
            page, after = rng.choice(starts), rng.choice(pages)
            there = sorted(set(TOPICS) & {element.name for element in after.elements})
            yes = bool(there) and number % 2 == 0
            topic = rng.choice(there if yes else sorted(set(TOPICS) - set(there)))
            instruction = rng.choice(OPEN + TURN_ON + SEARCH).format(topic=topic)
            question = prompts.judger(instruction, page, [], rng.choice(page.actions), after)
            answer = prompts.judged(instruction, after, YES if yes else NO)
            yield training_row("naming", question, answer, app=app.name, task="", page=after.id)


def _states(app: App, rng: random.Random) -> list[tuple]:
    """The home screen, two sections, and what tells about a topic."""
    topic = rng.choice([topic for topics in app.layout.values() for topic in topics])
    sections = [("section", section, False) for section in rng.sample(sorted(app.layout), 2)]
    return [app.start, *sections, rng.choice([("topic", topic, ""), ("dialog", topic), ("results", topic)])]


def _page(app: App, state: tuple) -> Page:
    screen = app.screen(state)
    return Page(f"{app.name} {state}", screen.image, screen.xml)

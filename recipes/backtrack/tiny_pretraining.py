"""What a large model knows from pretraining and one from scratch does not: to find a name in a list and copy its line,
and to see what is on a screen.

    locating    a list of clicks, a name, and the click with this name
    ticking     nine names, and for each whether it is on the last of one or two screens: nine bits for two images
    presence    the same for one name, in the place where the Judger's question has its task
    judging     the same in the Judger's whole question, about two pages that have nothing to do with each other

Without the ticks a yes or no about a screen is hardly learned: one bit in a row is too little to learn to see from.
Without the last kind a Judger forgets what it learned here within 50 steps, since its question looks so different.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import GENERATE, Prompts
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.rewards.gui.actions import Click


FEWEST, MOST = 3, 10  # lines of a list
THERE, NOT_THERE = 4, 5  # names to be ticked
FAMILIAR = 5  # pages on which a name has to occur to be asked for
TICK = "Tick what is on the last screen."
IS_THERE = "Is it on the last screen?"


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


def ticking_rows(pages: Sequence[Page], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows: one or two pages, and names in order, each with Yes or No."""
    rng = random.Random(seed)
    shown = _names(pages)
    met = Counter(name for names in shown.values() for name in names)
    familiar = {name for name, times in met.items() if times >= FAMILIAR}
    for number in range(count):
        screens = [rng.choice(pages) for _ in range(1 + number % 2)]
        there = sorted(familiar & shown[screens[-1].id])
        absent = sorted(familiar - shown[screens[-1].id])
        asked = rng.sample(there, min(THERE, len(there))) + rng.sample(absent, min(NOT_THERE, len(absent)))
        ticks = "\n".join(f"{name} {YES if name in there else NO}" for name in sorted(asked))
        yield _row(prompts, screens, TICK, ticks)


def presence_rows(pages: Sequence[Page], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows: one or two pages, a name, and whether it is on the last page; what is not there is elsewhere."""
    rng = random.Random(seed)
    shown = _names(pages)
    for number in range(count):
        screens = [rng.choice(pages) for _ in range(1 + number // 2 % 2)]
        name, answer = _asked(shown, screens[-1], number % 2 == 0, pages, rng)
        yield _row(prompts, screens, f"{IS_THERE}\nTask: Find {name}.", answer)


def judging_rows(pages: Sequence[Page], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows: the Judger is asked if an action helps to find a name; it does if the page after it shows that."""
    rng = random.Random(seed)
    shown = _names(pages)
    for number in range(count):
        page, after = rng.choice(pages), rng.choice(pages)
        name, answer = _asked(shown, after, number % 2 == 0, pages, rng)
        question = prompts.judger(f"Find {name}.", page, [], rng.choice(page.actions), after)
        yield training_row("naming", question, answer, app="", task="", page=after.id)


def _asked(
    shown: dict[str, set[str]], page: Page, yes: bool, pages: Sequence[Page], rng: random.Random
) -> tuple[str, str]:
    """A name that is on the page, or one that is elsewhere only, and the answer."""
    there = shown[page.id]
    names = there
    while not yes and not names - there:
        names = shown[rng.choice(pages).id]
    return rng.choice(sorted(names if yes else names - there)), YES if yes else NO


def _names(pages: Sequence[Page]) -> dict[str, set[str]]:
    return {page.id: {element.name for element in page.elements if element.name} for page in pages}


def _row(prompts: Prompts, screens: Sequence[Page], text: str, answer: str) -> dict[str, Any]:
    question = prompts.naming(screens)
    question[0]["content"][-1]["text"] = text
    return training_row("naming", question, answer, app="", task="", page=screens[-1].id)

"""What a large model knows from pretraining and one from scratch does not: to find a name in a list and copy its line,
and to say whether something is to be seen.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import GENERATE, Prompts
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.rewards.gui.actions import Click


FEWEST, MOST = 3, 10


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


def presence_rows(pages: Sequence[Page], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows: one or two pages, a name, and whether it is on the last page; what is not there is elsewhere."""
    rng = random.Random(seed)
    shown = {page.id: {element.name for element in page.elements if element.name} for page in pages}
    for number in range(count):
        yes = number % 2 == 0
        chosen = [rng.choice(pages) for _ in range(1 + number // 2 % 2)]
        there = shown[chosen[-1].id]
        names = there
        while not yes and not names - there:
            names = shown[rng.choice(pages).id]
        name = rng.choice(sorted(names if yes else names - there))
        question = prompts.naming(chosen)
        question[0]["content"][-1]["text"] = f"Is {name} on the last screen?"
        yield training_row("naming", question, YES if yes else NO, app="", task="", page=chosen[-1].id)

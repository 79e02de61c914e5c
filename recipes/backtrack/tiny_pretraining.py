"""What a large model knows from pretraining and one from scratch does not: to find a name in a list, copy its line.

Rows of text only, without end: candidate actions with names and boxes drawn from pages but put together at random, so
that nothing can be learned by heart.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import GENERATE, Prompts
from setaria.datasets_builders.gui.rows import training_row
from setaria.rewards.gui.actions import Click


FEWEST, MOST = 3, 10


def locating_rows(pages: Sequence[Page], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows: a list of clicks, a name, and the click with this name."""
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

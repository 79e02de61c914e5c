"""Stage 0 of training: a generator predicts the steps of training tasks, and its actions become judgment and
reflection rows (paper, section 4.1).

    judgment     (X, P, a, P') -> Yes if the action is right, else No
    reflection   (X, P, tried, P') -> the gold action; all of the wrong actions and a fifth of the right ones

Every action is executed. It is right if it comes closer to the goal by any way, so equivalent pages count. With
several samples per step the Reflector also sees longer lists of attempts. Ours: candidates drawn at random can be
tried too, so that the roles also learn from mistakes that this Generator does not make.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from setaria.agents.backtrack.moments import Moment
from setaria.datasets_builders.gui.drawing import draw_action
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.prompts import Conversation, Prompts, name_of_page
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.rewards.gui.actions import Action, ActionError, Complete, Input


@dataclass(frozen=True)
class CollectConfig:
    """What is made of the generator's actions.

    Attributes:
        samples: replies per step.
        explored: actions per step, `complete` and the candidates other than inputs, that are drawn at random and
            tried after the replies.
        reflect_wrong, reflect_right: share of wrong and of right actions that become reflection rows (paper: 1, .2).
        tried: most attempts shown to the Reflector.
        gold_judgments: share of steps whose gold action, executed, becomes a judgment row too (ours).
        simulated: draw the action on the page in place of the outcome.
        naming_share: share of grounding rows among all rows (ours; without them a small judger stays at chance).
        seed: of the shares.
    """

    samples: int = 1
    explored: int = 0
    reflect_wrong: float = 1.0
    reflect_right: float = 0.2
    tried: int = 3
    gold_judgments: float = 0.0
    simulated: bool = False
    naming_share: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("reflect_wrong", "reflect_right", "gold_judgments"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is no share between 0 and 1")
        if not 0 <= self.naming_share < 1:
            raise ValueError(f"naming_share={self.naming_share} is no share below 1")
        for name, least in (("samples", 1), ("tried", 1), ("explored", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: at least {least}")


def generator_rows(found: Iterable[Moment], prompts: Prompts) -> Iterator[dict[str, Any]]:
    """SFT rows of the Generator: the gold action at every step."""
    for moment in found:
        conversation = prompts.generator(moment.task.instruction, moment.page, moment.done)
        yield training_row("generator", conversation, prompts.write(moment.action, moment.page), **_place(moment))


def naming_rows(graphs: Sequence[AppGraph], count: int, prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the grounding task: one page, or the second of two, of random apps."""
    rng = random.Random(seed)
    pages = [list(graph.unique_pages) for graph in graphs]
    for number in range(count):
        chosen = rng.randrange(len(graphs))
        shown = [graphs[chosen].page(rng.choice(pages[chosen])) for _ in range(1 + number % 2)]
        place = {"app": graphs[chosen].app, "task": "", "page": shown[-1].id}
        yield training_row("naming", prompts.naming(shown), name_of_page(shown[-1]), **place)


def collected_rows(
    found: Sequence[Moment],
    predict: Callable[[Sequence[Conversation]], list[str]],
    prompts: Prompts,
    config: CollectConfig,
) -> Iterator[dict[str, Any]]:
    """Judgment, reflection and grounding rows from a generator's replies; what is no action makes no row.

    Args:
        predict: the generator; called once per sample with the conversations of all steps.
    """
    rng = random.Random(config.seed)
    asked = [prompts.generator(moment.task.instruction, moment.page, moment.done) for moment in found]
    replies = [predict(asked) for _ in range(config.samples)]
    count = 0
    for moment, *said in zip(found, *replies, strict=True):
        actions = _distinct(moment, [*said, *_explored(moment, prompts, config.explored, rng)], prompts)
        for row in _rows_of(moment, actions, prompts, config, rng):
            count += 1
            yield row
    graphs = list({moment.graph.app: moment.graph for moment in found}.values())
    names = round(count * config.naming_share / (1 - config.naming_share))
    yield from naming_rows(graphs, names, prompts, config.seed)


def _rows_of(
    moment: Moment, actions: list[Action], prompts: Prompts, config: CollectConfig, rng: random.Random
) -> Iterator[dict[str, Any]]:
    instruction, page, done = moment.task.instruction, moment.page, moment.done
    gold = moment.gold
    outcomes = {action: moment.execute(action) for action in actions}
    judged = dict(outcomes)
    if rng.random() < config.gold_judgments:
        written = prompts.read(prompts.write(moment.action, page), page)  # boxes rounded as in replies
        judged[written] = moment.execute(written)
    for action, outcome in judged.items():
        verdict = YES if gold.matches(page, action, outcome) else NO
        after = draw_action(page, action) if config.simulated else outcome.page
        conversation = prompts.judger(instruction, page, done, action, after)
        yield training_row("judger", conversation, prompts.judged(instruction, after, verdict), **_place(moment))
    wrong: list[Action] = []
    for action, outcome in outcomes.items():
        right = gold.matches(page, action, outcome)
        if rng.random() < (config.reflect_right if right else config.reflect_wrong):
            tried = [action] if right else [*wrong, action][-config.tried :]
            after = draw_action(page, action) if config.simulated else outcome.page
            conversation = prompts.reflector(instruction, page, done, tried, after)
            yield training_row("reflector", conversation, prompts.write(moment.action, page), **_place(moment))
        if not right:
            wrong.append(action)


def _explored(moment: Moment, prompts: Prompts, count: int, rng: random.Random) -> list[str]:
    """Actions as a Generator would write them."""
    candidates = [Complete(), *(action for action in moment.page.actions if not isinstance(action, Input))]
    return [prompts.write(action, moment.page) for action in rng.sample(candidates, min(count, len(candidates)))]


def _distinct(moment: Moment, replies: Iterable[str], prompts: Prompts) -> list[Action]:
    actions: list[Action] = []
    for reply in replies:
        try:
            action = prompts.read(reply, moment.page)
        except ActionError:
            continue
        if action not in actions:
            actions.append(action)
    return actions


def _place(moment: Moment) -> dict[str, str]:
    """Where a row comes from; rewards look outcome pages up by it."""
    return {"app": moment.task.app, "task": moment.task.id, "page": moment.page.id}

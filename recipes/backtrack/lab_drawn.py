"""Rows for Judger and Reflector in apps that are drawn for it: what happens in a state, whether it helps, what would.

The apps of a world are too few to learn from what a screen tells about a task: a small model remembers them. Drawn
apps are not walked and not written; where their states lead is asked of the app itself.
"""

import random
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import Any, TypeAlias

from setaria.datasets_builders.gui.drawing import draw_action
from setaria.datasets_builders.gui.elements import candidate_actions, read_elements
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.datasets_builders.worlds.app_tasks import OPEN, OPEN_IN, SEARCH, TURN_ON, TURN_ON_IN
from setaria.datasets_builders.worlds.apps import App
from setaria.rewards.gui.actions import Action, Complete, Input


State: TypeAlias = tuple
ROWS_PER_APP = 3
ON_THE_WAY = 0.7  # of the states; the others are any
HELPFUL = 0.35  # of the actions, besides those that are drawn at random and help
WANDERED = ("home", "section", "topic", "results")  # kinds of states off the way
MOST_TRIED = 3


class DrawnApp:
    """An app and where its states lead.

    Attributes:
        actions: of a state, what can be done; an input, once for each text that is searched for.
    """

    def __init__(self, app: App):
        self.app = app
        self.actions = cache(self._actions)

    def page(self, state: State) -> Page:
        """What a state looks like."""
        screen = self.app.screen(state)
        return Page(f"{self.app.name} {state}", screen.image, screen.xml)

    def _actions(self, state: State) -> list[Action]:
        texts = self.app.texts if state == self.app.start else ()
        actions: list[Action] = []
        for action in candidate_actions(read_elements(self.app.screen(state).xml)):
            if isinstance(action, Input):
                actions += [Input(action.box, action.text, text) for text in texts]
            else:
                actions.append(action)
        return actions

    def after(self, state: State, action: Action) -> State:
        """The state after an action, the same one if nothing happens."""
        return state if isinstance(action, Complete) else self.app.act(state, action) or state

    @cached_property
    def ways(self) -> dict[State, list[Action]]:
        """A shortest way from the start to each state."""
        ways: dict[State, list[Action]] = {self.app.start: []}
        for state in (waiting := [self.app.start]):
            for action in self.actions(state):
                if (after := self.after(state, action)) not in ways:
                    ways[after] = [*ways[state], action]
                    waiting.append(after)
        return ways

    def distances(self, goal: State) -> dict[State, int]:
        """How many actions each state is from the goal; those that do not lead there are left out."""
        before: dict[State, set[State]] = {}
        for state in self.ways:
            for action in self.actions(state):
                before.setdefault(self.after(state, action), set()).add(state)
        distances = {goal: 0}
        for state in (waiting := [goal]):
            for earlier in before.get(state, set()) - set(distances):
                distances[earlier] = distances[state] + 1
                waiting.append(earlier)
        return distances


def judging_rows(apps: Sequence[App], prompts: Prompts, simulated: bool, seed: int) -> Iterator[dict[str, Any]]:
    """Judgment rows of each app; `simulated`: with the action drawn on the page in place of the outcome."""
    rng = random.Random(seed)
    for app in apps:
        drawn = DrawnApp(app)
        for _ in range(ROWS_PER_APP):
            instruction, goal = _task(app, rng)
            distances = drawn.distances(goal)
            state = _state(drawn, goal, distances, rng)
            page, action = drawn.page(state), _action(drawn, state, distances, rng)
            action = prompts.read(prompts.write(action, page), page)  # boxes rounded as in replies
            shown = draw_action(page, action) if simulated else drawn.page(drawn.after(state, action))
            question = prompts.judger(instruction, page, drawn.ways[state], action, shown)
            verdict = YES if _helps(drawn, state, action, distances) else NO
            yield training_row("judger", question, prompts.judged(instruction, shown, verdict), page=page.id)


def reflecting_rows(apps: Sequence[App], prompts: Prompts, seed: int) -> Iterator[dict[str, Any]]:
    """Two reflection rows of each app, about the same attempts, none of which helps: with the outcome of the last, and
    with the action drawn on the page.
    """
    rng = random.Random(seed)
    for app in apps:
        drawn = DrawnApp(app)
        instruction, goal = _task(app, rng)
        distances = drawn.distances(goal)
        state = _state(drawn, goal, distances, rng)
        page, actions = drawn.page(state), [*drawn.actions(state), Complete()]
        useless = [action for action in actions if not _helps(drawn, state, action, distances)]
        tried = rng.sample(useless, min(rng.randint(1, MOST_TRIED), len(useless)))
        reply = prompts.write(next(one for one in actions if _helps(drawn, state, one, distances)), page)
        for shown in (drawn.page(drawn.after(state, tried[-1])), draw_action(page, tried[-1])):
            question = prompts.reflector(instruction, page, drawn.ways[state], tried, shown)
            yield training_row("reflector", question, reply, page=page.id)


def _task(app: App, rng: random.Random) -> tuple[str, State]:
    """An instruction and the state in which it is done, as in `app_tasks`."""
    topic = rng.choice([topic for topics in app.layout.values() for topic in topics])
    forms: tuple[str, ...]
    goal: State
    if topic in app.searchable:
        forms, goal = SEARCH, ("results", topic)
    elif rng.random() < 0.5:
        forms, goal = rng.choice((OPEN, OPEN_IN)), ("topic", topic, "")
    else:
        forms, goal = rng.choice((TURN_ON, TURN_ON_IN)), ("done", topic)
    return rng.choice(forms).format(topic=topic, section=app.section_of(topic)), goal


def _state(drawn: DrawnApp, goal: State, distances: dict[State, int], rng: random.Random) -> State:
    if rng.random() >= ON_THE_WAY:
        return rng.choice([state for state in drawn.ways if state in distances and state[0] in WANDERED])
    states = [drawn.app.start]
    for action in drawn.ways[goal]:
        states.append(drawn.after(states[-1], action))
    return rng.choice(states)


def _helps(drawn: DrawnApp, state: State, action: Action, distances: dict[State, int]) -> bool:
    """Whether an action comes closer to the goal, or says at the goal that it is reached."""
    if isinstance(action, Complete):
        return distances[state] == 0
    return distances.get(drawn.after(state, action), distances[state]) < distances[state]


def _action(drawn: DrawnApp, state: State, distances: dict[State, int], rng: random.Random) -> Action:
    actions = [*drawn.actions(state), Complete()]
    if rng.random() >= HELPFUL:
        return rng.choice(actions)
    return next(one for one in actions if _helps(drawn, state, one, distances))

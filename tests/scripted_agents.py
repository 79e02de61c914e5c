"""A world of rooms, and agents that follow a script or throw dice in it, for tests of the loop."""

import json
import random
from itertools import chain, repeat

from PIL import Image

from setaria.agents.backtrack.environment import EnvironmentLost, Outcome
from setaria.agents.backtrack.loop import LoopConfig, Play
from setaria.agents.backtrack.roles import Agent
from setaria.agents.backtrack.run import run_episodes
from setaria.agents.backtrack.traces import TraceFolder, read_traces
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.tasks import Task
from setaria.rewards.gui.actions import Click, Complete, Press, Wait


WAYS = {"hall": ("kitchen", "garden", "cellar"), "kitchen": ("hall", "cellar"), "garden": ("hall",), "cellar": ()}
SIZE = (40, 60)
PAGES = {room: Page(room, Image.new("RGB", SIZE, (40 * n, 0, 99))) for n, room in enumerate(WAYS)}
PROMPTS = Prompts()
RUBBISH = "Let me think about it."
OUTSIDE = "click(<box>[1000,1000][1000,1000]</box>)"


def go(place):
    """A click that leads to another room; at `wall` nothing happens, and a place that is not there fails."""
    return Click((4.0, 6.0, 20.0, 12.0), place)


def said(action):
    """The reply that means an action."""
    return PROMPTS.write(action, PAGES["hall"])


def click_fields(place):
    """The same click as a trace holds it."""
    return {"type": "click", "box": [4.0, 6.0, 20.0, 12.0], "text": place}


def task(name="t"):
    return Task(name, "house", f"Find the cellar ({name}).", "hall", "cellar", ())


class Rooms:
    """An `Environment` that keeps its calls; without `undo` it cannot go back and ends up in the hall.

    Args:
        lost_at: number of the call, from 0, at which it is gone.
    """

    def __init__(self, lost_at=None, undo=True):
        self.room, self.lost_at, self.undo = "hall", lost_at, undo
        self.calls = []

    def observe(self):
        self._call("observe")
        return PAGES[self.room]

    def execute(self, action):
        self._call("execute")
        if not isinstance(action, Click):
            return Outcome(PAGES[self.room], None, False, "nobody tried")
        if action.text not in (*WAYS[self.room], "wall"):
            return Outcome(PAGES[self.room], False, False, "no such door")
        before = self.room
        self.room = self.room if action.text == "wall" else action.text
        return Outcome(PAGES[self.room], True, self.room != before)

    def snapshot(self):
        self._call("snapshot")
        return self.room

    def restore(self, token):
        self._call("restore")
        self.room = token if self.undo else "hall"
        return self.undo

    def _call(self, name):
        if len(self.calls) == self.lost_at:
            raise EnvironmentLost("unplugged")
        self.calls.append(name)


class WayGold:
    """What is right on the way hall, kitchen, cellar."""

    following = {"hall": "kitchen", "kitchen": "cellar"}

    def action(self, page):
        if page.id == "cellar":
            return Complete()
        return go(self.following[page.id]) if page.id in self.following else None

    def matches(self, page, action, outcome):
        if isinstance(action, Complete):
            return page.id == "cellar"
        return outcome.page.id == self.following.get(page.id)

    def reached(self, page):
        return page.id == "cellar"


class Script:
    """Answers of each role in order, the last one again and again; `asks` keeps the questions."""

    def __init__(self, generator, judger=(1.0,), reflector=(RUBBISH,)):
        self.asks = []
        self.agent = Agent(*(self._role(answers) for answers in (generator, judger, reflector)))

    def _role(self, answers):
        left = chain(answers, repeat(answers[-1]))

        def answer(asks):
            self.asks += asks
            return [next(left) for _ in asks]

        return answer

    def asked(self, role):
        return [ask for ask in self.asks if ask.role == role]


def dice_agent(seed):
    """Roles whose answers are random, but the same to the same question."""
    places = [go(place) for place in (*WAYS, "wall", "moon")]
    replies = [said(action) for action in (*places, *places, Complete(), Wait(), Press("back"))]
    replies += [RUBBISH, OUTSIDE, said(Complete(success=False))]

    def draw(ask):
        colours = [image.getpixel((0, 0)) for image in shown(ask)]
        return random.Random(f"{seed} {ask.role} {ask.task.id} {text(ask)} {colours}")

    def reply(asks):
        return [draw(ask).choice(replies) for ask in asks]

    return Agent(reply, lambda asks: [draw(ask).random() for ask in asks], reply)


def play_one(folder, script, environment, gold=None, **config):
    """The episode of one play as its trace holds it; `run-0`, `run-1`, ... are made in `folder`."""
    trace = TraceFolder(folder / f"run-{len(list(folder.glob('run-*')))}")
    play = Play(task(), environment, PROMPTS, LoopConfig(**config), trace, gold)
    (episode,) = run_episodes([play], script.agent, trace)
    (written,) = read_traces(trace.folder)
    assert written == json.loads(json.dumps(episode))
    return written


def text(ask):
    """What a question says."""
    return "".join(part["text"] for part in ask.conversation[0]["content"] if part["type"] == "text")


def shown(ask):
    """The images of a question."""
    return [part["image"] for part in ask.conversation[0]["content"] if part["type"] == "image"]


def rooms_shown(ask):
    """The rooms on the images of a question; a drawn action is none."""
    names = {page.image.tobytes(): room for room, page in PAGES.items()}
    return [names.get(image.tobytes()) for image in shown(ask)]


def without_seconds(value):
    """A trace without its times, which differ from run to run."""
    if isinstance(value, dict):
        return {key: without_seconds(held) for key, held in value.items() if key != "seconds"}
    return [without_seconds(held) for held in value] if isinstance(value, list) else value

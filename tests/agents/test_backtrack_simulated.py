import operator
from dataclasses import replace
from functools import partial

import pytest
from PIL import Image

from setaria.agents.backtrack.loop import LoopConfig, Play
from setaria.agents.backtrack.roles import Agent
from setaria.agents.backtrack.run import run_episodes
from setaria.agents.backtrack.simulated import RecordedGold, Simulated
from setaria.agents.backtrack.traces import TraceFolder
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.step_rows import RecordedStep
from setaria.datasets_builders.gui.tasks import Task
from setaria.rewards.gui.actions import Click, Press, Wait


def recorded():
    gold = [Click((10.0, 10.0, 50.0, 50.0), "a"), Press("back")]
    pages = [Page(f"p{number}", Image.new("RGB", (100, 200), colour)) for number, colour in enumerate(("red", "blue"))]
    steps = []
    for number, (page, action) in enumerate(zip(pages, gold, strict=True)):
        right = partial(operator.eq, action)
        steps.append(RecordedStep("aitw", "e", "Do it.", page, tuple(gold[:number]), action, right))
    return steps


def test_pages_follow_one_another_and_the_action_is_drawn():
    environment = Simulated(recorded())
    before = environment.observe()
    outcome = environment.execute(Click((10.0, 10.0, 50.0, 50.0)))
    assert outcome.valid and outcome.changed
    assert outcome.page.image.getpixel((30, 30)) == (255, 0, 255)  # the dot in the middle
    assert before.image.getpixel((30, 30)) == (255, 0, 0)
    assert environment.observe().id == "p1"


def test_going_back_and_staying_at_the_end():
    environment = Simulated(recorded())
    token = environment.snapshot()
    for _ in range(5):
        environment.execute(Press("back"))
    assert environment.observe().id == "p1"
    assert environment.restore(token) and environment.observe().id == "p0"


def test_an_action_off_the_screen_does_nothing():
    environment = Simulated(recorded())
    outcome = environment.execute(Click((500.0, 10.0, 600.0, 50.0)))
    assert outcome.valid is False and "outside" in outcome.reason and environment.observe().id == "p0"


def test_an_episode_over_recorded_steps(tmp_path):
    """The wrong first action is turned down and repaired; success stays unknown."""
    steps = recorded()
    task = Task("e", "aitw", "Do it.", "p0", "p1", ())
    replies = iter(["press(home)", "press(back)"])
    agent = Agent(
        generator=lambda asks: [next(replies) for _ in asks],
        judger=lambda asks: [float(RecordedGold(steps).matches(*ask.attempt)) for ask in asks],
        reflector=lambda asks: ["click(<ref>a</ref><box>[100,50][500,250]</box>)"] * len(asks),
    )
    config = LoopConfig(simulated=True, steps=len(steps))
    play = Play(task, Simulated(steps), Prompts(), config, TraceFolder(tmp_path), RecordedGold(steps))
    (episode,) = run_episodes([play], agent, play.trace)
    first, second = episode["steps"]
    # 0..1000 of 100 x 200 pixels: [100,50][500,250] is (10, 10, 50, 50), the demonstrated click.
    assert [attempt["gold_match"] for attempt in first["attempts"]] == [False, True]
    assert [attempt["gold_match"] for attempt in second["attempts"]] == [True]
    assert episode["end"]["success"] is None


def test_pages_of_mere_waiting_are_left_out():
    first, second = recorded()
    environment = Simulated([first, replace(first, page=Page("w", first.page.screenshot), action=Wait()), second])
    environment.execute(Press("back"))
    assert environment.observe().id == "p1"
    with pytest.raises(ValueError, match="at least one step"):
        Simulated([])

"""The loop on drawn actions: real outcomes are not looked at."""

from scripted_agents import OUTSIDE, PAGES, Rooms, Script, go, play_one, said, shown, text

from setaria.agents.backtrack.environment import Outcome
from setaria.datasets_builders.gui.drawing import draw_action
from setaria.rewards.gui.actions import Wait


def column(step, name):
    return [attempt[name] for attempt in step["attempts"]]


class Silent(Rooms):
    """Rooms of whose outcomes nothing can be known: each is said to have failed, and its page is the hall."""

    def execute(self, action):
        super().execute(action)
        return Outcome(PAGES["hall"], False, False, "nobody looked")


def test_a_simulated_outcome_is_not_looked_at(tmp_path):
    """Whatever the outcomes, the same is asked and accepted; what the models see is the action on the page."""
    asked = []
    replies = [go("garden"), go("wall"), Wait(), go("moon")]
    for environment in (Rooms(), Silent()):
        script = Script([said(replies[0])], [0.0, 0.0, 0.0, 1.0], [said(action) for action in replies[1:]])
        (step,) = play_one(tmp_path, script, environment, simulated=True, steps=1)["steps"]
        assert column(step, "verifier") == [True] * 4
        assert column(step, "accepted") == [False, False, False, True]
        asked.append([(ask.role, text(ask), [image.tobytes() for image in shown(ask)]) for ask in script.asks])
    assert asked[0] == asked[1]
    assert [role for role, *_ in asked[0]] == ["generator", *["judger", "reflector"] * 3, "judger"]
    drawn = [draw_action(PAGES["hall"], action).image.tobytes() for action in replies]
    assert [images[-1] for role, _, images in asked[0] if role == "judger"] == drawn
    assert [images[-1] for role, _, images in asked[0] if role == "reflector"] == drawn[:3]
    assert {images[0] for *_, images in asked[0]} == {PAGES["hall"].image.tobytes()}


def test_outside_the_screen_fails_in_simulation_too(tmp_path):
    script = Script([OUTSIDE], reflector=[said(go("kitchen"))])
    (step,) = play_one(tmp_path, script, Rooms(), simulated=True, steps=1)["steps"]
    assert column(step, "verifier") == [False, True]

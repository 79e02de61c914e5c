"""How episodes end: with a reason, the page on which the environment is, and a trace of all that happened."""

import pytest
from scripted_agents import RUBBISH, Rooms, Script, WayGold, go, play_one, said

from setaria.agents.backtrack.environment import EnvironmentLost
from setaria.rewards.gui.actions import Complete, Wait


AGAIN = "the same action again and again on one page"


@pytest.fixture
def played(tmp_path):
    def play(script, environment, gold=None, **config):
        return play_one(tmp_path, script, environment, gold, **config)

    return play


def told(episode):
    """The pages of an episode, with how many attempts each, and the last one."""
    steps = [(step["page"]["id"], len(step["attempts"])) for step in episode["steps"]]
    return steps, episode["end"]["page"] and episode["end"]["page"]["id"]


@pytest.mark.parametrize(("success", "reply"), [(True, "complete()"), (False, "complete(impossible)")])
def test_complete(played, success, reply):
    environment = Rooms()
    episode = played(Script([said(Complete(success))]), environment, WayGold())
    assert episode["end"]["reason"] == "complete" and episode["end"]["success"] is False
    assert told(episode) == ([("hall", 1)], "hall")
    (attempt,) = episode["steps"][0]["attempts"]
    assert (attempt["reply"], attempt["accepted"], attempt["gold_match"]) == (reply, True, False)
    assert (attempt["outcome"]["valid"], attempt["outcome"]["changed"]) == (True, False)
    assert environment.calls == ["observe", "snapshot"]


def test_success_is_where_it_ends_and_unknown_without_gold(played):
    script = [said(go("cellar")), said(Complete())]
    assert played(Script(script), Rooms(), WayGold())["end"]["success"] is True
    assert played(Script(script), Rooms(), WayGold(), steps=1)["end"]["success"] is True
    episode = played(Script(script), Rooms())
    assert episode["end"]["success"] is None
    assert [step["gold"] for step in episode["steps"]] == [None, None]
    assert [step["attempts"][0]["gold_match"] for step in episode["steps"]] == [None, None]


def test_waiting(played):
    """It is not executed, but the page is observed anew, and the third time is the last."""
    environment = Rooms()
    episode = played(Script([said(Wait())]), environment)
    assert told(episode) == ([("hall", 1)] * 3, "hall")
    assert episode["end"]["reason"] == AGAIN
    assert environment.calls == [*["observe", "snapshot"] * 3, "observe"]


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_in_circles(played, repeats):
    """hall, kitchen, hall, kitchen: the click in the hall stands for the n-th time in step 2 n - 1."""
    environment = Rooms()
    episode = played(Script([said(go("kitchen")), said(go("hall"))] * 3), environment, repeats=repeats)
    assert episode["end"]["reason"] == AGAIN
    assert len(episode["steps"]) == 2 * repeats - 1
    assert environment.room == episode["end"]["page"]["id"] == "kitchen"


def test_a_repeated_action_that_reaches_the_goal_is_a_success(played):
    episode = played(Script([said(go("cellar"))]), Rooms(), WayGold(), repeats=1)
    assert (episode["end"]["reason"], episode["end"]["page"]["id"]) == (AGAIN, "cellar")
    assert episode["end"]["success"] is True


def test_equal_pages(played):
    """All four attempts at each step run into the wall, or repeat it; the last one stands."""
    environment = Rooms()
    episode = played(Script([said(go("wall"))], reflector=[said(go("wall"))]), environment)
    assert told(episode) == ([("hall", 4)] * 3, "hall")
    assert episode["end"]["reason"] == AGAIN


def test_too_many_steps(played):
    """A pendulum of which no action stands three times within four steps."""
    episode = played(Script([said(go("kitchen")), said(go("hall"))] * 2), Rooms(), steps=4)
    assert told(episode) == ([("hall", 1), ("kitchen", 1)] * 2, "hall")
    assert episode["end"]["reason"] == "too many steps"


@pytest.mark.parametrize("deciding", [{}, {"verifier": False, "judger": False}])
def test_rubbish(played, deciding):
    """Without anything that could turn it down there is one attempt."""
    environment = Rooms()
    episode = played(Script([RUBBISH]), environment, WayGold(), **deciding)
    assert told(episode) == ([("hall", 1 if deciding else 4)], "hall")
    assert episode["end"]["reason"].startswith("no action: no action in 'Let me think")
    assert environment.calls == ["observe", "snapshot"]


# Call of the environment that fails, and what is on record then: the attempts at each step, the pages of the outcomes
# (None for an action of which nothing came back), the last page observed. Without a loss the calls are observe,
# snapshot, execute, restore, execute, observe, snapshot, execute, observe.
LOSSES = [
    (0, [], None),
    (1, [[]], "hall"),
    (2, [[None]], "hall"),
    (3, [["garden"]], "hall"),
    (4, [["garden", None]], "hall"),
    (5, [["garden", "kitchen"]], "hall"),
    (6, [["garden", "kitchen"], []], "kitchen"),
    (7, [["garden", "kitchen"], [None]], "kitchen"),
    (8, [["garden", "kitchen"], ["cellar"]], "kitchen"),
]


@pytest.mark.parametrize(("call", "outcomes", "page"), LOSSES)
def test_a_lost_environment(played, call, outcomes, page):
    script = Script([said(go("garden")), said(go("cellar"))], [0.0, 1.0], [said(go("kitchen"))])
    episode = played(script, Rooms(lost_at=call), WayGold(), steps=2)
    assert episode["end"]["reason"] == "environment lost: unplugged"
    attempts = [step["attempts"] for step in episode["steps"]]
    assert [[one["outcome"] and one["outcome"]["page"]["id"] for one in step] for step in attempts] == outcomes
    assert all(one["action"] and one["reply"] for step in attempts for one in step)
    assert [step["accepted"] for step in episode["steps"]] == [len(step) - 1 for step in attempts]
    assert told(episode)[1] == page
    assert episode["end"]["success"] is (None if page is None else False)


def test_all_the_calls_at_which_it_can_be_lost(played):
    environment = Rooms()
    script = Script([said(go("garden")), said(go("cellar"))], [0.0, 1.0], [said(go("kitchen"))])
    played(script, environment, steps=2)
    first = ["observe", "snapshot", "execute", "restore", "execute"]
    assert environment.calls == [*first, "observe", "snapshot", "execute", "observe"]
    assert len(LOSSES) == len(environment.calls)


def test_what_cannot_be_undone_stands(played):
    """Going back leads to the hall, so that in the kitchen there is no second attempt after a wrong one."""
    environment = Rooms(undo=False)
    script = Script([said(go("garden")), said(Complete())], [0.0, 1.0])
    episode = played(script, environment)
    first, second = episode["steps"]
    (attempt,) = first["attempts"]
    assert (attempt["error"], attempt["accepted"]) == ("could not be undone", False)
    assert attempt["outcome"]["page"]["id"] == "garden"
    assert second["page"]["id"] == "hall"  # where the environment is now
    assert environment.calls == ["observe", "snapshot", "execute", "restore", "observe", "snapshot"]
    assert episode["end"]["reason"] == "complete"


def test_where_nothing_was_executed_nothing_is_undone(played):
    """After waiting, the end and a reply that is no action it is not asked to go back, which it cannot."""
    replies = [said(Wait()), said(Complete()), RUBBISH, said(go("kitchen"))]
    environment = Rooms(undo=False)
    episode = played(Script(replies[:1], [0.0], replies[1:]), environment, steps=1)
    assert environment.calls == ["observe", "snapshot", "execute", "observe"]
    assert told(episode) == ([("hall", 4)], "kitchen")


def test_a_repeat_that_cannot_be_undone(played):
    class Once(Rooms):
        def restore(self, token):
            super().restore(token)
            self.undo, undone = False, self.undo
            return undone

    script = Script([said(go("garden")), said(Complete())], [0.0, 1.0], [said(go("garden"))])
    (first, _) = played(script, Once())["steps"]
    assert [attempt["error"] for attempt in first["attempts"]] == [None, "repeats attempt 1; could not be undone"]


def test_other_errors_are_not_swallowed(played):
    class Broken(Rooms):
        def execute(self, action):
            raise ValueError("page 5: no screenshot")

    with pytest.raises(ValueError, match="page 5"):
        played(Script([said(go("garden"))]), Broken())
    assert issubclass(EnvironmentLost, RuntimeError)

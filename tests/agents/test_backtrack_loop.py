"""The loop: what is asked, shown and executed, who decides, and what stands when all attempts fail."""

import math

import pytest
from PIL import Image
from scripted_agents import (
    OUTSIDE,
    PAGES,
    RUBBISH,
    WAYS,
    Rooms,
    Script,
    WayGold,
    click_fields,
    go,
    play_one,
    rooms_shown,
    said,
    text,
    without_seconds,
)

from setaria.agents.backtrack.loop import LoopConfig
from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.gui.actions import Complete, Press


DONE = said(Complete())


@pytest.fixture
def played(tmp_path):
    def play(script, environment=None, gold=None, **config):
        return play_one(tmp_path, script, environment or Rooms(), gold, **{"steps": 1, **config})

    return play


def tried(step):
    """What was clicked in a step, or the type of another action."""
    actions = [attempt["action"] for attempt in step["attempts"]]
    return [action and (action.get("text") or action["type"]) for action in actions]


def column(step, name):
    return [attempt[name] for attempt in step["attempts"]]


def test_a_whole_trace(played, tmp_path):
    """The garden is turned down for the kitchen, then the cellar is reached and said to be the end."""
    script = Script([said(go("garden")), said(go("cellar")), DONE], [0.25, 0.75], [said(go("kitchen"))])
    episode = without_seconds(played(script, gold=WayGold(), steps=9))
    screens = tmp_path / "run-0" / "screens"
    digests = {Image.open(file).getpixel((0, 0)): file.name for file in screens.iterdir()}
    assert len(digests) == 4
    page = {
        room: {"id": room, "screen": f"screens/{digests[shown.image.getpixel((0, 0))]}", "size": [40, 60]}
        for room, shown in PAGES.items()
    }

    def attempt(role, room, judged, match):
        return {
            "role": role,
            "reply": f"click(<ref>{room}</ref><box>[100,100][500,200]</box>)",
            "action": click_fields(room),
            "error": None,
            "outcome": {"page": page[room], "valid": True, "changed": True, "reason": ""},
            "verifier": True,
            "judger": judged,
            "accepted": judged == 0.75,
            "gold_match": match,
        }

    done = {"type": "complete", "success": True}
    stayed = {"page": page["cellar"], "valid": True, "changed": False, "reason": ""}
    completed = {"reply": "complete()", "action": done, "outcome": stayed}
    assert episode == {
        "episode": "t",
        "instruction": "Find the cellar (t).",
        "app": "house",
        "task": {"start": "hall", "goal": "cellar", "gold_steps": 1},
        "steps": [
            {
                "page": page["hall"],
                "gold": click_fields("kitchen"),
                "attempts": [
                    attempt("generator", "garden", 0.25, False),
                    attempt("reflector", "kitchen", 0.75, True),
                ],
                "accepted": 1,
            },
            {
                "page": page["kitchen"],
                "gold": click_fields("cellar"),
                "attempts": [attempt("generator", "cellar", 0.75, True)],
                "accepted": 0,
            },
            {
                "page": page["cellar"],
                "gold": done,
                "attempts": [attempt("generator", "cellar", 0.75, True) | completed],
                "accepted": 0,
            },
        ],
        "end": {"reason": "complete", "page": page["cellar"], "success": True},
    }


def test_what_is_asked(played):
    """The reflector is shown what was tried and where the last action led; the history holds what stood."""
    script = Script([said(go("garden")), DONE], [0.0, 0.0, 1.0], [said(go("cellar")), said(go("kitchen"))])
    played(script, steps=2)
    assert [(ask.role, *rooms_shown(ask)) for ask in script.asks] == [
        ("generator", "hall"),
        ("judger", "hall", "garden"),
        ("reflector", "hall", "garden"),
        ("judger", "hall", "cellar"),
        ("reflector", "hall", "cellar"),
        ("judger", "hall", "kitchen"),
        ("generator", "kitchen"),
        ("judger", "kitchen", "kitchen"),
    ]
    last = text(script.asked("reflector")[-1])
    assert "Done:\nnothing\n" in last
    assert "These did not help:\nclick garden\nclick cellar\nActions:" in last
    assert f"Done:\n{said(go('kitchen'))}\nActions:" in text(script.asked("generator")[-1])
    page, action, outcome = script.asked("judger")[0].attempt
    assert (page.id, action, outcome.page.id, outcome.changed) == ("hall", go("garden"), "garden", True)
    assert all(ask.attempt is None for ask in script.asks if ask.role != "judger")


class Labelled(Rooms):
    """Rooms whose doors are elements of the page."""

    def observe(self):
        doors = "".join(
            f'<android.Button class="android.Button" text="{room}" clickable="true" bounds="[4,6][20,12]"/>'
            for room in WAYS[self.room]
        )
        page = super().observe()
        return Page(page.id, page.image, f'<a package="p">{doors}</a>')


def test_the_reflector_may_be_held_to_the_candidates_that_are_left(played):
    script = Script([said(go("garden"))], [0.0], [DONE, said(go("kitchen"))])
    played(script, Labelled(), candidates_only=True)
    kitchen, cellar = said(go("kitchen")), said(go("cellar"))
    left = [ask.beginnings for ask in script.asked("reflector")]
    assert left == [(kitchen, cellar, DONE), (kitchen, cellar), (cellar,)]
    assert not any(ask.beginnings for ask in script.asks if ask.role != "reflector")
    free = Script([said(go("garden"))], [0.0], [DONE])
    played(free, Labelled())
    assert not any(ask.beginnings for ask in free.asks)


def test_the_environment_goes_back_before_another_attempt(played):
    environment = Rooms()
    script = Script([said(go("garden"))], [0.0, 0.0, 1.0], [said(go("cellar")), said(go("kitchen"))])
    played(script, environment)
    once = ["execute", "restore"]
    assert environment.calls == ["observe", "snapshot", *once, *once, "execute", "observe"]
    assert environment.room == "kitchen"


def test_a_judger_that_always_says_no(played):
    """After the first attempt and three reflections the last stands, and the environment is in its state."""
    environment = Rooms()
    rooms = ("garden", "cellar", "wall", "kitchen")
    script = Script([said(go("garden"))], [0.0], [said(go(room)) for room in rooms[1:]])
    episode = played(script, environment)
    (step,) = episode["steps"]
    assert tried(step) == list(rooms)
    assert column(step, "accepted") == [False] * 4 and step["accepted"] == 3
    assert column(step, "verifier") == [True, True, False, True]
    assert column(step, "judger") == [0.0, 0.0, None, 0.0]
    assert environment.room == episode["end"]["page"]["id"] == "kitchen"
    assert episode["end"]["reason"] == "too many steps"


def test_a_repeated_action_is_executed_but_not_judged(played):
    """So the environment is where the last attempt leads, if that is one."""
    environment = Rooms()
    script = Script([said(go("garden"))], [0.0], [said(go("kitchen")), said(go("garden"))])
    episode = played(script, environment)
    (step,) = episode["steps"]
    assert tried(step) == ["garden", "kitchen", "garden", "garden"]
    assert column(step, "error") == [None, None, "repeats attempt 1", "repeats attempt 1"]
    assert column(step, "judger") == [0.0, 0.0, None, None]
    assert column(step, "verifier") == [True, True, False, False]
    assert [outcome["page"]["id"] for outcome in column(step, "outcome")] == tried(step)
    assert environment.room == episode["end"]["page"]["id"] == "garden"


def test_a_repeat_is_named_by_its_attempt(played):
    """Attempt 1 is no action, so that the action that comes again is attempt 2."""
    (step,) = played(Script([RUBBISH], [0.0], [said(go("kitchen"))]))["steps"]
    assert column(step, "error")[1:] == [None, "repeats attempt 2", "repeats attempt 2"]


@pytest.mark.parametrize(
    ("replies", "room"),
    [
        ([None, "garden", "cellar", "kitchen"], "kitchen"),
        (["garden", None, "cellar", "kitchen"], "kitchen"),
        (["garden", "cellar", None, "kitchen"], "kitchen"),
        (["garden", "cellar", "kitchen", None], "hall"),
        ([None, None, None, None], "hall"),
    ],
)
def test_replies_that_are_no_action(played, replies, room):
    """They count as attempts; the last attempt stands, so that the episode is over where that is no action."""
    environment = Rooms()
    spoken = [said(go(reply)) if reply else RUBBISH for reply in replies]
    episode = played(Script(spoken[:1], [0.0], spoken[1:]), environment, WayGold())
    (step,) = episode["steps"]
    assert tried(step) == replies and column(step, "reply") == spoken
    for attempt, reply in zip(step["attempts"], replies, strict=True):
        if reply is None:
            assert [attempt[name] for name in ("action", "outcome", "judger", "gold_match")] == [None] * 4
            assert attempt["error"].startswith("no action in 'Let me think") and not attempt["verifier"]
    reason = "too many steps" if replies[-1] else f"no action: {step['attempts'][-1]['error']}"
    assert episode["end"]["reason"] == reason
    assert environment.room == episode["end"]["page"]["id"] == room
    assert environment.calls.count("execute") == 4 - replies.count(None)


def test_what_the_reflector_is_shown_after_a_reply_that_is_no_action(played):
    """The second screen came after the last of the listed actions; where there are none it is the page itself."""
    script = Script([RUBBISH], [0.0], [said(go("garden")), RUBBISH, said(go("kitchen"))])
    played(script)
    first, second, third = script.asked("reflector")
    assert rooms_shown(first) == ["hall", "hall"]
    assert rooms_shown(second) == rooms_shown(third) == ["hall", "garden"]
    assert text(second) == text(third) and "These did not help:\nclick garden\nActions:" in text(third)


def test_complete_is_tried_again_where_it_is_turned_down(played):
    environment = Rooms()
    script = Script([DONE], [0.0, 1.0], [said(go("kitchen"))])
    episode = played(script, environment)
    assert tried(episode["steps"][0]) == ["complete", "kitchen"]
    assert rooms_shown(script.asked("reflector")[0]) == ["hall", "hall"]
    assert environment.calls == ["observe", "snapshot", "execute", "observe"]  # nothing was to be undone


@pytest.mark.parametrize(
    ("reply", "valid", "reason"),
    [
        (OUTSIDE, False, "no such door"),
        (said(go("moon")), False, "no such door"),
        (said(Press("back")), None, "nobody tried"),
        (said(go("wall")), True, "not effective: the page did not change"),
    ],
)
def test_what_the_verifier_turns_down(played, reply, valid, reason):
    script = Script([reply], reflector=[said(go("kitchen"))])
    (step,) = played(script)["steps"]
    assert column(step, "accepted") == column(step, "verifier") == [False, True]
    assert column(step, "judger") == [None, 1.0]
    outcome = step["attempts"][0]["outcome"]
    assert (outcome["valid"], outcome["changed"], outcome["page"]["id"]) == (valid, False, "hall")
    assert outcome["reason"] == reason


@pytest.mark.parametrize(
    ("config", "first", "judgments", "judged", "accepted"),
    [
        ({"verifier": False, "judger": False}, "wall", [0.0], [None], [True]),
        ({"judger": False}, "garden", [0.0], [None], [True]),
        ({"judger": False}, "wall", [0.0], [None, None], [False, True]),
        ({"verifier": False}, "wall", [1.0], [1.0], [True]),
        ({"verifier": False}, "garden", [0.0, 1.0], [0.0, 1.0], [False, True]),
        ({}, "garden", [0.0, 1.0], [0.0, 1.0], [False, True]),
        ({}, "wall", [1.0], [None, 1.0], [False, True]),
        ({"judge_all": True}, "wall", [1.0], [1.0, 1.0], [False, True]),
        ({"reflections": 0}, "garden", [0.0], [0.0], [False]),
        ({"reflections": 1}, "garden", [0.0], [0.0, 0.0], [False, False]),
    ],
)
def test_who_decides(played, config, first, judgments, judged, accepted):
    (step,) = played(Script([said(go(first))], judgments, [said(go("kitchen"))]), **config)["steps"]
    assert column(step, "judger") == judged
    assert column(step, "accepted") == accepted


def test_the_verifier_is_on_record_where_it_does_not_decide(played):
    (step,) = played(Script([said(go("wall"))]), verifier=False)["steps"]
    assert (column(step, "accepted"), column(step, "verifier")) == ([True], [False])


@pytest.mark.parametrize(
    ("judged", "threshold", "accepted"),
    [
        (0.5, 0.5, True),
        (math.nextafter(0.5, 0), 0.5, False),
        (0.0, 0.0, True),
        (1.0, 1.0, True),
        (math.nextafter(1.0, 0), 1.0, False),
    ],
)
def test_the_threshold_itself_is_accepted(played, judged, threshold, accepted):
    (step,) = played(Script([said(go("kitchen"))], [judged]), threshold=threshold, reflections=0)["steps"]
    assert column(step, "accepted") == [accepted]


@pytest.mark.parametrize(
    ("field", "value"),
    [("reflections", -1), ("steps", 0), ("repeats", 0), *(("threshold", wrong) for wrong in (-0.01, 1.01, math.nan))],
)
def test_settings_that_are_none(field, value):
    with pytest.raises(ValueError, match=f"{field}={value}"):
        LoopConfig(**{field: value})

"""Reading AndroidControl's evaluation episodes: each action, what is refused, and the real file."""

import json
import re
from collections import Counter

import pytest

from setaria.datasets_builders.gui.android_control import AndroidControlStep, read_android_control
from setaria.rewards.gui.actions import Click, Input, LongPress, Open, Press, Scroll, Wait
from setaria.rewards.gui.android_control import AndroidControlGold


def step(action: dict, checked: dict | None = None, **changed) -> dict:
    return {
        "action_content": action,
        "check_options": action if checked is None else checked,
        "screenshot": "/datasets/AndroidControl/images/27_0.png",
        "step_instruction": "Do it",
        **changed,
    }


CLICK = {"action": "click", "coordinate": [100, 200]}
TYPE = {"action": "type", "text": "Flora"}
UP = {"action": "swipe", "coordinate": [720.0, 2340.0], "coordinate2": [720.0, 780.0]}


def written(tmp_path, *steps, **changed):
    file = tmp_path / "episodes.jsonl"
    episode = {"goal": "Rename it", "episode_id": 27, "is_successful": True, "steps": list(steps), **changed}
    file.write_text(json.dumps(episode) + "\n")
    return file


def read(tmp_path, *steps) -> list[AndroidControlStep]:
    return list(read_android_control(written(tmp_path, *steps)))


def test_step(tmp_path):
    boxes = [[90, 150, 300, 250], [-55, 0, 1084, 2508]]  # over the edges, as some are
    first, second = read(tmp_path, step(CLICK, {**CLICK, "candidate_bbox": boxes}), step(TYPE))
    assert first == AndroidControlStep(
        episode_id=27,
        number=0,
        goal="Rename it",
        instruction="Do it",
        gold=AndroidControlGold(
            Click((100.0, 200.0, 100.0, 200.0)),
            ((90.0, 150.0, 300.0, 250.0), (-55.0, 0.0, 1084.0, 2508.0)),
            (1080, 2400),
        ),
        reveals=None,
        screenshot="27_0.png",
    )
    assert (second.number, second.action, second.gold.boxes) == (1, Input((0, 0, 1080, 2400), "", "Flora"), ())


@pytest.mark.parametrize(
    ("content", "action"),
    [
        ({"action": "long_press", "coordinate": [5, 7.5], "time": 2}, LongPress((5, 7.5, 5, 7.5))),
        ({"action": "open", "text": "ZARA"}, Open("ZARA")),
        ({"action": "wait", "time": 2}, Wait()),
        ({"action": "system_button", "button": "Back"}, Press("back")),
        ({"action": "system_button", "button": "Home"}, Press("home")),
        ({"action": "system_button", "button": "Enter"}, Press("enter")),
    ],
)
def test_actions(tmp_path, content, action):
    assert read(tmp_path, step(content))[0].action == action


@pytest.mark.parametrize(
    ("start", "end", "reveals", "finger"),
    [
        ([540, 1800], [540, 600], "down", "up"),
        ([540, 600], [540, 1800], "up", "down"),
        ([270, 1200], [810, 1200], "right", "right"),
        ([810, 1200], [270, 1200], "left", "left"),
    ],
)
def test_swipes(tmp_path, start, end, reveals, finger):
    swipe = {"action": "swipe", "coordinate": start, "coordinate2": end}
    (only,) = read(tmp_path, step(swipe, {"action": "swipe", "direction": reveals}))
    assert only.action == Scroll((0, 0, 1080, 2400), finger)
    assert only.reveals == reveals


def test_screen_size(tmp_path):
    """A swipe from 2340 to 780 is on a screen of 3120; a point at 1200 is not on one of 1080."""
    swiped = read(tmp_path, step(CLICK), step(UP, {"action": "swipe", "direction": "down"}))
    assert [found.gold.size for found in swiped] == [(1440, 3120)] * 2
    wide = {"action": "click", "coordinate": [1200, 5]}
    assert read(tmp_path, step(TYPE), step(wide))[0].action == Input((0, 0, 1440, 3120), "", "Flora")
    with pytest.raises(ValueError, match=r"steps: a coordinate lies outside a screen of \(1080, 2400\) or \(1440, 3"):
        read(tmp_path, step({"action": "click", "coordinate": [1441, 5]}))


WRONG = {
    "no action": ({"action_content": None}, "steps[1].action_content: a NoneType, expected dict"),
    "unknown action": ({"action_content": {"action": "pinch"}}, "steps[1].action_content.action: 'pinch' is none of"),
    "no point": ({"action_content": {"action": "click"}}, "steps[1].action_content.coordinate: missing"),
    "three numbers": (
        {"action_content": {"action": "click", "coordinate": [1, 2, 3]}},
        "steps[1].action_content.coordinate: [1, 2, 3] is not 2 numbers",
    ),
    "text for a number": (
        {"action_content": {"action": "click", "coordinate": [1, "2"]}},
        "steps[1].action_content.coordinate: [1, '2'] is not 2 numbers",
    ),
    "above the screen": (
        {"action_content": {"action": "click", "coordinate": [1, -2]}},
        "steps[1].action_content.coordinate: [1, -2] is not 2 numbers from 0",
    ),
    "not finite": (
        {"action_content": {"action": "click", "coordinate": [1, float("nan")]}},
        "steps[1].action_content.coordinate: [1, nan] is not 2 numbers",
    ),
    "no text": ({"action_content": {"action": "type"}}, "steps[1].action_content.text: missing, expected str"),
    "unknown button": (
        {"action_content": {"action": "system_button", "button": "Menu"}},
        "steps[1].action_content.button: 'Menu' is none of Back, Home, Enter",
    ),
    "another action checked": (
        {"check_options": {"action": "type"}},
        "steps[1].check_options.action: 'type' differs from the action's 'click'",
    ),
    "another point checked": (
        {"check_options": {"action": "click", "coordinate": [5, 5]}},
        "steps[1].check_options.coordinate: [5, 5] differs",
    ),
    "inverted box": (
        {"check_options": {"candidate_bbox": [[0, 0, 9, 9], [5, 0, 4, 9]]}},
        "steps[1].check_options.candidate_bbox[1]: [5, 0, 4, 9] is inverted",
    ),
    "no box": ({"check_options": {"candidate_bbox": [7]}}, "steps[1].check_options.candidate_bbox[0]: 7 is not 4"),
    "unknown direction": (
        {"action_content": UP, "check_options": {"direction": "away"}},
        "steps[1].check_options.direction: 'away' is none of up, down, left, right",
    ),
    "another direction": (
        {"action_content": UP, "check_options": {"direction": "up"}},
        "steps[1].check_options.direction: 'up' does not belong to a finger that moves up",
    ),
    "no instruction": ({"step_instruction": 7}, "steps[1].step_instruction: a int, expected str"),
    "no file name": ({"screenshot": "images/.."}, "steps[1].screenshot: '..' is no file name"),
}


@pytest.mark.parametrize(("changed", "message"), WRONG.values(), ids=WRONG)
def test_errors_name_the_line_and_the_field(tmp_path, changed, message):
    file = written(tmp_path, step(CLICK), {**step(CLICK), **changed})
    with file.open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}:1: {message}')}"):
        list(read_android_control(file))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a list, not an episode"),
        ("{}", "goal: missing, expected str"),
        ('{"goal": "x", "episode_id": true}', "episode_id: a bool, expected int"),
        ('{"goal": "x", "episode_id": 1, "steps": []}', "steps: 0 of them"),
        ('{"goal": "x", "episode_id": 1, "steps": [7]}', r"steps\[0\]: a int, not a step"),
        ('"' + "x" * 4_000_000 + '"', "longer than 4000000 bytes"),
    ],
    ids=range(8),
)
def test_lines_that_are_no_episode(tmp_path, line, message):
    file = written(tmp_path, step(CLICK))
    with file.open("a") as stream:
        stream.write(line + "\n")
    steps = read_android_control(file)
    assert next(steps).action == Click((100, 200, 100, 200))  # the line before it
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}:2: {message}"):
        next(steps)


# --- the real file


@pytest.fixture(scope="module")
def steps(data) -> list[AndroidControlStep]:
    return list(read_android_control(data / "android_control" / "eval_dev.jsonl"))


def test_every_step_is_read(steps):
    """4,301 steps of 772 episodes, the kinds as counted in the data's own description."""
    assert len(steps) == 4301
    assert len({found.episode_id for found in steps}) == 772
    counts = {Click: 2604, Scroll: 619, Input: 314, Open: 295, Wait: 288, Press: 174, LongPress: 7}
    assert Counter(type(found.action) for found in steps) == counts
    assert {found.gold.size for found in steps} == {(1080, 2400), (1440, 3120)}
    assert all(found.screenshot == f"{found.episode_id}_{found.number}.png" for found in steps)


def test_left_and_right_contradict_the_instructions(steps):
    """Of the swipes left and right 60 are called so by their instruction: 51 move against it, 9 with it."""
    agree = Counter()
    for found in steps:
        named = re.search(r"swipe (left|right)\b", found.instruction.lower())
        if named and found.reveals in ("left", "right"):
            agree[named[1] == found.action.direction] += 1
    assert agree == {False: 51, True: 9}

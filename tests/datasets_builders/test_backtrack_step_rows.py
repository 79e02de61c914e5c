"""Rows from recorded steps: AndroidControl's with and without images, AITW's, and what counts as a wrong action."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from setaria.datasets_builders.gui.aitw import AitwStep
from setaria.datasets_builders.gui.android_control import AndroidControlStep, read_android_control
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.step_rows import (
    RecordedStep,
    WrongActions,
    action_of_aitw,
    aitw_of_action,
    aitw_steps,
    android_control_steps,
    generator_rows,
    simulated_judger_rows,
)
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Open, Press, Scroll, Wait
from setaria.rewards.gui.aitw import AitwAction, AitwActionType
from setaria.rewards.gui.android_control import AndroidControlGold


SIZE = (1080, 2400)
SCREEN = (0.0, 0.0, 1080.0, 2400.0)
MAGENTA = (255, 0, 255)


def tap(x: float, y: float) -> Click:
    return Click((x, y, x, y))


def recorded(number: int, action, boxes=(), size=SIZE) -> AndroidControlStep:
    gold = AndroidControlGold(action, tuple(boxes), size)
    return AndroidControlStep(27, number, "Rename it", "Do it", gold, None, f"27_{number}.png")


EPISODE = [
    recorded(0, Open("Files")),
    recorded(1, tap(540, 1200), [(500, 1100, 600, 1300)]),
    recorded(2, Input(SCREEN, "", "Flora")),
    recorded(3, Scroll(SCREEN, "up")),
]


def with_images(folder, numbers=range(4), size=SIZE):
    for number in numbers:
        Image.new("RGB", size, "white").save(folder / f"27_{number}.png")
    return android_control_steps(EPISODE, folder)


def texts(row: dict) -> tuple[str, str]:
    return row["prompt"][0]["content"][-1]["text"], row["completion"][0]["content"][0]["text"]


# --- AndroidControl


def test_missing_images_are_listed(tmp_path):
    found = with_images(tmp_path, [1, 3])
    assert [step.page.id for step in found.steps] == ["android_control/27/1", "android_control/27/3"]
    assert found.missing == [tmp_path / "27_0.png", tmp_path / "27_2.png"]
    # what was done on a page without an image was done all the same
    assert found.steps[1].done == (Open("Files"), tap(540, 1200), Input(SCREEN, "", "Flora"))


def test_generator_rows(tmp_path):
    """In Qwen2-VL's thousandths the middle of the screen is 500, 500."""
    steps = with_images(tmp_path).steps
    rows = list(generator_rows(steps, Prompts()))
    assert [texts(row)[1] for row in rows] == [
        'open("Files")',
        "click(<ref></ref><box>[500,500][500,500]</box>)",
        'input(<ref></ref><box>[0,0][1000,1000]</box>, "Flora")',
        "scroll(<box>[0,0][1000,1000]</box>,up)",
    ]
    assert texts(rows[1])[0] == 'Task: Rename it\nDone:\nopen("Files")\nActions:\nNext action?'
    assert (rows[1]["role"], rows[1]["app"], rows[1]["task"]) == ("generator", "android_control", "27")
    assert rows[1]["page"] == "android_control/27/1"
    assert [image.size for image in rows[1]["images"]] == [SIZE]
    assert not [step for step in steps if "image" in vars(step.page)]  # images are not kept


def test_simulated_judger_rows(tmp_path):
    steps = with_images(tmp_path).steps[1:2]
    right, wrong = simulated_judger_rows(steps, Prompts(), lambda step: tap(54, 240))
    asked = "The second screen came after it. Does it help with the task? Answer Yes or No.\nTask: Rename it"
    context = 'Task: Rename it\nDone:\nopen("Files")\nActions:\n'
    for row, action, answer, drawn, clear in (
        (right, "click(<ref></ref><box>[500,500][500,500]</box>)", "Yes", (540, 1200), (54, 240)),
        (wrong, "click(<ref></ref><box>[50,100][50,100]</box>)", "No", (54, 240), (540, 1200)),
    ):
        assert texts(row) == (f"{context}Action: {action}\n{asked}", answer)
        assert row["role"] == "judger"
        before, after = row["images"]
        assert before.getcolors() == [(1080 * 2400, (255, 255, 255))]
        assert (after.getpixel(drawn), after.getpixel(clear)) == (MAGENTA, (255, 255, 255))


@pytest.mark.parametrize("mistake", [tap(540, 1200), tap(600, 1100), tap(650, 1200)])
def test_a_wrong_action_must_not_be_right(tmp_path, mistake):
    """The point itself, a corner of the box, and 110 / 1080 = 0.10 away."""
    steps = with_images(tmp_path).steps[1:2]
    with pytest.raises(ValueError, match=r"android_control/27/1: Click.* counts as right"):
        list(simulated_judger_rows(steps, Prompts(), lambda step: mistake))


@pytest.mark.parametrize("size", [(1440, 3120), (2400, 1080)])
def test_the_image_decides_what_the_whole_screen_is(tmp_path, size):
    found = with_images(tmp_path, size=size)
    assert found.steps[2].action == found.steps[3].done[2] == Input((0, 0, *size), "", "Flora")
    assert found.steps[1].action == tap(540, 1200)  # pixels of the image already


def test_an_image_that_was_made_smaller_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"27_0\.png: \(540, 1200\) pixels, but coordinates are those of a screen"):
        with_images(tmp_path, size=(540, 1200))


def test_the_real_episodes_have_no_images(data, tmp_path):
    found = android_control_steps(read_android_control(data / "android_control" / "eval_dev.jsonl"), tmp_path)
    assert (len(found.steps), len(found.missing)) == (0, 4301)


# --- wrong actions


def test_sampled_actions_are_wrong_and_the_same_again(data):
    """Real steps on a blank page: none of their wrong actions counts as right, and they depend on page and seed."""
    steps = list(read_android_control(data / "android_control" / "eval_dev.jsonl"))
    pool = [(step.action, step.gold.size) for step in steps]
    found = [on_a_blank_page(step) for step in steps[:60]]
    drawn = [WrongActions(pool)(step) for step in found]
    assert not [step for step, action in zip(found, drawn, strict=True) if step.right(action)]
    assert len({type(action) for action in drawn}) > 3
    assert [WrongActions(pool)(step) for step in reversed(found)] == drawn[::-1]
    assert [WrongActions(pool, seed=1)(step) for step in found] != drawn


def on_a_blank_page(step: AndroidControlStep) -> RecordedStep:
    page = Page(f"{step.episode_id}/{step.number}", Image.new("RGB", (108, 240)))
    return RecordedStep("android_control", "", step.goal, page, (), step.action, lambda action: action == step.action)


def test_actions_of_other_screens_are_resized():
    step = on_a_blank_page(recorded(0, Wait()))
    assert WrongActions([(Wait(), SIZE), (tap(540, 1200), SIZE)])(step) == tap(54, 120)
    assert WrongActions([(LongPress((0, 0, 2160, 4800)), (2160, 4800))])(step) == LongPress((0, 0, 108, 240))


def test_no_wrong_action():
    with pytest.raises(ValueError, match="27/0: no wrong action among 1 of other steps, 0 offered"):
        WrongActions([(Wait(), SIZE)])(on_a_blank_page(recorded(0, Wait())))


XML = (
    '<hierarchy><node class="android.widget.Button" text="Save" clickable="true" bounds="[0,0][50,50]"/>'
    '<node class="android.widget.Button" text="Cancel" clickable="true" bounds="[50,0][99,50]"/>'
    '<node class="android.widget.EditText" text="Name" bounds="[0,60][99,90]"/></hierarchy>'
)


def test_wrong_actions_from_elements_and_from_other_steps():
    """Save is right, an input offers no text, so the page has Cancel; about half of 40 draws are from the pool."""
    save, cancel = Click((0, 0, 50, 50), "Save"), Click((50, 0, 99, 50), "Cancel")
    counts = {cancel: 0, Wait(): 0}
    for number in range(40):
        page = Page(f"page {number}", Image.new("RGB", (100, 100)), XML)
        step = RecordedStep("apps", "", "Save it", page, (), save, lambda action: action == save)
        counts[WrongActions([(Wait(), (100, 100))])(step)] += 1
    assert min(counts.values()) > 10


# --- AITW: a screen of 200 x 400 pixels


def aitw_step(action: AitwAction, number: int = 0, boxes=()) -> AitwStep:
    return AitwStep(
        episode_id="1680",
        goal="open the clock",
        step_id=number,
        action=action,
        boxes=tuple(boxes),
        texts=("",) * len(boxes),
        ui_types=("TEXT",) * len(boxes),
        height=400,
        width=200,
        channels=3,
        pixels=b"\xff" * (400 * 200 * 3),
    )


def dual_point(from_y, from_x, to_y, to_x) -> AitwAction:
    return AitwAction(AitwActionType.DUAL_POINT, (from_y, from_x), (to_y, to_x))


WHOLE = (0.0, 0.0, 200.0, 400.0)


@pytest.mark.parametrize(
    ("demonstrated", "action"),
    [
        (dual_point(0.5, 0.25, 0.51, 0.25), Click((50, 200, 50, 200))),
        (dual_point(1.01, -0.01, 1.01, -0.01), Click((0, 400, 0, 400))),  # over the edge
        (dual_point(0.8, 0.5, 0.2, 0.5), Scroll(WHOLE, "up")),
        (dual_point(0.2, 0.5, 0.8, 0.4), Scroll(WHOLE, "down")),
        (dual_point(0.5, 0.8, 0.5, 0.2), Scroll(WHOLE, "left")),
        (dual_point(0.5, 0.2, 0.6, 0.8), Scroll(WHOLE, "right")),
        (AitwAction(AitwActionType.TYPE, text="clock"), Input(WHOLE, "", "clock")),
        (AitwAction(AitwActionType.PRESS_BACK), Press("back")),
        (AitwAction(AitwActionType.PRESS_HOME), Press("home")),
        (AitwAction(AitwActionType.PRESS_ENTER), Press("enter")),
        (AitwAction(AitwActionType.STATUS_TASK_COMPLETE), Complete()),
        (AitwAction(AitwActionType.STATUS_TASK_IMPOSSIBLE), Complete(False)),
    ],
)
def test_actions_of_aitw(demonstrated, action):
    step = aitw_step(demonstrated)
    assert action_of_aitw(step) == action
    (found,) = aitw_steps([step])
    assert found.right(action)


FRACTIONS = st.floats(0, 1, width=32)
DEMONSTRATED = st.builds(dual_point, FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS) | st.builds(
    AitwAction, st.sampled_from([kind for kind in AitwActionType if kind != AitwActionType.DUAL_POINT])
)


@given(DEMONSTRATED)
def test_what_was_demonstrated_is_right_in_our_terms_too(demonstrated):
    (found,) = aitw_steps([aitw_step(demonstrated)])
    assert found.right(found.action)


def test_what_aitw_has_no_type_for():
    for action in (LongPress((5, 5, 5, 5)), Open("Clock"), Wait()):
        assert aitw_of_action(action, (200, 400)) is None
        assert not next(aitw_steps([aitw_step(AitwAction(AitwActionType.TYPE))])).right(action)


def test_rows_of_aitw():
    """A tap in the same annotated box counts as right: enlarged, it goes from 0.4 - 0.07 to 0.4 + 0.17."""
    steps = [
        aitw_step(AitwAction(AitwActionType.PRESS_HOME)),
        aitw_step(dual_point(0.45, 0.45, 0.45, 0.45), 1, [(0.4, 0.4, 0.1, 0.1)]),
        replace(aitw_step(AitwAction(AitwActionType.PRESS_BACK)), episode_id="1681"),
    ]
    rows = list(generator_rows(aitw_steps(steps), Prompts()))
    assert texts(rows[1])[0] == "Task: open the clock\nDone:\npress(home)\nActions:\nNext action?"
    assert "Done:\nnothing" in texts(rows[2])[0]  # a new episode
    assert [texts(row)[1] for row in rows] == [
        "press(home)",
        "click(<ref></ref><box>[450,450][450,450]</box>)",
        "press(back)",
    ]
    assert [row["page"] for row in rows] == ["aitw/1680/0", "aitw/1680/1", "aitw/1681/0"]
    tapped = list(aitw_steps(steps))[1]
    assert tapped.right(tap(0.56 * 200, 0.56 * 400))
    assert not tapped.right(tap(0.58 * 200, 0.58 * 400))
    judged = list(simulated_judger_rows([tapped], Prompts(), WrongActions([(Press("back"), (200, 400))])))
    assert [texts(row)[1] for row in judged] == ["Yes", "No"]
    assert "Action: press(back)\n" in texts(judged[1])[0]

"""Rows for Generator and Judger from recorded steps that have no page after them: AndroidControl's and AITW's.

    generator   the page, the goal, the actions so far -> the demonstrated action
    judger      the same, an action, and the page with that action drawn on it -> Yes for the demonstrated action,
                No for a wrong one

The second page is a simulated outcome, as in the paper's Auto-UI experiments. Wrong actions come from the caller, or
are sampled by `WrongActions`. Rows are made one at a time; a step's image is read for its rows and not kept.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from setaria.datasets_builders.gui.aitw import AitwStep
from setaria.datasets_builders.gui.android_control import AndroidControlStep, whole_screen
from setaria.datasets_builders.gui.drawing import draw_action
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import NO, YES, training_row
from setaria.models.box_codec import Size
from setaria.rewards.boxes import center
from setaria.rewards.gui.actions import (
    Action,
    Click,
    Complete,
    Direction,
    Input,
    Key,
    LongPress,
    Press,
    Scroll,
    action_from_dict,
    action_to_dict,
)
from setaria.rewards.gui.aitw import AitwAction, AitwActionType, aitw_match
from setaria.rewards.gui.android_control import AndroidControlGold, os_atlas, ui_s1_reward
from setaria.rewards.gui.auto_ui import SNAPPED


AITW_KEYS: dict[AitwActionType, Key] = {
    AitwActionType.PRESS_BACK: "back",
    AitwActionType.PRESS_HOME: "home",
    AitwActionType.PRESS_ENTER: "enter",
}
# Direction of the finger, by the main axis (0 is y) and whether the coordinate grows.
AITW_SWIPES: dict[tuple[int, bool], Direction] = {
    (0, False): "up",
    (0, True): "down",
    (1, False): "left",
    (1, True): "right",
}
MOST_DRAWS = 200


@dataclass(frozen=True)
class RecordedStep:
    """A demonstrated step.

    Attributes:
        dataset: android_control or aitw, column `app` of its rows.
        episode: its id, column `task`.
        instruction: what was to be done.
        page: where; its id, column `page`, names dataset, episode and step.
        done: the actions before it in its episode.
        action: what was demonstrated.
        right: whether an action counts as right there, by the dataset's rules.
    """

    dataset: str
    episode: str
    instruction: str
    page: Page
    done: tuple[Action, ...]
    action: Action
    right: Callable[[Action], bool]


class WithImages(NamedTuple):
    """Steps whose screenshot is there, and the files that are missing."""

    steps: list[RecordedStep]
    missing: list[Path]


def generator_rows(steps: Iterable[RecordedStep], prompts: Prompts) -> Iterator[dict[str, Any]]:
    """One row a step, the demonstrated action as completion."""
    for step in map(_unread, steps):
        conversation = prompts.generator(step.instruction, step.page, step.done)
        yield training_row("generator", conversation, prompts.write(step.action, step.page), **_place(step))


def simulated_judger_rows(
    steps: Iterable[RecordedStep], prompts: Prompts, wrong: Callable[[RecordedStep], Action]
) -> Iterator[dict[str, Any]]:
    """Two rows a step: Yes for the demonstrated action, and No for `wrong(step)`.

    Raises:
        ValueError: for a wrong action that counts as right.
    """
    for step in map(_unread, steps):
        mistake = wrong(step)
        if step.right(mistake):
            raise ValueError(f"{step.page.id}: {mistake} counts as right")
        for action, answer in ((step.action, YES), (mistake, NO)):
            after = draw_action(step.page, action)
            conversation = prompts.judger(step.instruction, step.page, step.done, action, after)
            yield training_row("judger", conversation, answer, **_place(step))


@dataclass(frozen=True)
class WrongActions:
    """Samples a wrong action for a step, always the same one for the same page id and seed.

    Where the page has a hierarchy, half of them are other actions that its elements offer; the rest, or all, are what
    was demonstrated at other steps, brought to the size of the page.

    Attributes:
        pool: demonstrated actions and the sizes (width, height) of their screens.
    """

    pool: Sequence[tuple[Action, Size]]
    seed: int = 0

    def __call__(self, step: RecordedStep) -> Action:
        """A wrong action; ValueError if neither the page nor up to `MOST_DRAWS` of the pool have one."""
        rng = random.Random(f"{self.seed} {step.page.id}")
        drawn = rng.sample(self.pool, min(len(self.pool), MOST_DRAWS))
        others = [_resized(action, size, step.page.size) for action, size in drawn]
        # An input of the page has no text yet.
        offered: list[Action] = [action for action in step.page.actions if not isinstance(action, Input)]
        rng.shuffle(offered)
        for action in offered + others if rng.random() < 0.5 else others + offered:
            if not step.right(action):
                return action
        raise ValueError(f"{step.page.id}: no wrong action among {len(others)} of other steps, {len(offered)} offered")


def android_control_steps(steps: Iterable[AndroidControlStep], image_root: Path) -> WithImages:
    """AndroidControl's steps with their screenshots, `image_root/<episode>_<step>.png`, which have to be got apart.

    The instruction is the episode's goal, the published high-level task; for the low-level one, replace `goal`. Right
    is what UI-S1's reward or OS-Atlas's evaluation takes for right.

    Raises:
        ValueError: for an image smaller than the screen on which the boxes lie.
    """
    found = WithImages([], [])
    for number, episode in groupby(steps, key=lambda step: step.episode_id):
        done: list[Action] = []
        for step in episode:
            file = image_root / step.screenshot
            action = step.action
            if file.is_file():
                gold = _on_image(step.gold, file)
                page, right = Page(f"android_control/{number}/{step.number}", file), _right_in_android_control(gold)
                action = gold.action
                found.steps.append(
                    RecordedStep("android_control", str(number), step.goal, page, tuple(done), action, right)
                )
            else:
                found.missing.append(file)
            done.append(action)
    return found


def aitw_steps(steps: Iterable[AitwStep]) -> Iterator[RecordedStep]:
    """AITW's steps with the screenshots inside them, as a stream. Right is what AITW's matching takes for right."""
    for _, episode in groupby(steps, key=lambda step: step.episode_id):
        done: list[Action] = []
        for step in episode:
            action = action_of_aitw(step)
            page = Page(f"aitw/{step.episode_id}/{step.step_id}", step.image)
            yield RecordedStep("aitw", step.episode_id, step.goal, page, tuple(done), action, _right_in_aitw(step))
            done.append(action)


def action_of_aitw(step: AitwStep) -> Action:
    """What was demonstrated, in pixels: a tap is a point, swipes and typing are over the whole screen."""
    recorded, screen = step.action, whole_screen((step.width, step.height))
    match recorded.type:
        case AitwActionType.DUAL_POINT if recorded.is_tap:
            y, x = (min(max(fraction, 0.0), 1.0) for fraction in recorded.touch)
            point = (x * step.width, y * step.height)
            return Click((*point, *point))
        case AitwActionType.DUAL_POINT:
            axis = recorded.main_axis
            return Scroll(screen, AITW_SWIPES[axis, recorded.lift[axis] > recorded.touch[axis]])
        case AitwActionType.TYPE:
            return Input(screen, "", recorded.text)
        case AitwActionType.STATUS_TASK_COMPLETE | AitwActionType.STATUS_TASK_IMPOSSIBLE:
            return Complete(recorded.type == AitwActionType.STATUS_TASK_COMPLETE)
    return Press(AITW_KEYS[recorded.type])


def aitw_of_action(action: Action, size: Size) -> AitwAction | None:
    """An action on a screen of (width, height) pixels in AITW's terms, swipes as Auto-UI snaps them.

    None for an action of which AITW has no type: long press, open and wait.
    """
    match action:
        case Click(box):
            x, y = center(box)
            point = (y / size[1], x / size[0])
            return AitwAction(AitwActionType.DUAL_POINT, point, point)
        case Scroll(_, direction):
            snapped = next(SNAPPED[way] for way, name in AITW_SWIPES.items() if name == direction)
            return AitwAction(AitwActionType.DUAL_POINT, *snapped)
        case Input(value=value):
            return AitwAction(AitwActionType.TYPE, text=value)
        case Press(key):
            return AitwAction(next(kind for kind, name in AITW_KEYS.items() if name == key))
        case Complete(success):
            return AitwAction(
                AitwActionType.STATUS_TASK_COMPLETE if success else AitwActionType.STATUS_TASK_IMPOSSIBLE
            )
    return None


def _unread(step: RecordedStep) -> RecordedStep:
    """The step with a copy of its page, whose image goes when the copy goes."""
    return replace(step, page=replace(step.page))


def _place(step: RecordedStep) -> dict[str, str]:
    return {"app": step.dataset, "task": step.episode, "page": step.page.id}


def _right_in_aitw(step: AitwStep) -> Callable[[Action], bool]:
    size = (step.width, step.height)
    gold, boxes = step.action, step.boxes
    return lambda action: aitw_match(gold, aitw_of_action(action, size), boxes)


def _right_in_android_control(gold: AndroidControlGold) -> Callable[[Action], bool]:
    return lambda action: ui_s1_reward(gold, action).step or os_atlas(gold, action).step


def _on_image(gold: AndroidControlGold, file: Path) -> AndroidControlGold:
    """Gold with the size of the image, on which what is over the whole screen is over the whole image."""
    with Image.open(file) as image:
        size = image.size
    if min(size) < min(gold.size) or max(size) < max(gold.size):  # either may be turned by 90 degrees
        raise ValueError(f"{file}: {size} pixels, but coordinates are those of a screen of {gold.size}")
    whole = isinstance(gold.action, Input | Scroll)
    return replace(gold, action=_resized(gold.action, gold.size, size) if whole else gold.action, size=size)


def _resized(action: Action, size: Size, new_size: Size) -> Action:
    if size == new_size or not isinstance(action, Click | LongPress | Input | Scroll):
        return action
    x1, y1, x2, y2 = action.box
    (old_width, old_height), (width, height) = size, new_size
    box = (x1 * width / old_width, y1 * height / old_height, x2 * width / old_width, y2 * height / old_height)
    return action_from_dict({**action_to_dict(action), "box": box})

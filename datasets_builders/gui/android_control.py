"""AndroidControl's evaluation episodes in the "std" layout of UI-S1 (X-PLUG/MobileAgent), one episode a line of JSON.

    {"goal", "episode_id", "is_successful", "steps": [{"action_content", "check_options", "step_instruction",
                                                       "screenshot"}]}

    click, long_press {"coordinate"}            Click, LongPress at the point, a box of no size
    type {"text"}                               Input over the whole screen
    swipe {"coordinate", "coordinate2"}         Scroll over the whole screen
    open {"text"}, wait {"time"}, system_button {"button"}     Open, Wait, Press

Text is typed into what has the focus, and the data do not say what that is; the whole screen claims no element, where
a point would. Points are pixels of the screenshot.

**Directions.** `Scroll.direction` is where the finger moves, taken from the swipe's coordinates; `reveals` is the
file's own `direction`, AndroidControl's name for the part that comes into view. For up and down these are opposites.
For left and right the file has them equal, and of the 60 such steps whose instruction says "swipe left" or
"swipe right", 51 contradict the coordinates, which seem to have been derived the wrong way round. We follow the
coordinates, as the published rules do. For what the person did, take the opposite of `reveals`.

**Screen size** is not in the file. A swipe's ends lie at a quarter and three quarters of the screen, so their sum is
its size; an episode without a swipe gets the smallest of `SCREENS` that holds its points (our choice).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

from setaria.models.box_codec import Size
from setaria.rewards.boxes import Box
from setaria.rewards.gui.actions import Action, Click, Direction, Input, Key, LongPress, Open, Press, Scroll, Wait
from setaria.rewards.gui.android_control import AndroidControlGold


Point: TypeAlias = tuple[float, float]

SCREENS: tuple[Size, ...] = ((1080, 2400), (1440, 3120))
BUTTONS: dict[str, Key] = {"Back": "back", "Home": "home", "Enter": "enter"}
FINGER: dict[Direction, Direction] = {"up": "down", "down": "up", "left": "left", "right": "right"}
# Kind of an action and the names of its points.
POINTS: dict[str, tuple[str, ...]] = {
    "click": ("coordinate",),
    "long_press": ("coordinate",),
    "swipe": ("coordinate", "coordinate2"),
    "type": (),
    "open": (),
    "wait": (),
    "system_button": (),
}
MOST_BYTES = 4_000_000  # of a line
MOST_STEPS = 1000
FARTHEST = 100_000


@dataclass(frozen=True)
class AndroidControlStep:
    """One step of an episode.

    Attributes:
        episode_id: number of the episode in AndroidControl.
        number: of the step in its episode, from 0.
        goal: the instruction of the episode.
        instruction: the instruction of this step, written by the person who demonstrated it.
        gold: the demonstrated action, the boxes that count as a hit, and the size of the screen.
        reveals: the file's direction of a swipe, None for other actions.
        screenshot: name of the image file, without a folder; the data may lack the image.
    """

    episode_id: int
    number: int
    goal: str
    instruction: str
    gold: AndroidControlGold
    reveals: Direction | None
    screenshot: str

    @property
    def action(self) -> Action:
        """The demonstrated action."""
        return self.gold.action


def read_android_control(file: Path) -> Iterator[AndroidControlStep]:
    """The steps of all episodes in order, one line in memory at a time.

    Raises:
        ValueError: naming the file, the line and the field that is missing or wrong.
    """
    with file.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MOST_BYTES + 1), b""), 1):
            try:
                yield from _episode(line)
            except ValueError as error:
                raise ValueError(f"{file}:{number}: {error}") from error


def whole_screen(size: Size) -> Box:
    """The box of a screen of (width, height) pixels."""
    return 0.0, 0.0, float(size[0]), float(size[1])


def _episode(line: bytes) -> list[AndroidControlStep]:
    if len(line) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES} bytes")
    try:
        episode = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(episode, dict):
        raise ValueError(f"a {type(episode).__name__}, not an episode")
    goal, episode_id = _field(episode, "goal", str), _field(episode, "episode_id", int)
    steps = _field(episode, "steps", list)
    if not 0 < len(steps) <= MOST_STEPS:
        raise ValueError(f"steps: {len(steps)} of them, not 1 to {MOST_STEPS}")
    located = [(f"steps[{number}]", step) for number, step in enumerate(steps)]
    contents = [_content(step, where) for where, step in located]
    size = _screen(contents)
    return [
        AndroidControlStep(
            episode_id=episode_id,
            number=number,
            goal=goal,
            instruction=_field(step, "step_instruction", str, where),
            gold=_gold(contents[number], step, size, where),
            reveals=_reveals(contents[number], step, where),
            screenshot=_file_name(step, where),
        )
        for number, (where, step) in enumerate(located)
    ]


def _content(step: Any, where: str) -> dict[str, Any]:
    """Kind, points, text and key of an action, checked."""
    if not isinstance(step, dict):
        raise ValueError(f"{where}: a {type(step).__name__}, not a step")
    raw, where = _field(step, "action_content", dict, where), f"{where}.action_content"
    kind = _field(raw, "action", str, where)
    if kind not in POINTS:
        raise ValueError(f"{where}.action: {kind!r} is none of {', '.join(POINTS)}")
    content: dict[str, Any] = {"action": kind}
    for name in POINTS[kind]:
        content[name] = _numbers(_field(raw, name, list, where), 2, f"{where}.{name}", least=0)
    if kind in ("type", "open"):
        content["text"] = _field(raw, "text", str, where)
    if kind == "system_button":
        content["button"] = _field(raw, "button", str, where)
        if content["button"] not in BUTTONS:
            raise ValueError(f"{where}.button: {content['button']!r} is none of {', '.join(BUTTONS)}")
    return content


def _screen(contents: list[dict[str, Any]]) -> Size:
    points = [content[name] for content in contents for name in POINTS[content["action"]]]
    swipes = [content for content in contents if content["action"] == "swipe"]
    sums = (zip(swipe["coordinate"], swipe["coordinate2"], strict=True) for swipe in swipes)
    sizes = [(round(sum(across)), round(sum(down))) for across, down in sums] or SCREENS
    for width, height in sizes:
        if width and height and all(x <= width and y <= height for x, y in points):
            return width, height
    raise ValueError(f"steps: a coordinate lies outside a screen of {' or '.join(map(str, dict.fromkeys(sizes)))}")


def _gold(content: dict[str, Any], step: dict[str, Any], size: Size, where: str) -> AndroidControlGold:
    checked, where = _field(step, "check_options", dict, where), f"{where}.check_options"
    for name in ("action", "coordinate", "text", "button"):
        there, here = checked.get(name, content.get(name)), content.get(name)
        if (tuple(there) if isinstance(there, list) else there) != here:
            raise ValueError(f"{where}.{name}: {there!r} differs from the action's {here!r}")
    boxes = _field(checked, "candidate_bbox", list, where) if "candidate_bbox" in checked else []
    return AndroidControlGold(
        action=_action(content, size),
        boxes=tuple(_box(box, f"{where}.candidate_bbox[{number}]") for number, box in enumerate(boxes)),
        size=size,
    )


def _action(content: dict[str, Any], size: Size) -> Action:
    match content:
        case {"action": "click", "coordinate": point}:
            return Click((*point, *point))
        case {"action": "long_press", "coordinate": point}:
            return LongPress((*point, *point))
        case {"action": "type", "text": text}:
            return Input(whole_screen(size), "", text)
        case {"action": "swipe", "coordinate": start, "coordinate2": end}:
            return Scroll(whole_screen(size), _finger(start, end))
        case {"action": "open", "text": text}:
            return Open(text)
        case {"action": "system_button", "button": button}:
            return Press(BUTTONS[button])
    return Wait()


def _finger(start: Point, end: Point) -> Direction:
    across, down = end[0] - start[0], end[1] - start[1]
    if abs(across) > abs(down):
        return "right" if across > 0 else "left"
    return "down" if down > 0 else "up"


def _reveals(content: dict[str, Any], step: dict[str, Any], where: str) -> Direction | None:
    if content["action"] != "swipe":
        return None
    direction, where = step["check_options"].get("direction"), f"{where}.check_options.direction"
    if direction not in get_args(Direction):
        raise ValueError(f"{where}: {direction!r} is none of {', '.join(get_args(Direction))}")
    finger = _finger(content["coordinate"], content["coordinate2"])
    if FINGER[direction] != finger:
        raise ValueError(f"{where}: {direction!r} does not belong to a finger that moves {finger}")
    return direction


def _box(box: Any, where: str) -> Box:
    x1, y1, x2, y2 = _numbers(box, 4, where, least=-FARTHEST)
    if x2 < x1 or y2 < y1:
        raise ValueError(f"{where}: {box} is inverted")
    return x1, y1, x2, y2


def _numbers(value: Any, count: int, where: str, least: float) -> tuple[float, ...]:
    plain = isinstance(value, list) and all(type(number) in (int, float) for number in value)
    if not plain or len(value) != count or not all(least <= number <= FARTHEST for number in value):
        raise ValueError(f"{where}: {str(value)[:80]} is not {count} numbers from {least} to {FARTHEST}")
    return tuple(map(float, value))


def _file_name(step: dict[str, Any], where: str) -> str:
    name = _field(step, "screenshot", str, where).rpartition("/")[2]
    if not re.fullmatch(r"\w[\w.\-]{0,200}", name):
        raise ValueError(f"{where}.screenshot: {name[:80]!r} is no file name")
    return name


def _field(mapping: dict[str, Any], name: str, kind: type, where: str = "") -> Any:
    value = mapping.get(name)
    if type(value) is not kind:
        found = f"a {type(value).__name__}" if name in mapping else "missing"
        raise ValueError(f"{where}{'.' if where else ''}{name}: {found}, expected {kind.__name__}")
    return value

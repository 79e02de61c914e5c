"""Android in the Wild as it is published: one step per `tf.train.Example` in GZIP TFRecord files, read as a stream.

    steps = read_steps(sorted(folder.glob("general*")), read_split(folder / "general_texts_splits.json", "test"))

The steps of an episode follow each other, `step_id` counts them from 0. Each has a screenshot of raw pixels, detected
elements (text by OCR, icons by a classifier) and the action that a person took there.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import Image

from setaria.datasets_builders.gui.tfrecord import Values, parse_example, read_records
from setaria.rewards.gui.aitw import AitwAction, AitwActionType, AnnotationBox, Point


Kind = TypeVar("Kind", bytes, float, int)

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class AitwStep:
    """One step of an episode.

    Attributes:
        episode_id: as in the split files.
        goal: the instruction.
        step_id: number of the step in its episode, from 0.
        action: what was demonstrated, as recorded: neither taps nor swipes are snapped.
        boxes: (y, x, height, width) of the elements found on the screen, in fractions of it.
        texts: the text of each element, "" for an icon without.
        ui_types: "TEXT" or the name of an icon, of each element.
        height, width, channels: shape of the screenshot.
        pixels: its values, one byte each, row by row.
    """

    episode_id: str
    goal: str
    step_id: int
    action: AitwAction
    boxes: tuple[AnnotationBox, ...]
    texts: tuple[str, ...]
    ui_types: tuple[str, ...]
    height: int
    width: int
    channels: int
    pixels: bytes = field(repr=False)

    @property
    def image(self) -> Image.Image:
        """The screenshot in RGB, made anew at each access."""
        return Image.frombytes(MODES[self.channels], (self.width, self.height), self.pixels).convert("RGB")


def read_steps(files: Iterable[Path | str], episode_ids: Collection[str] | None = None) -> Iterator[AitwStep]:
    """Steps in the order of the files, all or those of `episode_ids`; one screenshot is in memory at a time.

    Raises:
        ValueError: naming the file, the record (from 0) and the feature that is missing or wrong.
    """
    for file in files:
        for number, payload in enumerate(read_records(file)):
            try:
                features = parse_example(payload)
                step = _step(features) if episode_ids is None or _text(features, "episode_id") in episode_ids else None
            except ValueError as error:
                raise ValueError(f"{file}: record {number}: {error}") from error
            if step is not None:
                yield step


def read_split(file: Path | str, split: str) -> frozenset[str]:
    """Episode ids of a split file, `{"train": [ids], "val": [ids], "test": [ids]}` as Auto-UI's are.

    AITW's own name the second "validation". ValueError names the file and the splits it has.
    """
    try:
        splits = json.loads(Path(file).read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: not JSON: {error}") from error
    if not isinstance(splits, dict) or split not in splits:
        found = ", ".join(splits) if isinstance(splits, dict) else f"a {type(splits).__name__}"
        raise ValueError(f"{file}: no split {split!r}, only {found}")
    ids = splits[split]
    if not isinstance(ids, list) or not all(isinstance(episode_id, str) for episode_id in ids):
        raise ValueError(f"{file}: split {split!r} is no list of episode ids, which are texts")
    return frozenset(ids)


def _step(features: dict[str, Values]) -> AitwStep:
    height, width, channels = (_one(features, f"image/{side}", int) for side in ("height", "width", "channels"))
    pixels = _one(features, "image/encoded", bytes)
    if channels not in MODES or height < 1 or width < 1 or len(pixels) != height * width * channels:
        raise ValueError(f"feature 'image/encoded' has {len(pixels)} bytes, not {height} x {width} x {channels}")
    boxes = _boxes(features)
    texts = _texts(features, "image/ui_annotations_text")
    ui_types = _texts(features, "image/ui_annotations_ui_types")
    if not len(boxes) == len(texts) == len(ui_types):
        raise ValueError(f"{len(boxes)} annotations have {len(texts)} texts and {len(ui_types)} types")
    return AitwStep(
        episode_id=_text(features, "episode_id"),
        goal=_text(features, "goal_info"),
        step_id=_one(features, "step_id", int),
        action=_action(features),
        boxes=boxes,
        texts=texts,
        ui_types=ui_types,
        height=height,
        width=width,
        channels=channels,
        pixels=pixels,
    )


def _action(features: dict[str, Values]) -> AitwAction:
    number = _one(features, "results/action_type", int)
    if number not in set(AitwActionType):
        known = ", ".join(f"{member.value} {member.name}" for member in AitwActionType)
        raise ValueError(f"feature 'results/action_type' is {number}, none of {known}")
    return AitwAction(
        AitwActionType(number),
        touch=_point(features, "results/yx_touch"),
        lift=_point(features, "results/yx_lift"),
        text=_text(features, "results/type_action"),
    )


def _boxes(features: dict[str, Values]) -> tuple[AnnotationBox, ...]:
    name = "image/ui_annotations_positions"
    positions = _all(features, name, float)
    if len(positions) % 4 or not all(map(math.isfinite, positions)):
        raise ValueError(f"feature {name!r} has {len(positions)} values, not four finite ones for each annotation")
    return tuple(zip(*[iter(positions)] * 4, strict=True))


def _point(features: dict[str, Values], name: str) -> Point:
    values = _all(features, name, float)
    if len(values) != 2 or not all(map(math.isfinite, values)):
        raise ValueError(f"feature {name!r} is {values[:4]}, not y and x")
    return values[0], values[1]


def _text(features: dict[str, Values], name: str) -> str:
    return _decoded(_one(features, name, bytes), name)


def _texts(features: dict[str, Values], name: str) -> tuple[str, ...]:
    return tuple(_decoded(value, name) for value in _all(features, name, bytes))


def _decoded(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"feature {name!r} is no UTF-8 text: {error}") from error


def _one(features: dict[str, Values], name: str, kind: type[Kind]) -> Kind:
    values = _all(features, name, kind)
    if len(values) != 1:
        raise ValueError(f"feature {name!r} has {len(values)} values, not 1")
    return values[0]


def _all(features: dict[str, Values], name: str, kind: type[Kind]) -> list[Kind]:
    values = features.get(name, [])
    wanted = [value for value in values if isinstance(value, kind)]
    if len(wanted) < len(values):
        raise ValueError(f"feature {name!r} holds values that are no {kind.__name__}")
    return wanted

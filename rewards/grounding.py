"""Rewards of the grounding agent: one entity per prompt, one box or None per reply.

    r = .5 format + .5 accuracy

    format      1 if the reply is one think and one answer (`grounding_answer`)
    accuracy    1 for None where the entity cannot be seen; where it can, by the best IoU with any gold box:
                step        1 from an IoU of .5, else 0, as the scorers have it
                soft        the IoU
                piecewise   twice the IoU, 1 from .5 (ours): graded below the step

The weights are TRL's `reward_weights`. A reply whose answer cannot be read, and a box that is empty or inverted, are
worth 0. Corners are not put in order: no other reader of boxes does, and the reward would teach what the evaluation
takes for nothing. Source: the two parts are the released reward's, whose faults `grounding_paper_exact` keeps.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from setaria.models.box_codec import BoxCodec, box_codec
from setaria.rewards.boxes import Box, best_iou
from setaria.rewards.completions import reply_text
from setaria.rewards.entity_matching import RIGHT_IOU
from setaria.rewards.grounding_answer import answer_text, parse_reply


Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Grade:
    """A reply beside gold.

    Attributes:
        readable: whether the reply has an answer.
        box: the answer, in pixels of the original image; `None`: not in the image, or not readable.
        groundable: whether gold has a box.
        iou: best IoU of `box` with any gold box; 0 if either is missing.
    """

    readable: bool
    box: Box | None
    groundable: bool
    iou: float

    @property
    def right(self) -> bool:
        """None where the entity cannot be seen, an IoU of .5 with any gold box where it can."""
        return self.iou >= RIGHT_IOU if self.groundable else self.readable and self.box is None


def grade_reply(
    reply: str, gold_boxes: Iterable[Box], codec: BoxCodec, image_size: Size, processed_size: Size | None = None
) -> Grade:
    """Grades a reply; no reply raises.

    Args:
        reply: text of the model.
        gold_boxes: in pixels of the original image; none if the entity cannot be seen.
        codec: of the model's family.
        image_size: (width, height) of the original image in pixels.
        processed_size: the size that the model saw, for a family that writes pixels of it.

    Raises:
        ValueError: where the family needs `processed_size` and it is missing.
    """
    golds = list(gold_boxes)
    answer = parse_reply(reply)
    box = answer.box(codec, image_size, processed_size) if answer else None
    return Grade(answer is not None, box, bool(golds), best_iou(box, golds) if box else 0.0)


def _step(iou: float) -> float:
    return float(iou >= RIGHT_IOU)


def _soft(iou: float) -> float:
    return iou


def _piecewise(iou: float) -> float:
    return min(iou / RIGHT_IOU, 1.0)


SHAPES = {"step": _step, "soft": _soft, "piecewise": _piecewise}


class GroundingRewards:
    """Two reward functions for one model family.

        GRPOTrainer(model, GroundingRewards("qwen3_vl").functions, GRPOConfig(reward_weights=[0.5, 0.5]), ...)

    They read these columns of the dataset:

        gold_boxes       boxes in pixels of the original image, an empty list for an entity that cannot be seen
        image_size       [width, height] of the original image
        processed_size   [width, height] that the model saw; only for a family that writes pixels of it (Qwen2.5-VL)

    Args:
        family: one of `setaria.models.box_codec.CODECS`.
        shape: `step`, `soft` or `piecewise`.

    Raises:
        ValueError: for another family or shape.
    """

    def __init__(self, family: str, shape: str = "step"):
        if shape not in SHAPES:
            raise ValueError(f"shape={shape!r}: one of {', '.join(SHAPES)} is allowed")
        self.family = family
        self.shape = shape
        self._codec = box_codec(family)

    @property
    def functions(self) -> list[Callable[..., list[float]]]:
        """`format` and `accuracy`."""
        return [self.format, self.accuracy]

    def format(self, completions: list, **columns: Any) -> list[float]:
        """1 for one think and one answer, whatever they say, else 0."""
        return [float(answer_text(reply_text(completion)) is not None) for completion in completions]

    def accuracy(
        self,
        completions: list,
        gold_boxes: Sequence[Sequence[Box]],
        image_size: Sequence[Size],
        processed_size: Sequence[Size] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """From 0 to 1, by None and IoU.

        Logs one value per reply, which TRL averages over processes and steps: `grounding/iou` and
        `grounding/right_groundable` of entities that can be seen, `grounding/right_none` of the others,
        `grounding/unreadable` of all. The table of completions gets the answer in original pixels as `box`.

        Raises:
            ValueError: if columns differ in length, or the family needs `processed_size` and there is no such column.
        """
        if self._codec.units is None and processed_size is None:
            raise ValueError(f"column processed_size is missing: {self.family} writes pixels of the processed image")
        seen: Sequence[Size | None] = [None] * len(completions) if processed_size is None else processed_size
        grades = [
            grade_reply(reply_text(completion), golds, self._codec, size, processed)
            for completion, golds, size, processed in zip(completions, gold_boxes, image_size, seen, strict=True)
        ]
        if log_metric is not None:
            for grade in grades:
                _log(grade, log_metric)
        if log_extra is not None:
            log_extra("box", [str(grade.box) if grade.readable else "unreadable" for grade in grades])
        return [SHAPES[self.shape](grade.iou) if grade.groundable else float(grade.right) for grade in grades]


def _log(grade: Grade, log_metric: Callable[[str, float], None]) -> None:
    log_metric("grounding/unreadable", float(not grade.readable))
    if grade.groundable:
        log_metric("grounding/iou", grade.iou)
        log_metric("grounding/right_groundable", float(grade.right))
    else:
        log_metric("grounding/right_none", float(grade.right))

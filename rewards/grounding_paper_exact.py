"""The reward that MAKAR's authors released, with its faults, to see them and to compare with.

    r = .5 format + .5 accuracy

    format      1 if the whole reply is <think>...</think><answer>...</answer>, white space allowed in between only;
                what stands in the tags, more tags for instance, does not matter
    accuracy    1 if the first <answer>[n, n, n, n]</answer> anywhere has gold's numbers or an IoU of .5 with gold

So None is never right, not even where gold is None; an answer inside the thought counts; of several answers that are
boxes the first counts; a line break around the reply costs the format; a box with swapped corners, which the release
means to sort, is empty; equal numbers are right even if the box is empty. `.5` is no number.
Numbers are compared as written, in the family's units. Source: `reason_grounding.py` of the released code; this is
written anew from its measured behaviour.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from setaria.models.box_codec import box_codec
from setaria.rewards.boxes import Box, iou
from setaria.rewards.completions import reply_text


Size: TypeAlias = tuple[int, int]

FORM = re.compile(r"<think>.*</think>\s*<answer>.*</answer>", re.DOTALL)
ANSWER = re.compile(r"<answer>\s*\[\s*" + r"\s*,\s*".join([r"(-?\d+(?:\.\d*)?)"] * 4) + r"\s*\]\s*</answer>")
RIGHT_IOU = 0.5


def paper_format(reply: str) -> float:
    """1 for the form, else 0."""
    return float(FORM.fullmatch(reply) is not None)


def paper_accuracy(reply: str, gold: str) -> float:
    """1 if the box of the reply is right, else 0.

    Args:
        reply: text of the model.
        gold: text with its answer in the same tags; without them nothing is right.
    """
    said, meant = _first_box(reply), _first_box(gold)
    if said is None or meant is None:
        return 0.0
    return float(said == meant or iou(said, meant) >= RIGHT_IOU)


class PaperExactRewards:
    """The two reward functions on the columns of `setaria.rewards.grounding.GroundingRewards`.

    Gold is the first gold box in the family's numbers, or None, in answer tags (the released data hold one box).

    Args:
        family: one of `setaria.models.box_codec.CODECS`.

    Raises:
        ValueError: for another family.
    """

    def __init__(self, family: str):
        self._codec = box_codec(family)

    @property
    def functions(self) -> list[Callable[..., list[float]]]:
        """`format` and `accuracy`."""
        return [self.format, self.accuracy]

    def format(self, completions: list, **columns: Any) -> list[float]:
        """`paper_format` of each reply."""
        return [paper_format(reply_text(completion)) for completion in completions]

    def accuracy(
        self,
        completions: list,
        gold_boxes: Sequence[Sequence[Box]],
        image_size: Sequence[Size],
        processed_size: Sequence[Size] | None = None,
        **columns: Any,
    ) -> list[float]:
        """`paper_accuracy` of each reply.

        Raises:
            ValueError: for a gold box outside its image, and where the family needs `processed_size` and it is
                missing.
        """
        seen: Sequence[Size | None] = [None] * len(completions) if processed_size is None else processed_size
        return [
            paper_accuracy(reply_text(completion), self._gold(golds, size, processed))
            for completion, golds, size, processed in zip(completions, gold_boxes, image_size, seen, strict=True)
        ]

    def _gold(self, boxes: Sequence[Box], image_size: Size, processed_size: Size | None) -> str:
        answer = list(self._codec.encode(boxes[0], image_size, processed_size)) if boxes else None
        return f"<answer>{answer}</answer>"


def _first_box(text: str) -> Box | None:
    found = ANSWER.search(text)
    if found is None:
        return None
    x1, y1, x2, y2 = map(float, found.groups())
    return x1, y1, x2, y2

"""How well an action matches the gold action: IoU of the boxes and text, as Mobile3M's users report them.

The published numbers are mean IoU and text accuracy over steps, and the share of tasks all of whose steps are right;
no definition was released. Ours, with the predecessor's mean IoU:

    iou    IoU of the boxes of two actions of one type; for types without a box 1 if the actions are equal, else 0
    text   the gold reference text is part of the predicted one, a scroll has the same direction, an input the value
"""

from dataclasses import dataclass

from setaria.rewards.boxes import center, contains, iou
from setaria.rewards.gui.actions import Action, Click, Input, LongPress, Scroll


RIGHT_IOU = 0.5


@dataclass(frozen=True)
class StepScore:
    """How well one action matches."""

    iou: float
    text: bool

    @property
    def box(self) -> bool:
        """Whether the boxes match at an IoU of .5 (ours: the threshold is not published)."""
        return self.iou >= RIGHT_IOU

    @property
    def both(self) -> bool:
        """Whether box and text match."""
        return self.box and self.text


WRONG = StepScore(0.0, False)


def step_score(gold: Action, predicted: Action | None) -> StepScore:
    """Score of a predicted action; `None` is a reply that was no action.

    A predicted point counts as the whole gold box if it lies in it; so does the gold box itself, were it empty.
    """
    if predicted is None or type(gold) is not type(predicted):
        return WRONG
    if not isinstance(gold, Click | LongPress | Input | Scroll):
        return StepScore(float(gold == predicted), gold == predicted)
    assert isinstance(predicted, Click | LongPress | Input | Scroll)
    point = predicted.box[:2] == predicted.box[2:]
    inside = predicted.box == gold.box or (point and contains(gold.box, *center(predicted.box)))
    return StepScore(1.0 if inside else iou(gold.box, predicted.box), _same_text(gold, predicted))


def _same_text(gold: Action, predicted: Action) -> bool:
    match gold, predicted:
        case Scroll(direction=direction), Scroll(direction=other):
            return direction == other
        case Input(text=text, value=value), Input(text=other, value=typed):
            return text in other and value == typed
        case (Click(text=text), Click(text=other)) | (LongPress(text=text), LongPress(text=other)):
            return text in other
    return False

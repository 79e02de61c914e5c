r"""MobileVLM's scorer of Auto-UI data (XiaoMi/mobilevlm, test_515/test_515_autoui.py), which differs from AITW's rule.

The scorer compares texts: gold is written as `click(<ref></ref><box>[a,b][c,d]</box>)`,
`scroll(<box>[a,b][c,d]</box>, left)`, `type(text)`, `special_action(PRESS_BACK)` or `STATUS_TASK_COMPLETE`, and the
reply is searched for the same. Its properties, kept although some surprise:

- [y, x] is read as [x, y], on a canvas of 412 x 732: a swipe up is written as left, left as up, and so on;
- touch and lift on the same pixel are a click, all else is a scroll; of a diagonal the x of the screen decides;
- clicks match if their first corners are at most 0.14 apart; annotation boxes are not looked at;
- scrolls match by direction, which must follow `</box>,` and a space;
- typed text scores 1 if gold contains it, so also if it is empty, and else the F1 of the two sets of words;
- gold STATUS_TASK_COMPLETE scores 1 whatever the reply is, which inflates the mean;
- the first of click, scroll, type that occurs in both texts decides how they are compared, also where it is part of
  a typed text: typing "click here" scores 0 against itself.

A gold STATUS_TASK_IMPOSSIBLE has no such text; the step does not count. Swipes and taps are meant to be snapped as in
Auto-UI's targets (`setaria.rewards.gui.auto_ui.snap_swipe`).
"""

import math
import re
from collections.abc import Callable, Iterable

from setaria.rewards.gui.aitw import TAP_DISTANCE, AitwAction, AitwActionType, Point, without_quotes


CANVAS = (412, 732)
# What is compared of two texts that both contain the word.
COMPARED = {
    "click": re.compile(r"\[(\d{1,9}),(\d{1,9})\]\[\d+,\d+\]"),
    "scroll": re.compile(r"scroll.*</box>,\s(\w+)\)"),
    "type": re.compile(r"type\((.*)\)"),
}


def words(text: str) -> list[str]:
    """Words of letters and digits; the original takes spaCy's en_core_web_sm without punctuation and stop words."""
    return re.findall(r"\w+", text)


def mobilevlm_auto_ui_score(
    gold: AitwAction, predicted: AitwAction | None, tokenize: Callable[[str], Iterable[str]] = words
) -> float | None:
    """Score in [0, 1] of a predicted action, written as MobileVLM would have; arguments as of `score_reply`.

    None stands for a reply that is no action: 0, or 1 if gold is STATUS_TASK_COMPLETE.
    """
    return score_reply(gold, "" if predicted is None else mobilevlm_text(predicted), tokenize)


def score_reply(gold: AitwAction, reply: str, tokenize: Callable[[str], Iterable[str]] = words) -> float | None:
    """Score in [0, 1] of a reply in MobileVLM's text form; None if gold is STATUS_TASK_IMPOSSIBLE: no score.

    Args:
        gold: the demonstrated action.
        reply: what the model wrote.
        tokenize: the words of a lower-case text, for typed texts; spaCy's give the published numbers.
    """
    if gold.type == AitwActionType.STATUS_TASK_IMPOSSIBLE:
        return None
    if gold.type == AitwActionType.STATUS_TASK_COMPLETE:
        return 1.0
    wanted = mobilevlm_text(gold)
    kind = next((kind for kind in COMPARED if kind in wanted and kind in reply), None)
    if kind is None:
        return float(wanted == reply)
    found = [match for text in (wanted, reply) if (match := COMPARED[kind].search(text))]
    if len(found) < 2:
        return 0.0
    if kind == "click":
        return float(math.dist(_corner(found[0]), _corner(found[1])) <= TAP_DISTANCE)
    if kind == "scroll":
        return float(found[0][1] == found[1][1])
    return _text_score(found[0][1].lower(), found[1][1].lower(), tokenize)


def mobilevlm_text(action: AitwAction) -> str:
    """`action` in the text form above, [y, x] taken for [x, y]."""
    if action.type == AitwActionType.TYPE:
        return f"type({without_quotes(action.text)})"
    if action.type in (AitwActionType.STATUS_TASK_COMPLETE, AitwActionType.STATUS_TASK_IMPOSSIBLE):
        return action.type.name
    if action.type != AitwActionType.DUAL_POINT:
        return f"special_action({action.type.name})"
    touch, lift = _pixel(action.touch), _pixel(action.lift)
    box = f"<box>[{touch[0]},{touch[1]}][{lift[0]},{lift[1]}]</box>"
    if touch == lift:
        return f"click(<ref></ref>{box})"
    if touch[1] != lift[1]:
        return f"scroll({box}, {'up' if touch[1] > lift[1] else 'down'})"
    return f"scroll({box}, {'left' if touch[0] > lift[0] else 'right'})"


def _pixel(point: Point) -> tuple[int, int]:
    return int(point[0] * CANVAS[0]), int(point[1] * CANVAS[1])


def _corner(box: re.Match) -> tuple[float, float]:
    return int(box[1]) / CANVAS[0], int(box[2]) / CANVAS[1]


def _text_score(wanted: str, typed: str, tokenize: Callable[[str], Iterable[str]]) -> float:
    if typed in wanted:
        return 1.0
    wanted_words, typed_words = set(tokenize(wanted)), set(tokenize(typed))
    return 2 * len(wanted_words & typed_words) / max(len(wanted_words) + len(typed_words), 1)

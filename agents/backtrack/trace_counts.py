"""What became of the steps of a trace: repaired, unrepaired, broken, and what the judgments missed.

The paper splits the flagged actions by what the rewrites made of them. A first attempt is flagged if it was not
accepted; an attempt is wrong if gold is known and it does not match, or names no action at all:

    first attempt    flagged, wrong stood   flagged, right stood   not flagged
    wrong            unrepaired             repaired               unnoticed
    right            broken                 false alarm            right
"""

from collections import Counter
from typing import Any


def step_verdict(step: dict[str, Any]) -> str | None:
    """`right`, `repaired`, `unrepaired`, `broken`, `false alarm` or `unnoticed`; `None` where gold is not known."""
    if not step["attempts"]:
        return None
    first, stood = step["attempts"][0], step["attempts"][step["accepted"]]
    was_right, is_right = _right(step, first), _right(step, stood)
    if was_right is None or is_right is None:
        return None
    flagged = not first["accepted"]
    if is_right:
        return ("false alarm" if flagged else "right") if was_right else "repaired"
    return "broken" if was_right else ("unrepaired" if flagged else "unnoticed")


def count_episode(episode: dict[str, Any]) -> Counter[str]:
    """Counts that can be added up over episodes.

    `episodes`, `succeeded`, `failed` (neither where success is not known), `steps`, `backtracked` (steps with more
    than one attempt), `reflections`, and the verdicts of the steps.
    """
    counts = Counter(episodes=1, steps=len(episode["steps"]))
    if episode["end"]["success"] is not None:
        counts["succeeded" if episode["end"]["success"] else "failed"] += 1
    for step in episode["steps"]:
        counts["backtracked"] += len(step["attempts"]) > 1
        counts["reflections"] += sum(attempt["role"] == "reflector" for attempt in step["attempts"])
        if verdict := step_verdict(step):
            counts[verdict] += 1
    return counts


def _right(step: dict[str, Any], attempt: dict[str, Any]) -> bool | None:
    if not step["gold"]:
        return None
    return attempt["gold_match"] if attempt["action"] else False

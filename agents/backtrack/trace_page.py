"""The trace page: one HTML file without network in which the episodes of a run can be looked through.

Everything in a trace is text from outside. It reaches the page escaped and clipped, as text only. The one script of
the page is fixed, its hash is in the page's content security policy, and it reads nothing but the page's own elements.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jinja2
from markupsafe import Markup

from setaria.agents.backtrack.trace_counts import count_episode, step_verdict
from setaria.agents.backtrack.trace_screens import ScreenStore
from setaria.agents.backtrack.traces import read_traces
from setaria.agents.html_page import page_bytes, page_environment, page_script
from setaria.rewards.boxes import clip
from setaria.rewards.gui.actions import (
    ActionError,
    Click,
    Complete,
    Input,
    LongPress,
    Open,
    Press,
    Scroll,
    action_from_dict,
)


HERE = Path(__file__).parent
MOST_EPISODES = 100
MOST_BYTES = 32_000_000
# What surrounds the episodes: styles, script, numbers, filters and help.
SHELL_BYTES = 40_000
FILTERS = {
    "all": "All",
    "failed": "Failed",
    "succeeded": "Succeeded",
    "repaired": "Repaired",
    "broken": "Broken",
    "backtracked": "With backtracks",
}
ARROWS = {"up": "↑", "down": "↓", "left": "←", "right": "→"}

Place: TypeAlias = tuple[float, float, float, float, str]


@dataclass(frozen=True)
class TracePage:
    """A page that was written: its file and size in bytes, the episodes of the run and how many of them it shows."""

    file: Path
    size: int
    episodes: int
    shown: int


def write_trace_page(
    run: Path, output: Path, most_episodes: int = MOST_EPISODES, most_bytes: int = MOST_BYTES
) -> TracePage:
    """Write the page of the run in folder `run` to the file `output`.

    The numbers at its top are those of the whole run. Below are the first `most_episodes`, or as many as fit into
    `most_bytes`; the page says how many are not there.

    Raises:
        ValueError: naming file and line, if an episode cannot be read or has a screenshot outside `run`.
        OSError: if `run` has no `episodes.jsonl`, or `output` cannot be written.
    """
    if most_episodes < 1:
        raise ValueError(f"{most_episodes} episodes: a page shows at least one")
    environment = page_environment(HERE)
    fragments: Any = environment.get_template("trace_episode.html.jinja").module
    counts: Counter[str] = Counter()
    filtered: Counter[str] = Counter()
    entries: list[Markup] = []
    panels: list[Markup] = []
    screens = ScreenStore(run)
    uris: list[str] = []
    room = most_bytes - SHELL_BYTES
    for number, episode in enumerate(read_traces(run), 1):
        try:
            episode_counts = count_episode(episode)
            counts += episode_counts
            if len(panels) == most_episodes or room < 0:
                continue
            view = _episode(number, episode, episode_counts, screens)
            entry, panel = fragments.entry(view), fragments.panel(view)
        except (ValueError, TypeError, LookupError, ArithmeticError, jinja2.UndefinedError) as error:
            raise ValueError(f"{run / 'episodes.jsonl'}:{number}: {_reason(error)}") from None
        added = [entry, panel, *screens.uris[len(uris) :]]
        room -= sum(len(page_bytes(text)) + 50 for text in added)
        if room >= 0:
            entries.append(entry)
            panels.append(panel)
            uris = list(screens.uris)
            filtered.update(view["kinds"])
    page = environment.get_template("trace_page.html.jinja").render(
        name=run.resolve().name,
        counts=counts,
        filters=[(kind, label, filtered[kind]) for kind, label in FILTERS.items()],
        entries=entries,
        panels=panels,
        uris=uris,
        full=room < 0,
        megabytes=most_bytes / 1e6,
        **page_script(HERE / "trace_page.js"),
    )
    output.write_bytes(page_bytes(page))
    return TracePage(output, len(page_bytes(page)), counts["episodes"], len(panels))


def _episode(number: int, episode: dict[str, Any], counts: Counter[str], screens: ScreenStore) -> dict[str, Any]:
    """What the templates show of an episode."""
    end = episode["end"]
    return {
        **{field: episode[field] for field in ("episode", "instruction", "app")},
        "number": number,
        "success": end["success"],
        "kinds": ["all", *(kind for kind in FILTERS if counts[kind])],
        "counts": counts,
        "steps": [_step(step, screens) for step in episode["steps"]],
        "end": {**end, "screen": _screen(end["page"], screens)},
        "data": {name: _as_text(episode[name]) for name in ("agent", "task") if name in episode},
    }


def _step(step: dict[str, Any], screens: ScreenStore) -> dict[str, Any]:
    attempts = [
        _attempt(number, attempt, number - 1 == step["accepted"], screens)
        for number, attempt in enumerate(step["attempts"], 1)
    ]
    stood = next((attempt for attempt in attempts if attempt["stood"]), None)
    return {
        "screen": _screen(step["page"], screens),
        "gold": _words(step["gold"]) if step["gold"] else None,
        "attempts": attempts,
        "stood": stood,
        "verdict": step_verdict(step),
        "stood_marks": _marks([stood] if stood else [], None, step["page"]["size"]),
        "marks": _marks(attempts, step["gold"], step["page"]["size"]),
        "seconds": sum(attempt["seconds"] for attempt in attempts),
    }


def _attempt(number: int, attempt: dict[str, Any], stood: bool, screens: ScreenStore) -> dict[str, Any]:
    action, outcome = attempt["action"], attempt["outcome"]
    return {
        **attempt,
        "number": number,
        "stood": stood,
        "words": _words(action) if action else None,
        "observed": _observed(attempt),
        "screen": _screen(outcome["page"], screens) if outcome else None,
    }


def _observed(attempt: dict[str, Any]) -> str:
    """What the verifier had to go by, in words."""
    outcome = attempt["outcome"]
    if not outcome:
        return attempt["error"] or "not executed"
    valid = {True: "valid", False: "not valid", None: "validity unknown"}[outcome["valid"]]
    facts = f"{valid}, page {'changed' if outcome['changed'] else 'unchanged'}"
    return ": ".join(filter(None, (facts, outcome["reason"], attempt["error"])))


def _screen(page: dict[str, Any] | None, screens: ScreenStore) -> dict[str, Any]:
    if page is None:  # lost before anything was seen
        return {"id": "none", "width": 9, "height": 16, "number": None}
    width, height = page["size"]
    if not (0 < width < 1e5 and 0 < height < 1e5):
        raise ValueError(f"page of size {width} x {height}")
    return {"id": page["id"], "width": width, "height": height, "number": screens.number(page)}


def _marks(attempts: list[dict[str, Any]], gold: dict[str, Any] | None, size: list[int]) -> list[dict[str, Any]]:
    """Boxes on a screen, in percent of it, the ones on top last; attempts at one place share a box.

    `tag` moves the number of an attempt aside where the corner of another box would hide it.
    """
    places: dict[Place, list[dict[str, Any]]] = {}
    for attempt in attempts:
        if place := attempt["action"] and _place(attempt["action"], size):
            places.setdefault(place, []).append(attempt)
    marks: list[dict[str, Any]] = []
    for place, tried in places.items():
        marks.append(
            {
                "kind": "stood" if any(attempt["stood"] for attempt in tried) else "discarded",
                "label": " ".join(str(attempt["number"]) for attempt in tried),
                "place": place,
                "tag": sum(_corners_are_near(place, mark["place"]) for mark in marks),
            }
        )
    marks.sort(key=lambda mark: mark["kind"] == "stood")
    if place := gold and _place(gold, size):
        marks.append({"kind": "gold", "label": "gold", "place": place, "tag": 0})
    return marks


def _corners_are_near(place: Place, other: Place) -> bool:
    return abs(place[0] - other[0]) < 10 and abs(place[1] - other[1]) < 4


def _place(action: dict[str, Any], size: list[int]) -> Place | None:
    """Left, top, width and height in percent and the arrow of a scroll; `None` for an action without a place."""
    try:
        done = action_from_dict(action)
    except ActionError:
        return None
    if not isinstance(done, Click | LongPress | Input | Scroll):
        return None
    width, height = size
    x1, y1, x2, y2 = clip(done.box, (width, height))
    arrow = ARROWS[done.direction] if isinstance(done, Scroll) else ""
    return 100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height, arrow


def _words(action: dict[str, Any]) -> tuple[str, str]:
    """An action in words: its name and the rest."""
    try:
        done = action_from_dict(action)
    except ActionError as error:
        return "no action", str(error)
    name = str(action["type"]).replace("_", " ")
    match done:
        case Click(box, text) | LongPress(box, text):
            return name, f"“{text}”" if text else f"at {box[0]:.0f}, {box[1]:.0f}"
        case Input(_, text, value):
            return name, f"“{value}”" + (f" into “{text}”" if text else "")
        case Scroll(_, direction):
            return name, direction
        case Press(key):
            return name, key
        case Open(app):
            return name, f"“{app}”"
        case Complete(success):
            return name, "" if success else "as impossible"
        case _:
            return name, ""


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _reason(error: Exception) -> str:
    return f"no {error} in it" if isinstance(error, KeyError) else str(error)

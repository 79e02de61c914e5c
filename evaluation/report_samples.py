"""Samples of the report page: which items are shown, how much of their texts, and how little space they take.

Of each task the first items by id are shown, which nobody chose, and then those on which the settings differ most. A
text that several settings share, as with a lossless drafter, is kept once.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from setaria.evaluation.items import Item, finished_file, read_items
from setaria.evaluation.results import Results


MOST_CHARACTERS = 2000


def task_samples(run: Path, results: Results, task: str, most: int) -> tuple[dict[str, Any], list[str]]:
    """At most `most` items of a task in every setting, as the page's script reads them, and lines that were cut.

    Returns:
        `{task, metrics, total, first, items}`, an item being `{id, prompt, target, texts, said, scores}`: per setting,
        `said` has the place in `texts` and `scores` the values of `metrics`, or `None` where it was not done.

    Raises:
        ValueError: naming file and line, if items cannot be read.
    """
    done: list[dict[str, Item]] = []
    cut = []
    for setting in results.settings:
        file = finished_file(run, setting.name, task)
        if not file.exists():
            done.append({})
            continue
        read = read_items(file)
        done.append({item.id: item for item in read.items})
        if read.cut:
            cut.append(read.cut)
    metrics = [metric.name for metric in results.metrics if metric.task == task]
    ids = sorted({name for items in done for name in items})
    first = ids[: (most + 1) // 2]
    others = sorted(ids[len(first) :], key=lambda name: _difference([items.get(name) for items in done]), reverse=True)
    shown = first + others[: most - len(first)]
    return {
        "task": task,
        "metrics": metrics,
        "total": len(ids),
        "first": len(first),
        "items": [_sample([items.get(name) for items in done], metrics) for name in shown],
    }, cut


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """The begin and the end of a text, at most that many characters, and how many are left out between them."""
    if len(text) <= most:
        return text
    begin, end = text[: most * 2 // 3], text[len(text) - most // 3 :]
    return f"{begin} … {len(text) - len(begin) - len(end)} more characters … {end}"


def _sample(items: Sequence[Item | None], metrics: Sequence[str]) -> dict[str, Any]:
    some = next(item for item in items if item)
    texts = list(dict.fromkeys(item.prediction for item in items if item))
    return {
        "id": clipped(some.id, 100),
        "prompt": clipped(some.prompt),
        "target": clipped(some.target),
        "texts": [clipped(text) for text in texts],
        "said": [texts.index(item.prediction) if item else None for item in items],
        "scores": [[item.scores.get(name) for name in metrics] if item else None for item in items],
    }


def _difference(items: Sequence[Item | None]) -> tuple[float, int]:
    """How far the settings are apart on an item: in their scores, and then in what they say."""
    there = [item for item in items if item]
    names = {name for item in there for name in item.scores}
    spread = sum(statistics.pstdev([item.scores.get(name, 0.0) for item in there]) for name in names)
    return spread, len({item.prediction for item in there})

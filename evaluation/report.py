"""The report: one HTML file without network that shows what an evaluation found and the trade-off between settings.

Names, texts of items and configuration come from outside. They reach the page escaped and clipped, as text only. The
one script of the page is fixed, its hash is in the page's content security policy, and it reads nothing but the page.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from setaria.agents.html_page import page_environment, page_script
from setaria.evaluation.report_headline import headline, timed_metrics
from setaria.evaluation.report_samples import MOST_CHARACTERS, clipped, task_samples
from setaria.evaluation.report_settings import Look, groups_of, looks_of, marked_groups
from setaria.evaluation.results import Results, write_atomically
from setaria.evaluation.scores import Metric, Score
from setaria.evaluation.wording import as_number


HERE = Path(__file__).parent
MOST_SAMPLES = 24
MOST_BYTES = 12_000_000
SCRIPTS = ("report.js", "report_plots.js", "report_table.js", "report_samples.js")
PATHS = {
    "generation": "generated",
    "teacher_forced": "teacher-forced",
    "no_cache": "without a cache",
    "timing": "timed",
}


@dataclass(frozen=True)
class ReportPage:
    """A page that was written: its file, its size in bytes, and how many samples it shows."""

    file: Path
    size: int
    samples: int


def write_report(
    run: Path, output: Path | None = None, most_samples: int = MOST_SAMPLES, most_bytes: int = MOST_BYTES
) -> ReportPage:
    """Write the page of the run in folder `run`, to `report.html` in it if not told otherwise.

    Args:
        most_samples: per task.
        most_bytes: of all samples; tasks that do not fit have fewer, and the page says how many are not shown.

    Raises:
        ValueError: naming the file and what is wrong, if results or items cannot be read.
        OSError: if there are no results, or the page cannot be written.
    """
    if most_samples < 0:
        raise ValueError(f"most_samples={most_samples}: 0 or more")
    results = Results.read(run)
    samples, cut = _samples(run, results, most_samples, most_bytes)
    looks, groups = looks_of(results.settings), groups_of(results.settings)
    environment = page_environment(HERE)
    environment.filters |= {"clip": clipped, "number": as_number, "pretty": _pretty, "breakable": _breakable}
    page = environment.get_template("report.html.jinja").render(
        name=run.resolve().name,
        results=results,
        headline=headline(results, looks),
        looks=looks,
        groups=groups,
        marked=[group.name for group in marked_groups(groups)],
        cells=[[results.score(setting, metric) for metric in results.metrics] for setting in results.settings],
        best=[results.best(metric) for metric in results.metrics],
        cards=[_card(results, metric) for metric in results.metrics],
        created=_moment(results.created),
        notes=[*results.notes, *cut],
        paths=PATHS,
        items=_items(results.scores),
        samples=samples,
        most_characters=MOST_CHARACTERS,
        data=_data(results, looks, samples),
        **page_script(*(HERE / name for name in SCRIPTS)),
    )
    file = output or run / "report.html"
    write_atomically(file, page)
    return ReportPage(file, file.stat().st_size, sum(len(task["items"]) for task in samples))


def _samples(run: Path, results: Results, most: int, most_bytes: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Samples of the tasks in which something was said, within `most_bytes`, and lines that were cut short."""
    samples, cut = [], []
    for task in results.tasks:
        found, lines = task_samples(run, results, task, most)
        cut += lines
        if not any(any(item["texts"]) for item in found["items"]):
            continue
        sizes = [len(json.dumps(item)) for item in found["items"]]
        kept = next((place for place in range(len(sizes)) if sum(sizes[: place + 1]) > most_bytes), len(sizes))
        most_bytes -= sum(sizes[:kept])
        found["items"] = found["items"][:kept]
        found["first"] = min(found["first"], kept)
        samples.append(found)
    return samples, cut


def _data(results: Results, looks: Sequence[Look], samples: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page's script draws from."""
    scores = [
        [_interval(results.score(setting, metric)) for metric in results.metrics] for setting in results.settings
    ]
    timed = timed_metrics(results)
    return {
        "settings": [
            {"name": setting.name, "label": look.label, "bits": setting.true_bits, **asdict(look)}
            for setting, look in zip(results.settings, looks, strict=True)
        ],
        "metrics": [{**asdict(metric), "timed": metric in timed} for metric in results.metrics],
        "scores": scores,
        "samples": samples,
    }


def _interval(score: Score | None) -> tuple[float, float | None, float | None] | None:
    return (score.value, score.low, score.high) if score else None


def _card(results: Results, metric: Metric) -> dict[str, Any]:
    """Bars of a metric: left end, length and interval in percent of the width, on an axis that holds zero."""
    scores = [results.score(setting, metric) for setting in results.settings]
    there = [score for score in scores if score]
    numbers = [one for score in there for one in (score.value, score.low, score.high) if one is not None]
    least, most = min([0.0, *numbers]), max([0.0, *numbers])
    width = (most - least) or 1.0

    def share(value: float) -> float:
        return 100 * (value - least) / width

    def bar(score: Score | None) -> dict[str, Any] | None:
        if score is None:
            return None
        ends = None if score.low is None or score.high is None else (share(score.low), share(score.high))
        sides = sorted((share(0), share(score.value)))
        return {"score": score, "left": sides[0], "width": sides[1] - sides[0], "interval": ends}

    return {
        "metric": metric,
        "bars": [bar(score) for score in scores],
        "paths": list(dict.fromkeys(score.path for score in there)),
        "counted": _counted(there),
    }


def _counted(scores: Sequence[Score]) -> str:
    """How many items or timed runs a metric is from."""
    if not scores:
        return "not measured"
    least, most = min(score.items for score in scores), max(score.items for score in scores)
    word = "run" if scores[0].path == "timing" else "item"
    return f"{least if least == most else f'{least} to {most}'} {word}{'' if most == 1 else 's'}"


def _items(scores: Sequence[Score]) -> int:
    """Items that were done in all settings together."""
    counted = {(score.setting, score.task): score.items for score in scores if score.path != "timing"}
    return sum(counted.values())


def _moment(created: str) -> str:
    """ISO 8601 as people read it, to the minute; other text as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def _breakable(text: str) -> Markup:
    """A name that may be broken into lines after its underscores."""
    return Markup("_<wbr>").join(text.split("_"))


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)

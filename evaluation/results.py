"""What an evaluation found: settings of a grid, metrics of tasks, and one score for each pair that was measured.

RUN/results.json    everything, with `"schema": "setaria.eval/1"`
RUN/results.csv     one row per score
RUN/model_card.md   a table for a model card

Each file is replaced in one step, so a crash leaves the old or the new one.
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from setaria.evaluation.items import slug
from setaria.evaluation.scores import Metric, Score, Setting
from setaria.evaluation.wording import as_cell, as_number


SCHEMA = "setaria.eval/1"
MOST_BYTES = 256_000_000
PACKAGES = ("setaria", "torch", "transformers", "peft", "lm_eval")  # named in a model card
CSV_SETTING = ("name", "checkpoint", "adapter", "cache", "drafter", "true_bits")
CSV_METRIC = ("task", "name", "unit", "higher_is_better")
CSV_SCORE = ("value", "low", "high", "items", "path")
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Results:
    """All that a run found.

    Attributes:
        notes: what a reader must know: what was skipped, halved or dropped.
        config: as resolved, plain JSON.
        versions: package -> version.
        machine: what it ran on.
        created: ISO 8601, UTC.
    """

    settings: tuple[Setting, ...]
    metrics: tuple[Metric, ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    created: str = ""

    def __post_init__(self):
        for name in ("settings", "metrics", "scores", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("config", "versions", "machine"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(f"{name}={getattr(self, name)!r}: a mapping is expected")
        for text in (*self.notes, *self.versions.values(), self.created):
            if not isinstance(text, str):
                raise ValueError(f"{text!r} in notes, versions or created: a text is expected")
        _check_unique("settings", [one.slug for one in self.settings])
        _check_unique("metrics", [one.key for one in self.metrics])
        _check_unique("tasks", [slug(task) for task in self.tasks])
        _check_unique("scores", [(one.setting, one.task, one.metric) for one in self.scores])
        settings, metrics = {one.name for one in self.settings}, {one.key for one in self.metrics}
        for score in self.scores:
            if score.setting not in settings:
                raise ValueError(f"scores: setting {score.setting!r} is not among the settings")
            if (score.task, score.metric) not in metrics:
                raise ValueError(f"scores: {score.task} / {score.metric} is not among the metrics")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks in the order of their first metric."""
        return tuple(dict.fromkeys(metric.task for metric in self.metrics))

    def score(self, setting: Setting, metric: Metric) -> Score | None:
        """The score of a setting in a metric; `None` if it was not measured."""
        wanted = (setting.name, *metric.key)
        return next((one for one in self.scores if (one.setting, one.task, one.metric) == wanted), None)

    def best(self, metric: Metric) -> set[str]:
        """Names of the settings with the best value; none if all settings tie or only one was measured."""
        found = {one.setting: one.value for one in self.scores if (one.task, one.metric) == metric.key}
        if len(set(found.values())) < 2:
            return set()
        top = max(found.values()) if metric.higher_is_better else min(found.values())
        return {name for name, value in found.items() if value == top}

    def write(self, folder: Path) -> None:
        """Write the three files into `folder`.

        Raises:
            ValueError: if `config` or `machine` hold what JSON cannot.
            OSError: naming the file that cannot be written.
        """
        try:
            text = json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"results are no plain JSON: {error}") from None
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "results.csv", _as_csv(self))
        write_atomically(folder / "model_card.md", _as_model_card(self))
        write_atomically(folder / "results.json", text + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Read `results.json` of a run.

        Raises:
            ValueError: naming the file and what is wrong: cut short, too large, of another schema, of another form.
            OSError: if it is not there.
        """
        file = folder / "results.json"
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"{file}: larger than {MOST_BYTES} bytes")
        try:
            data = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{file}: cut short or no JSON ({error}); the same evaluation started again writes it from its items"
            ) from None
        schema = data.pop("schema", None) if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise ValueError(f"{file}: schema {schema!r}, not {SCHEMA!r}")
        try:
            for name, kind in (("settings", Setting), ("metrics", Metric), ("scores", Score)):
                data[name] = [_built(kind, one, f"{name}[{place}]") for place, one in enumerate(data.get(name, ()))]
            return _built(cls, data, "results")
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}: {error}") from None


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` in one step, so that a crash leaves the old or the new text; lone surrogates become "?"."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(text.encode(errors="replace"))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _built(kind: type[Kind], data: Any, where: str) -> Kind:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(data, dict) or not set(data) <= known:
        named = sorted(map(str, set(data) - known)) if isinstance(data, dict) else data
        raise ValueError(f"{where}: {named!r} is not known; an object with {', '.join(sorted(known))} is expected")
    try:
        return kind(**data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None


def _as_csv(results: Results) -> str:
    settings, metrics = {one.name: one for one in results.settings}, {one.key: one for one in results.metrics}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["setting", *CSV_SETTING[1:], "task", "metric", *CSV_METRIC[2:], *CSV_SCORE])
    for score in results.scores:
        setting, metric = settings[score.setting], metrics[score.task, score.metric]
        columns = ((setting, CSV_SETTING), (metric, CSV_METRIC), (score, CSV_SCORE))
        rows.writerow([getattr(one, name) for one, names in columns for name in names])
    return text.getvalue()


def _as_model_card(results: Results) -> str:
    """Settings down, metrics across; the best of each metric is bold."""
    heads = [f"{as_cell(one.task)}<br>{as_cell(one.name)} {one.arrow}" for one in results.metrics]
    lines = [
        "## Evaluation",
        "",
        f"| setting | true bits | {' | '.join(heads)} |",
        f"|---|{'---:|' * (1 + len(heads))}",
        *(f"| {' | '.join(_row(results, setting))} |" for setting in results.settings),
        "",
        "↑ higher is better, ↓ lower is better; the best is bold. In brackets: 95 % bootstrap intervals.",
    ]
    units = dict.fromkeys(f"{as_cell(one.name)}: {as_cell(one.unit)}" for one in results.metrics if one.unit)
    if units:
        lines += ["", f"Units: {', '.join(units)}."]
    if results.notes:
        lines += ["", *(f"- {as_cell(note)}" for note in results.notes)]
    packages = [f"{name} {as_cell(results.versions[name])}" for name in PACKAGES if name in results.versions]
    if packages:
        lines += ["", f"Measured {as_cell(results.created)} with {', '.join(packages)}."]
    return "\n".join(lines) + "\n"


def _row(results: Results, setting: Setting) -> list[str]:
    cells = [as_cell(setting.name), "" if setting.true_bits is None else as_number(setting.true_bits)]
    for metric in results.metrics:
        score = results.score(setting, metric)
        cells.append("" if score is None else _as_markdown(score, setting.name in results.best(metric)))
    return cells


def _as_markdown(score: Score, best: bool) -> str:
    value = f"**{as_number(score.value)}**" if best else as_number(score.value)
    if score.low is None or score.high is None:
        return value
    return f"{value} [{as_number(score.low)}, {as_number(score.high)}]"


def _check_unique(name: str, values: Iterable[Any]) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise ValueError(f"{name}: {twice[0]!r} is there twice")

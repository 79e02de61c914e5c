"""Two runs compared: what became worse comes first.

Settings are paired by name, then by cache and drafter; two runs of one setting each are always paired. A metric of
items is compared on the items that both runs have, with a bootstrap of the differences item by item (Koehn 2004); a
timing only by whether its intervals are apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from setaria.evaluation.items import Item, finished_file, read_items
from setaria.evaluation.means import mean_interval
from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Score, Setting
from setaria.evaluation.wording import as_cell, as_number


VERDICTS = ("worse", "unclear", "better", "same")
STYLES = {"worse": "bold red", "unclear": "", "better": "green", "same": "dim"}
CAVEAT = "Each interval is at 95 %: of twenty metrics that did not change, one is called worse or better by chance."
HEADS = (
    "verdict",
    "setting",
    "task",
    "metric",
    "before",
    "after",
    "change",
    "95 % interval",
    "items",
    "lost / gained",
)


@dataclass(frozen=True)
class Change:
    """A metric of a setting in both runs.

    Attributes:
        setting: its name in the first run.
        other: its name in the second run.
        before, after: means over the common items, or the timings.
        change: after minus before.
        low, high: 95 % interval of the change; `None` for timings and for a single item.
        items: common items; 0 for timings.
        lost, gained: items that are worse and that are better in the second run.
        verdict: "worse" or "better" if the interval is on one side of 0, or the intervals of the timings are apart;
            "same" if no item differs; else "unclear".
    """

    setting: str
    other: str
    metric: Metric
    before: float
    after: float
    change: float
    low: float | None
    high: float | None
    items: int
    lost: int
    gained: int
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Changes, worse ones first, and notes about what could not be compared."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What became worse."""
        return tuple(change for change in self.changes if change.verdict == "worse")

    def as_table(self) -> Table:
        """For a terminal."""
        table = Table(title=self._summary(), caption=CAVEAT)
        for head in HEADS:
            table.add_column(head, justify="left" if head in HEADS[:4] else "right")
        for change in self.changes:
            table.add_row(*map(Text, _row(change)), style=STYLES[change.verdict])
        return table

    def as_markdown(self) -> str:
        """A table, and below it the notes."""
        lines = [self._summary(), "", f"| {' | '.join(HEADS)} |", f"|{'---|' * 4}{'---:|' * (len(HEADS) - 4)}"]
        lines += [f"| {' | '.join(map(as_cell, _row(change)))} |" for change in self.changes]
        lines += ["", CAVEAT]
        lines += ["", *(f"- {as_cell(note)}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def _summary(self) -> str:
        counts = [sum(change.verdict == verdict for change in self.changes) for verdict in VERDICTS]
        return ", ".join(f"{count} {verdict}" for count, verdict in zip(counts, VERDICTS, strict=True))


def compare(before: Path, after: Path, seed: int = 0) -> Comparison:
    """Compare the run in folder `after` with the one in `before`.

    Raises:
        ValueError: naming the file and what is wrong in it, and if the runs have no setting or no metric in common.
        OSError: if a folder has no results.
    """
    first, second = Results.read(before), Results.read(after)
    pairs = _pairs(first.settings, second.settings)
    if not pairs:
        names = [", ".join(one.name for one in results.settings) or "none" for results in (first, second)]
        raise ValueError(f"no setting in common: {before} has {names[0]}; {after} has {names[1]}")
    metrics = [metric for metric in first.metrics if metric in second.metrics]
    if not metrics:
        raise ValueError(f"no metric in common: {before} and {after}")
    notes = _left_out(first, second, pairs, metrics)
    changes = []
    for setting, other in pairs:
        for task in dict.fromkeys(metric.task for metric in metrics):
            common, found = _common(finished_file(before, setting.name, task), finished_file(after, other.name, task))
            notes += found
            for metric in (metric for metric in metrics if metric.task == task):
                scores = first.score(setting, metric), second.score(other, metric)
                change = _paired(setting, other, metric, common, seed) or _unpaired(metric, *scores)
                if change:
                    changes.append(change)
    return Comparison(tuple(sorted(changes, key=_rank)), tuple(notes))


def _pairs(settings: Sequence[Setting], others: Sequence[Setting]) -> list[tuple[Setting, Setting]]:
    """Settings with one name; those left over with one cache and drafter, if only one on each side has them; and the
    only settings of two runs."""
    if len(settings) == len(others) == 1:
        return [(settings[0], others[0])]
    named = {other.name: other for other in others}
    pairs = {setting.name: named[setting.name] for setting in settings if setting.name in named}
    rest = [setting for setting in settings if setting.name not in pairs]
    other_rest = [other for other in others if other.name not in pairs]
    for setting in rest:
        alike = [one for one in rest if (one.cache, one.drafter) == (setting.cache, setting.drafter)]
        found = [one for one in other_rest if (one.cache, one.drafter) == (setting.cache, setting.drafter)]
        if len(alike) == len(found) == 1:
            pairs[setting.name] = found[0]
    return [(setting, pairs[setting.name]) for setting in settings if setting.name in pairs]


def _left_out(
    first: Results, second: Results, pairs: Sequence[tuple[Setting, Setting]], metrics: Sequence[Metric]
) -> list[str]:
    """Notes that name what only one run has."""
    notes = []
    for place, (results, which) in enumerate(((first, "first"), (second, "second"))):
        paired = {pair[place].name for pair in pairs}
        for name in (setting.name for setting in results.settings if setting.name not in paired):
            notes.append(f"only the {which} run has the setting {name}")
        for metric in (metric for metric in results.metrics if metric not in metrics):
            notes.append(f"only the {which} run has {metric.task} {metric.name} {metric.arrow}")
    return notes


def _common(file: Path, other: Path) -> tuple[list[tuple[Item, Item]], list[str]]:
    """Items of one id and target in both files, and notes about the others."""
    if not file.exists() or not other.exists():
        return [], []
    reads = read_items(file), read_items(other)
    notes = [read.cut for read in reads if read.cut]
    after = {item.id: item for item in reads[1].items}
    same_id = [(item, after[item.id]) for item in reads[0].items if item.id in after]
    common = [(item, item_after) for item, item_after in same_id if item.target == item_after.target]
    alone = len(reads[0].items) + len(reads[1].items) - 2 * len(same_id)
    if alone:
        notes.append(f"{other}: {alone} items are in one run only and are left out")
    if len(common) < len(same_id):
        notes.append(f"{other}: {len(same_id) - len(common)} items have another target than before and are left out")
    return common, notes


def _paired(
    setting: Setting, other: Setting, metric: Metric, common: Sequence[tuple[Item, Item]], seed: int
) -> Change | None:
    """The change over the common items that have the metric; `None` without any, and for timings."""
    there = [(a, b) for a, b in common if metric.name in a.scores and metric.name in b.scores]
    pairs = [(a, b) for a, b in there if a.path != "timing"]
    if not pairs:
        return None
    scores = np.array([[item.scores[metric.name] for item in pair] for pair in pairs])
    weights = [a.weight for a, _ in pairs]
    before, after = map(float, np.average(scores, axis=0, weights=weights))
    differences = scores[:, 1] - scores[:, 0]
    change, low, high = mean_interval(differences, weights, seed)
    lost, gained = int((differences < 0).sum()), int((differences > 0).sum())
    verdict = _verdict(metric, low, high) if lost or gained else "same"
    if not metric.higher_is_better:
        lost, gained = gained, lost
    return Change(
        setting.name, other.name, metric, before, after, change, low, high, len(pairs), lost, gained, verdict
    )


def _unpaired(metric: Metric, before: Score | None, after: Score | None) -> Change | None:
    """The change of a number that is not from items; `None` if it was not measured in both runs."""
    if before is None or after is None:
        return None
    low = high = None
    if before.low is not None and before.high is not None and after.low is not None and after.high is not None:
        low, high = after.low - before.high, after.high - before.low  # holds 0 unless the intervals are apart
    verdict = _verdict(metric, low, high)
    change = after.value - before.value
    return Change(
        before.setting, after.setting, metric, before.value, after.value, change, None, None, 0, 0, 0, verdict
    )


def _verdict(metric: Metric, low: float | None, high: float | None) -> str:
    if low is None or high is None or low <= 0 <= high:
        return "unclear"
    return "better" if (low > 0) == metric.higher_is_better else "worse"


def _rank(change: Change) -> tuple[int, float]:
    """Worse, unclear, better; within each, what lost most in proportion first."""
    size = change.change / (abs(change.before) or 1.0) * (1 if change.metric.higher_is_better else -1)
    return VERDICTS.index(change.verdict), size


def _row(change: Change) -> list[str]:
    names = change.setting if change.setting == change.other else f"{change.setting} → {change.other}"
    interval = "-" if change.low is None or change.high is None else f"{_signed(change.low)} to {_signed(change.high)}"
    return [
        change.verdict,
        names,
        change.metric.task,
        f"{change.metric.name} {change.metric.arrow}",
        as_number(change.before),
        as_number(change.after),
        _signed(change.change),
        interval,
        str(change.items or "timed"),
        f"{change.lost} / {change.gained}" if change.items else "-",
    ]


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{as_number(abs(value))}"

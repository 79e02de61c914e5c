"""Prints what a run of MAKAR's pipeline is worth."""

import math
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from setaria.agents.makar.predictions import MARKS
from setaria.agents.makar.results import FAULTY, GroundingScores, Results
from setaria.rewards.entity_scores import Score
from setaria.rewards.intervals import Interval


NAMED = 10  # missing images


def print_results(results: Results, output: str, console: Console | None = None) -> None:
    """Print scores by the first convention, F1 by all of them beside the floors, grounding alone, and the marks."""
    console = console or Console()
    first = next(iter(results.scores))
    console.print(_scores(results.scores[first], f"{output}: {results.tweets} tweets, {_label(first)}"))
    console.print(_conventions(results))
    console.print(_grounding(results.grounding))
    counts = ", ".join(f"{name}: {count}" for name, count in results.counts.items())
    console.print(counts, highlight=False)
    for kind, tweets in results.marks.items():
        if tweets:
            console.print(f"{kind}: {tweets} tweets ({MARKS[kind]})", highlight=False, markup=False)
    for name, problem in results.missing_images[:NAMED]:
        console.print(f"  {name}: {problem}", highlight=False, markup=False)
    if len(results.missing_images) > NAMED:
        console.print(f"  and {len(results.missing_images) - NAMED} more, see metrics.json", highlight=False)
    console.print(f"{output}/metrics.json, {output}/predictions.jsonl", highlight=False, markup=False, soft_wrap=True)


def _scores(tasks: Mapping[str, Mapping[str, Score]], title: str) -> Table:
    table = Table("task", "entities", title=escape(title))
    for column in ("P", "R", "F1", "95 % interval", "right", "predicted", "gold"):
        table.add_column(column, justify="right")
    for task, groups in tasks.items():
        for number, (group, score) in enumerate(groups.items()):
            shares = (_percent(one.value) for one in (score.precision, score.recall, score.f1))
            counts = map(str, (score.right, score.predicted, score.gold))
            table.add_row("" if number else task, escape(group), *shares, _range(score.f1), *counts)
        table.add_section()
    return table


def _conventions(results: Results) -> Table:
    """F1 of all entities; floors under each convention."""
    tasks = list(next(iter(results.scores.values())))
    table = Table("F1 by", "of", title="conventions, and floors of systems that do not look")
    for task in tasks:
        table.add_column(task, justify="right")
    for convention, scores in results.scores.items():
        table.add_row(_label(convention), "this run", *(_percent(scores[task]["all"].f1.value) for task in tasks))
        for floor, values in results.floors[convention].items():
            table.add_row("", floor, *(_percent(values.get(task, math.nan)) for task in tasks))
        table.add_section()
    return table


def _grounding(scores: GroundingScores) -> Table:
    table = Table("grounding of right spans", title=f"place unread: {scores.unread}")
    for column in ("entities", "share", "95 % interval"):
        table.add_column(column, justify="right")
    table.add_row(
        "groundable, acc@.5",
        f"{scores.groundable}",
        _percent(scores.right_groundable.value),
        _range(scores.right_groundable),
    )
    table.add_row("groundable, mean IoU", f"{scores.groundable}", _percent(scores.iou.value), _range(scores.iou))
    table.add_row("none, accuracy", f"{scores.none}", _percent(scores.right_none.value), _range(scores.right_none))
    return table


def _label(convention: str) -> str:
    return f"{convention} (with its known fault)" if convention == FAULTY else convention


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _range(interval: Interval) -> str:
    return "" if math.isnan(interval.value) else f"{_percent(interval.low)} to {_percent(interval.high)}"

"""Results for a terminal: metrics down, settings across; the best of each metric is bold."""

from rich.table import Table
from rich.text import Text

from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.wording import as_number


def results_table(results: Results) -> Table:
    """Values without their intervals, which the report has."""
    table = Table("task", "metric")
    for setting in results.settings:
        table.add_column(Text(setting.name), justify="right")
    task = None
    for metric in results.metrics:
        table.add_row(
            Text("" if metric.task == task else metric.task),
            Text(f"{metric.name} {metric.arrow}"),
            *(_value(results, setting, metric) for setting in results.settings),
        )
        task = metric.task
    bits = [Text("" if one.true_bits is None else as_number(one.true_bits)) for one in results.settings]
    table.add_row("", "true bits", *bits)
    return table


def _value(results: Results, setting: Setting, metric: Metric) -> Text:
    score = results.score(setting, metric)
    if score is None:
        return Text("")
    return Text(as_number(score.value), "bold" if setting.name in results.best(metric) else "")

"""The answers in short at the top of the report: what is best, what is fastest, and how few bits keep the quality."""

from collections.abc import Sequence

from setaria.evaluation.report_settings import Look
from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Score
from setaria.evaluation.wording import as_number


def headline(results: Results, looks: Sequence[Look]) -> list[dict[str, str]]:
    """Title, value and setting: the best of the first quality metric, the fewest bits that keep it, the first time."""
    labels = {setting.name: look.label for setting, look in zip(results.settings, looks, strict=True)}
    timed = timed_metrics(results)
    quality = [metric for metric in results.metrics if metric not in timed][:1]
    found = [*_bests(results, quality, labels), *_fewest_bits(results, quality, labels)]
    return found + _bests(results, timed[:1], labels)


def timed_metrics(results: Results) -> list[Metric]:
    """Metrics of time or memory, not of quality."""
    keys = {(score.task, score.metric) for score in results.scores if score.path == "timing"}
    return [metric for metric in results.metrics if metric.key in keys]


def _bests(results: Results, metrics: Sequence[Metric], labels: dict[str, str]) -> list[dict[str, str]]:
    return [
        {
            "title": f"Best {metric.task}: {metric.name}",
            "value": f"{as_number(best[0].value)} {metric.unit}".strip(),
            "name": labels[best[0].setting] + (f" and {len(best) - 1} more" if len(best) > 1 else ""),
        }
        for metric in metrics
        if (best := _best(results, metric))
    ]


def _fewest_bits(results: Results, metrics: Sequence[Metric], labels: dict[str, str]) -> list[dict[str, str]]:
    bits = {setting.name: setting.true_bits for setting in results.settings if setting.true_bits is not None}
    found = []
    for metric in metrics:
        best = _best(results, metric)
        if not best or best[0].low is None or best[0].high is None or len(set(bits.values())) < 2:
            continue
        low, high = best[0].low, best[0].high
        kept = [one.setting for one in _scores(results, metric) if low <= one.value <= high and one.setting in bits]
        if kept:
            least = min(kept, key=lambda name: bits[name])
            title = "Fewest bits within the interval of the best"
            found.append({"title": title, "value": f"{bits[least]:.3g} bits", "name": labels[least]})
    return found


def _best(results: Results, metric: Metric) -> list[Score]:
    """The scores with the best value."""
    scores = _scores(results, metric)
    top = (max if metric.higher_is_better else min)((one.value for one in scores), default=None)
    return [one for one in scores if one.value == top]


def _scores(results: Results, metric: Metric) -> list[Score]:
    return [one for one in results.scores if (one.task, one.metric) == metric.key]

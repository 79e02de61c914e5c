"""The demo's page: one HTML file without network, in light and dark, of what was run and what came out."""

import base64
import io
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import yaml
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from setaria.recipes.run_folder import write_atomically
from setaria.recipes.spo.lab_policy import win_rate
from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.monitor_metrics import MonitorState
from setaria.trainers.objective_settings import SPO_FLOOR, SPO_MINIMUM_LOGIT


SAMPLES = 6
# Text, first line, second line, hints.
LIGHT = ("#24292f", "#1f6fb2", "#c8621f", "#8a8f98")
DARK = ("#d6dbe1", "#6cb2f0", "#f0985c", "#7d8590")
COMPONENTS = {
    "greeting": "right greeting and name",
    "coverage": "asked things mentioned",
    "courtesy": "courtesy of the tone",
    "closing": "right closing",
    "unrequested": "unasked things (fewer is better)",
    "repetition": "repetition (fewer is better)",
    "rambling": "rambling (fewer is better)",
    "malformed": "malformed sentences (fewer is better)",
}

Draw = Callable[[Axes, tuple[str, str, str, str]], None]


def write_report(output: Path, results: dict[str, Any]) -> Path:
    """Write `report.html` in the demo folder `output` and return its path.

    Args:
        results: `requests`; `curve`, per checkpoint `step`, `notes`, `gold` and `components`; `seconds`.
    """
    trained = output / "spo"
    events = [json.loads(line) for line in (trained / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    watched = [event for event in events if "monitor/state" in event]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("demo_report.html.jinja").render(
        headline=_headline(results["curve"]),
        components=_component_rows(results["curve"]),
        charts=[
            (
                "Gold reward on held-out requests",
                _chart(lambda axis, colors: _draw_gold(axis, colors, results["curve"])),
            ),
            ("Loss, which may go below zero", _chart(lambda axis, colors: _draw_loss(axis, colors, events))),
            ("Logit u of the probe pairs", _chart(lambda axis, colors: _draw_logit(axis, colors, watched))),
            ("Drift of log-probability since step 0", _chart(lambda axis, colors: _draw_drift(axis, colors, watched))),
        ],
        samples=_samples(results),
        state=MonitorState(int(watched[-1]["monitor/state"])).name,
        watched=[{**event, "name": MonitorState(int(event["monitor/state"])).name} for event in watched],
        thresholds=MonitorConfig(),
        command=(trained / "run" / "command.txt").read_text(encoding="utf-8").strip(),
        config=yaml.safe_load((trained / "run" / "config.yaml").read_text(encoding="utf-8")),
        run=json.loads((trained / "run" / "environment.json").read_text(encoding="utf-8")),
        seconds=results["seconds"],
    )
    path = output / "report.html"
    write_atomically(path, page)
    return path


def _headline(curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Gold before, at the best checkpoint and after; the difference with its 95 % interval over requests."""
    before, after = curve[0]["gold"], curve[-1]["gold"]
    differences = [new - old for new, old in zip(after, before, strict=True)]
    best = max(curve, key=lambda point: statistics.mean(point["gold"]))
    return {
        "before": statistics.mean(before),
        "after": statistics.mean(after),
        "difference": statistics.mean(differences),
        "interval": 1.96 * statistics.stdev(differences) / len(differences) ** 0.5,
        "best": statistics.mean(best["gold"]),
        "best_step": best["step"],
        "steps": curve[-1]["step"],
        "wins": win_rate(after, before),
        "requests": len(before),
        "perfect_before": sum(gold == 1 for gold in before) / len(before),
        "perfect_after": sum(gold == 1 for gold in after) / len(after),
    }


def _component_rows(curve: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    def mean(point: dict[str, Any], name: str) -> float:
        return statistics.mean(component[name] for component in point["components"])

    return [(label, mean(curve[0], name), mean(curve[-1], name)) for name, label in COMPONENTS.items()]


def _samples(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The first held-out requests, then the ones that lost most, so that the page does not flatter."""
    before, after = results["curve"][0], results["curve"][-1]
    rows = [
        {"request": request, "before": old, "after": new, "gold_before": old_gold, "gold_after": new_gold}
        for request, old, new, old_gold, new_gold in zip(
            results["requests"], before["notes"], after["notes"], before["gold"], after["gold"], strict=True
        )
    ]
    first, others = rows[:SAMPLES], rows[SAMPLES:]
    worst = sorted(others, key=lambda row: row["gold_after"] - row["gold_before"])[:2]
    return first + [{**row, "worst": True} for row in worst]


def _chart(draw: Draw) -> dict[str, str]:
    """The drawing as SVG data URIs, one for light and one for dark pages."""
    return {"light": _svg(draw, LIGHT), "dark": _svg(draw, DARK)}


def _svg(draw: Draw, colors: tuple[str, str, str, str]) -> str:
    text = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), colors[0])
    with rc_context({**text, "axes.edgecolor": colors[3], "svg.hashsalt": "setaria"}):
        figure = Figure(figsize=(5.2, 3.1), layout="constrained")
        axis = figure.add_subplot()
        draw(axis, colors)
        axis.set_xlabel("training step")
        axis.grid(alpha=0.2)
        axis.spines[["top", "right"]].set_visible(False)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(frameon=False, fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def _draw_gold(axis: Axes, colors, curve: list[dict[str, Any]]) -> None:
    steps = [point["step"] for point in curve]
    means = [statistics.mean(point["gold"]) for point in curve]
    errors = [1.96 * statistics.stdev(point["gold"]) / len(point["gold"]) ** 0.5 for point in curve]
    low, high = ([mean + sign * error for mean, error in zip(means, errors, strict=True)] for sign in (-1, 1))
    axis.fill_between(steps, low, high, color=colors[1], alpha=0.18, linewidth=0, label="95 % interval")
    axis.plot(steps, means, color=colors[1], marker="o", markersize=4, label="mean")
    axis.axhline(1, color=colors[3], linestyle=":", label="a perfect note")


def _draw_loss(axis: Axes, colors, events: list[dict[str, Any]]) -> None:
    for key, color, label in (("loss", colors[1], "training pairs"), ("eval_loss", colors[2], "held-out pairs")):
        points = [(event["step"], event[key]) for event in events if event.get(key) is not None]
        axis.plot(*zip(*points, strict=True), color=color, label=label)
    axis.axhline(SPO_FLOOR, color=colors[3], linestyle=":", label=f"floor {SPO_FLOOR:.3f}")


def _draw_logit(axis: Axes, colors, watched: list[dict[str, Any]]) -> None:
    steps, low, median, high = (
        [event[key] for event in watched] for key in ("step", "monitor/u_p05", "monitor/u_p50", "monitor/u_p95")
    )
    axis.fill_between(steps, low, high, color=colors[1], alpha=0.18, linewidth=0, label="5 to 95 %")
    axis.plot(steps, median, color=colors[1], marker="o", markersize=4, label="median")
    axis.axhline(SPO_MINIMUM_LOGIT, color=colors[3], linestyle=":", label=f"minimum u* = {SPO_MINIMUM_LOGIT:.2f}")


def _draw_drift(axis: Axes, colors, watched: list[dict[str, Any]]) -> None:
    steps = [event["step"] for event in watched]
    for key, color in (("chosen", colors[1]), ("rejected", colors[2])):
        values = [event[f"monitor/{key}_drift"] for event in watched]
        axis.plot(steps, values, color=color, marker="o", markersize=4, label=key)
    axis.axhline(MonitorConfig().monitor_stop_drift, color=colors[3], linestyle=":", label="STOP for chosen")
    axis.set_ylabel("nats per token")

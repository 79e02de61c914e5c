"""The lab's report: a table in the terminal and as Markdown, a plot, and everything in one JSON file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from setaria.recipes.run_folder import write_atomically, write_run_folder
from setaria.recipes.spo.lab_config import LabConfig
from setaria.recipes.spo.lab_curves import (
    auc,
    best_threshold,
    gold_at_kl,
    mean_and_sd,
    over_optimized,
    summarize_curve,
)


# A checkpoint counts as over-optimised when it has lost this much gold against the best one before it.
GOLD_LOSS = 0.1
# Signals of the monitor, each with the sign that makes it grow when a run goes wrong.
SIGNALS = {
    "chosen drift": ("monitor/chosen_drift", -1),
    "hold-out NLL rise": ("monitor/nll_rise", 1),
    "KL on the probes": ("monitor/kl", 1),
    "entropy drop": ("monitor/entropy_change", -1),
    "median u": ("monitor/u_p50", 1),
    "rejected drift": ("monitor/rejected_drift", -1),
}
COLUMNS = {
    "peak": "peak",
    "final": "final",
    "drop": "drop",
    "win_rate": "win vs SFT",
    "kl": "KL/reply",
    "monitor/u_p50": "median u",
    "monitor/chosen_drift": "chosen drift",
    "monitor/holdout_nll": "hold-out NLL",
    "length": "length",
}
# Columns narrow enough for a terminal, means only.
TERMINAL_COLUMNS = {
    "peak": "peak",
    "final": "final",
    "drop": "drop",
    "win_rate": "wins",
    "kl": "KL",
    "monitor/u_p50": "u",
    "monitor/chosen_drift": "drift",
}
COLORS = ("#1f6fb2", "#6fb1e0", "#d9722b", "#7a4fa3", "#3a8f4d", "#8a8f98")

Record = dict[str, Any]


def write_report(records: list[Record], config: LabConfig, output: Path, matched_kl: float) -> Table:
    """Write `lab.json`, `lab.md`, `lab.png` and the run folder to `output`; the table for the terminal."""
    arms = _by_arm(records)
    write_run_folder(str(output), {**asdict(config), "seed": sorted({r["seed"] for r in records})}, processes=1)
    rows = {name: summarize_arm(runs, matched_kl) for name, runs in arms.items()}
    alarms = alarm_quality(records)
    study = {
        "config": asdict(config),
        "matched_kl": matched_kl,
        "summary": rows,
        "alarms": alarms,
        "environment": json.loads((output / "run" / "environment.json").read_text()),
        "command": (output / "run" / "command.txt").read_text().strip(),
        "runs": records,
    }
    write_atomically(output / "lab.json", json.dumps(study, indent=1) + "\n")
    header = ["arm", "settings", *COLUMNS.values(), f"gold at KL {matched_kl:g}"]
    cells = [[name, _settings(arms[name][0]), *_cells(row)] for name, row in rows.items()]
    alarm_header = ["signal", "AUC", "best cut-off", "accuracy there"]
    alarm_cells = [[name, *(_number(value) for value in values.values())] for name, values in alarms.items()]
    text = f"{_markdown(header, cells)}\n\n{_markdown(alarm_header, alarm_cells)}\n" if alarms else ""
    write_atomically(output / "lab.md", text or _markdown(header, cells) + "\n")
    plot_curves(arms, output / "lab.png")
    return _terminal_table(rows, config.seeds)


def summarize_arm(runs: list[Record], matched_kl: float) -> dict[str, Any]:
    """Mean and standard deviation over seeds of every column, of gold at that KL over the runs that reach it."""
    summaries = [summarize_curve(run["curve"]) for run in runs]
    row: dict[str, Any] = {key: mean_and_sd([summary[key] for summary in summaries]) for key in COLUMNS}
    matched = [gold for run in runs if (gold := gold_at_kl(run["curve"], matched_kl)) is not None]
    row["gold_at_kl"] = (*mean_and_sd(matched), len(matched)) if matched else None
    return row


def alarm_quality(records: list[Record]) -> dict[str, dict[str, float]]:
    """How well each signal tells over-optimised checkpoints from others, over all runs; empty if there are none."""
    bad = [verdict for record in records for verdict in over_optimized(record["curve"], GOLD_LOSS)]
    points = [point for record in records for point in record["curve"]]
    quality = {}
    for name, (key, sign) in SIGNALS.items():
        scores = [sign * point[key] for point in points]
        area = auc(scores, bad)
        if area is not None:
            threshold, accuracy = best_threshold(scores, bad)
            quality[name] = {"auc": area, "threshold": sign * threshold, "accuracy": accuracy}
    return quality


def plot_curves(arms: dict[str, list[Record]], path: Path) -> None:
    """Gold against steps and against KL, and the chosen drift; one colour per arm, one thin line per seed."""
    figure = Figure(figsize=(14, 4.6))
    axes = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.9, bottom=0.12, wspace=0.2)
    for color, (name, runs) in zip(COLORS, arms.items(), strict=False):
        for axis, x, y in (
            (axes[0], "step", "gold"),
            (axes[1], "kl", "gold"),
            (axes[2], "step", "monitor/chosen_drift"),
        ):
            for run in runs:
                axis.plot([p[x] for p in run["curve"]], [p[y] for p in run["curve"]], color=color, alpha=0.25, lw=1)
            points = list(zip(*(run["curve"] for run in runs), strict=True))
            means = [[sum(point[key] for point in step) / len(step) for step in points] for key in (x, y)]
            axis.plot(*means, color=color, lw=2, marker=".", label=name)
    for axis, title, label in zip(
        axes,
        ("gold reward, held-out prompts", "gold reward against distance", "drift of chosen log-probability"),
        ("step", "KL to SFT, nats per reply", "step"),
        strict=True,
    ):
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel(label)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].set_ylabel("nats/token")
    axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def _terminal_table(rows: dict[str, dict[str, Any]], seeds: int) -> Table:
    table = Table("arm", *TERMINAL_COLUMNS.values(), title=f"means of {seeds} seeds")
    for name, row in rows.items():
        table.add_row(name, *(_number(row[key][0]) for key in TERMINAL_COLUMNS))
    return table


def _by_arm(records: list[Record]) -> dict[str, list[Record]]:
    arms: dict[str, list[Record]] = {}
    for record in records:
        arms.setdefault(record["arm"], []).append(record)
    return arms


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [f"{mean:.2f} ({sd:.2f})" for mean, sd in (row[key] for key in COLUMNS)]
    matched = row["gold_at_kl"]
    return [*cells, f"{matched[0]:.2f} ({matched[1]:.2f}, {matched[2]} runs)" if matched else "not reached"]


def _settings(record: Record) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in sorted(record["settings"].items()))


def _number(value: float) -> str:
    return f"{value:.2f}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""The monitor's page: drift, logit, distance and samples against training steps, as one PNG."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.monitor_metrics import MonitorState
from setaria.trainers.objective_settings import SPO_MINIMUM_LOGIT


BLUE, ORANGE, GREEN, GREY = "#1f6fb2", "#d9722b", "#3a8f4d", "#8a8f98"
STATE_COLORS = {MonitorState.OK: GREEN, MonitorState.WARN: "#e0a92c", MonitorState.STOP: "#c43c39"}


def plot_monitor(history: list[dict[str, float]], config: MonitorConfig, path: Path) -> None:
    """Draw `history`, metrics with their `step`, earliest first, to `path`."""
    figure = Figure(figsize=(12, 6.5))
    axes = figure.subplots(2, 3)
    figure.subplots_adjust(left=0.05, right=0.985, top=0.88, bottom=0.08, wspace=0.18, hspace=0.25)
    _plot_drift(axes[0, 0], history, config)
    _plot_logit(axes[0, 1], history)
    _lines(axes[0, 2], history, {"holdout_nll": "hold-out NLL", "entropy": "entropy"}, "likelihood, nats/token")
    _lines(axes[1, 0], history, {"kl": "KL to step 0"}, "exact KL, nats/token")
    axes[1, 0].axhline(config.monitor_warn_kl, color=STATE_COLORS[MonitorState.WARN], linestyle="--", linewidth=1)
    _lines(axes[1, 1], history, {"sample_length": "length"}, "length of samples, tokens")
    axes[1, 1].set_ylim(bottom=0)
    shares = {"sample_ended": "ended", "sample_distinct_2": "distinct-2", "sample_repetition_4": "repetition-4"}
    _lines(axes[1, 2], history, shares, "samples, shares")
    axes[1, 2].set_ylim(-0.03, 1.03)
    for axis in axes[1]:
        axis.set_xlabel("step")
    state = MonitorState(int(history[-1]["state"]))
    figure.suptitle(f"Over-optimisation monitor: {state.name} at step {history[-1]['step']:.0f}", fontsize=13)
    figure.savefig(path, dpi=110)


def _plot_drift(axis: Axes, history: list[dict[str, float]], config: MonitorConfig) -> None:
    for state, threshold in (
        (MonitorState.WARN, config.monitor_warn_drift),
        (MonitorState.STOP, config.monitor_stop_drift),
    ):
        axis.axhline(threshold, color=STATE_COLORS[state], linestyle="--", linewidth=1)
    names = {"chosen_drift": "chosen", "rejected_drift": "rejected"}
    _lines(axis, history, names, "drift of log-probability, nats/token")
    for entry in history:
        color = STATE_COLORS[MonitorState(int(entry["state"]))]
        axis.plot(entry["step"], entry["chosen_drift"], "o", color=color, markersize=6, zorder=3)


def _plot_logit(axis: Axes, history: list[dict[str, float]]) -> None:
    steps, low, median, high = ([entry[key] for entry in history] for key in ("step", "u_p05", "u_p50", "u_p95"))
    axis.fill_between(steps, low, high, color=BLUE, alpha=0.18, linewidth=0, label="5 to 95 %")
    axis.plot(steps, median, color=BLUE, marker=".", label="median")
    axis.axhline(SPO_MINIMUM_LOGIT, color=GREY, linestyle=":", linewidth=1.2, label="u* = 1.28")
    _finish(axis, "logit u of the pairs")


def _lines(axis: Axes, history: list[dict[str, float]], names: dict[str, str], title: str) -> None:
    for color, (key, label) in zip((BLUE, ORANGE, GREEN), names.items(), strict=False):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        axis.plot(*zip(*points, strict=True) if points else ([], []), color=color, marker=".", label=label)
    _finish(axis, title)


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if len(axis.get_legend_handles_labels()[1]) > 1:
        axis.legend(fontsize=8, frameon=False)

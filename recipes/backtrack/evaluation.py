"""Runs the episodes of an evaluation that are missing, measures all, and says what came out."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import set_seed

from setaria.agents.backtrack.gold import GraphGold
from setaria.agents.backtrack.loop import Play
from setaria.agents.backtrack.metrics import Interval, measure, success_gain
from setaria.agents.backtrack.page_graph import PageGraph
from setaria.agents.backtrack.roles import Agent
from setaria.agents.backtrack.run import run_episodes
from setaria.agents.backtrack.traces import TraceFolder, read_traces
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.tasks import Task
from setaria.recipes.backtrack.agent_arguments import EvaluateArguments
from setaria.recipes.backtrack.chats import load_agent
from setaria.recipes.backtrack.world_tasks import world_tasks
from setaria.recipes.run_folder import resolved_config, write_atomically, write_run_folder


MAY_CHANGE = ("against", "batch", "device", "output", "tasks")  # between two starts of one evaluation


def evaluate(arguments: EvaluateArguments) -> dict[str, Interval]:
    """Run what is missing and measure all episodes; writes traces, `metrics.json` and `run/` to `output`.

    Raises:
        ValueError: for settings, a world or an adapter that cannot be used, and a folder with episodes of others.
    """
    output = Path(arguments.output)
    settings = resolved_config(arguments)
    _claim(output, settings)
    graphs, tasks = world_tasks(Path(arguments.world), arguments.tasks, arguments.seed)
    write_run_folder(arguments.output, settings, processes=1)
    trace = TraceFolder(output)
    finished = trace.finished()
    if left := [task for task in tasks if task.id not in finished]:
        _run(arguments, graphs, left, trace)
    wanted = {task.id for task in tasks}
    episodes = [episode for episode in read_traces(output) if episode["episode"] in wanted]
    metrics = measure(episodes)
    if arguments.against is not None:
        metrics["success gain"] = success_gain(episodes, read_traces(Path(arguments.against)))
    report = {
        "episodes": len(episodes),
        "metrics": {name: _without_nan(asdict(interval)) for name, interval in metrics.items()},
        "config": settings,
        "environment": json.loads((output / "run" / "environment.json").read_text(encoding="utf-8")),
    }
    write_atomically(output / "metrics.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return metrics


def print_metrics(metrics: dict[str, Interval], output: str) -> None:
    """Print what was counted, and how to look at the episodes."""
    table = Table(title=output)
    table.add_column("metric")
    for column in ("value", "95 % interval"):
        table.add_column(column, justify="right")
    for name, interval in metrics.items():
        if not math.isnan(interval.value):
            table.add_row(name, f"{interval.value:.3f}", f"{interval.low:.3f} to {interval.high:.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"{output}/metrics.json; every episode: setaria trace view {output}", highlight=False, soft_wrap=True
    )


def _run(arguments: EvaluateArguments, graphs: dict[str, AppGraph], tasks: list[Task], trace: TraceFolder) -> None:
    """Run the episodes of `tasks` into the trace."""
    prompts, chats = load_agent(arguments, arguments.roles)
    agent = Agent.of_models(*(chats.get(role, chats["generator"]) for role in ("generator", "judger", "reflector")))
    plays = (
        Play(
            task,
            PageGraph(graphs[task.app], task.start),
            prompts,
            arguments.config,
            trace,
            GraphGold(graphs[task.app], task),
        )
        for task in tasks
    )
    set_seed(arguments.seed)
    for _ in track(run_episodes(plays, agent, trace, arguments.batch), "episodes", len(tasks)):
        pass


def _claim(output: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder with episodes that were run with other settings."""
    config = output / "run" / "config.yaml"
    if not (output / "episodes.jsonl").exists() or not config.exists():
        return
    before = yaml.safe_load(config.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if name not in MAY_CHANGE and before.get(name) != value:
            raise ValueError(
                f"{output} holds episodes with {name}={before.get(name)}, not {value}: choose another --output"
            )


def _without_nan(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(number) else number for name, number in numbers.items()}

"""BacktrackAgent's loop on tasks in walked apps, with one vision-language checkpoint in all three roles.

Generator, Judger and Reflector answer greedily, in the loop's default settings; the setting's cache and drafter are in
every reply, but not in the Judger's P(Yes), which is one plain forward. Metrics are those of
`setaria.agents.backtrack.metrics`: ratios of sums over episodes, with its bootstrap.

RUN/backtrack/SETTING/    the trace, which `setaria trace view` opens
"""

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from setaria.agents.backtrack.gold import GraphGold
from setaria.agents.backtrack.loop import LoopConfig, Play
from setaria.agents.backtrack.metrics import METRICS, measure
from setaria.agents.backtrack.page_graph import PageGraph
from setaria.agents.backtrack.roles import Agent
from setaria.agents.backtrack.run import run_episodes
from setaria.agents.backtrack.traces import TraceFolder
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.tasks import Task as GuiTask
from setaria.datasets_builders.gui.tasks import read_split
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.results import write_atomically
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task, Value
from setaria.evaluation.vision_chat import family, vision_chat
from setaria.rewards.gui.actions import Complete


NAME = "backtrack"
LESS_IS_BETTER = ("unrepaired", "broken", "false alarm", "unnoticed", "reflections", "seconds")
UNITS = {"reflections": "per step", "seconds": "seconds per step"}
Sample: TypeAlias = tuple[GuiTask, AppGraph]


class Backtrack(Task):
    """Tasks of a split: a folder with graphs in Mobile3M's layout and `tasks.jsonl`."""

    name = NAME
    metrics = tuple(Metric(NAME, metric, metric not in LESS_IS_BETTER, UNITS.get(metric, "")) for metric in METRICS)

    def __init__(self, folder: Path, config: EvalConfig):
        self.folder, self.config = folder, config

    def samples(self, checkpoint: Checkpoint) -> dict[str, Sample]:
        """Tasks with their graphs, by id.

        Raises:
            ValueError: for a checkpoint that takes no images or whose boxes are not known, and a split that cannot be
                used.
        """
        self._prompts(checkpoint)
        graphs, tasks = self._split
        return {task.id: (task, graphs[task.app]) for task in tasks[: self.config.limit]}

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, Sample]]) -> list[Item]:
        """Finished episodes of some tasks, side by side."""
        prompts, screens = self._prompts(checkpoint), _Screens(self._trace(setting))
        plays = [
            Play(task, PageGraph(graph, task.start), prompts, LoopConfig(), screens, GraphGold(graph, task))
            for _, (task, graph) in samples
        ]
        chat = vision_chat(checkpoint, setting, self.config.max_new_tokens, len(samples))
        with hooked(checkpoint.model, setting):
            finished = run_episodes(plays, Agent.of_models(chat, chat, chat), screens, len(samples))
            episodes = {episode["episode"]: episode for episode in finished}
        return [_item(task, graph, episodes[id], prompts) for id, (task, graph) in samples]

    def finish(self, setting: Setting, items: Sequence[Item]) -> list[Item]:
        """Writes the trace."""
        lines = (json.dumps(item.extra["episode"]) + "\n" for item in items)
        write_atomically(self._trace(setting) / "episodes.jsonl", "".join(lines))
        return list(items)

    def score(self, metric: Metric, items: Sequence[Item], seed: int) -> Value | None:
        """A metric of all episodes; the number of items is that of the episodes that have something to count."""
        having = sum(metric.name in item.scores for item in items)
        if not having:
            return None
        found = measure((item.extra["episode"] for item in items), seed, [metric.name])[metric.name]
        return found.value, found.low, found.high, having

    @cached_property
    def _split(self) -> tuple[dict[str, AppGraph], list[GuiTask]]:
        graphs, tasks = read_split(self.folder)
        ids = [task.id for task in tasks]
        if not ids or len(set(ids)) < len(ids):
            found = "a task is there twice" if ids else "holds no task"
            raise ValueError(f"{self.folder / 'tasks.jsonl'}: {found}")
        return graphs, tasks

    def _prompts(self, checkpoint: Checkpoint) -> Prompts:
        processor = checkpoint.processor
        return Prompts.of_processor(family(checkpoint), processor)

    def _trace(self, setting: Setting) -> Path:
        return self.config.output / NAME / setting.slug


class _Screens(TraceFolder):
    """Keeps screenshots only: episodes are items, of which the trace is written when all are there."""

    def finished(self) -> set[str]:
        """None: those that are finished are not asked for again."""
        return set()

    def add(self, episode: dict[str, Any]) -> None:
        """Nothing."""


def _item(task: GuiTask, graph: AppGraph, episode: dict[str, Any], prompts: Prompts) -> Item:
    stood = [step["attempts"][step["accepted"]]["reply"] for step in episode["steps"] if step["attempts"]]
    gold = [prompts.write(step.action, graph.page(step.page)) for step in task.steps]
    gold.append(prompts.write(Complete(), graph.page(task.goal)))
    measured = {name: interval.value for name, interval in measure([episode]).items()}
    scores = {name: value for name, value in measured.items() if not math.isnan(value)}
    extra = {"episode": episode}
    return Item(task.id, task.instruction, "\n".join(stood), "\n".join(gold), scores, "generation", extra)

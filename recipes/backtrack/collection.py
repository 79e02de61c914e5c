"""A Generator acts on the tasks of a world, and its actions become rows, a few steps in memory at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset
from rich.progress import track
from transformers import set_seed

from setaria.agents.backtrack.collect import CollectConfig, collected_rows, naming_rows
from setaria.agents.backtrack.moments import Moment, moments
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.prompts import Conversation, Prompts
from setaria.datasets_builders.gui.rows import save_rows
from setaria.recipes.backtrack.agent_arguments import CollectArguments
from setaria.recipes.backtrack.chats import load_agent
from setaria.recipes.backtrack.world_tasks import empty_folder, world_tasks
from setaria.recipes.run_folder import resolved_config, write_run_folder


STEPS_AT_ONCE = 64


def collect(arguments: CollectArguments) -> Dataset:
    """Collect on the tasks of a split; writes the rows and `run/` to `output`, which may not hold anything yet.

    Raises:
        ValueError: for settings, a world or an adapter that cannot be used, and a Generator without a single action.
    """
    output = empty_folder(Path(arguments.output))
    graphs, tasks = world_tasks(Path(arguments.world), arguments.tasks, arguments.seed)
    prompts, chats = load_agent(arguments, {"generator": arguments.generator}, arguments.temperature)
    set_seed(arguments.seed)
    steps = sum(len(task.steps) + 1 for task in tasks)
    found = track(moments(tasks, graphs), "collecting", steps)
    rows = save_rows(rows_in_parts(iter(found), chats["generator"].generate, prompts, arguments.config), output)
    write_run_folder(arguments.output, resolved_config(arguments), processes=1)
    return rows


def rows_in_parts(
    found: Iterator[Moment],
    predict: Callable[[Sequence[Conversation]], list[str]],
    prompts: Prompts,
    config: CollectConfig,
) -> Iterator[dict[str, Any]]:
    """The rows of `collected_rows`, for any number of steps."""
    graphs: dict[str, AppGraph] = {}
    count, part = 0, 0
    while chosen := list(islice(found, STEPS_AT_ONCE)):
        graphs |= {moment.graph.app: moment.graph for moment in chosen}
        for row in collected_rows(chosen, predict, prompts, replace(config, naming_share=0, seed=config.seed + part)):
            count += 1
            yield row
        part += 1
    names = round(count * config.naming_share / (1 - config.naming_share))
    yield from naming_rows(list(graphs.values()), names, prompts, config.seed)

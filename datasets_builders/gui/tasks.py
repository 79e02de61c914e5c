"""GUI tasks: an instruction, where it starts, where it should end, and one right way between.

A file of tasks is JSON lines, boxes in pixels:

    {"id", "app", "instruction", "start", "goal", "steps": [{"page", "action", "after"}]}
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from setaria.datasets_builders.gui.mobile3m import AppGraph, app_folders, read_app_graph
from setaria.rewards.gui.actions import Action, action_from_dict, action_to_dict


@dataclass(frozen=True)
class GoldStep:
    """A right action on a page, and the page after it."""

    page: str
    action: Action
    after: str


@dataclass(frozen=True)
class Task:
    """What a user asks of an agent; `start`, `goal` and the steps name unique pages."""

    id: str
    app: str
    instruction: str
    start: str
    goal: str
    steps: tuple[GoldStep, ...]


def shortest_paths(graph: AppGraph, start: str) -> dict[str, tuple[GoldStep, ...]]:
    """A shortest way from one unique page to each that can be reached, in order of length."""
    paths: dict[str, tuple[GoldStep, ...]] = {start: ()}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for action, number in graph.actions(graph.page(name)):
            after = graph.outcome(name, number)
            if after is not None and after not in paths:
                paths[after] = (*paths[name], GoldStep(name, action, after))
                queue.append(after)
    return paths


def distances(graph: AppGraph, goal: str) -> dict[str, int]:
    """Least number of actions to `goal` from each unique page that can reach it."""
    before: dict[str, set[str]] = {}
    for (page, _), after in graph.edges.items():
        before.setdefault(graph.unique_of[after], set()).add(page)
    found = {goal: 0}
    queue = deque([goal])
    while queue:
        page = queue.popleft()
        for earlier in before.get(page, ()):
            if earlier not in found:
                found[earlier] = found[page] + 1
                queue.append(earlier)
    return found


def read_split(folder: Path) -> tuple[dict[str, AppGraph], list[Task]]:
    """The graphs of a folder by app, and the tasks of its `tasks.jsonl`.

    Raises:
        ValueError: for a folder without graphs or with two of one app, and a task about an app or a unique page that
            is not there.
    """
    graphs: dict[str, AppGraph] = {}
    for graph in map(read_app_graph, app_folders(folder)):
        if graph.app in graphs:
            raise ValueError(f"{graph.folder}: {graphs[graph.app].folder.name} is a graph of {graph.app} too")
        graphs[graph.app] = graph
    if not graphs:
        raise ValueError(f"{folder}: holds no app in Mobile3M's layout")
    pages = {app: set(graph.unique_pages) for app, graph in graphs.items()}
    tasks = read_tasks(folder / "tasks.jsonl")
    for task in tasks:
        where = f"{folder / 'tasks.jsonl'}: {task.id}"
        if task.app not in graphs:
            raise ValueError(f"{where}: there is no graph of the app {task.app!r}")
        named = {task.start, task.goal, *(step.page for step in task.steps), *(step.after for step in task.steps)}
        if missing := named - pages[task.app]:
            raise ValueError(f"{where}: {min(missing)} is no unique page in the graph of {task.app}")
    return graphs, tasks


def write_tasks(tasks: Iterable[Task], file: Path) -> None:
    """Write a file of tasks."""
    lines = [json.dumps(_as_dict(task), ensure_ascii=False) + "\n" for task in tasks]
    file.write_text("".join(lines), encoding="utf-8")


def read_tasks(file: Path) -> list[Task]:
    """Read a file of tasks.

    Raises:
        ValueError: naming the file, the line and what is wrong.
    """
    tasks = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                tasks.append(_task(json.loads(line)))
            except KeyError as error:
                raise ValueError(f"{file}:{number}: {error} is missing") from None
            except (AttributeError, TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"{file}:{number}: no task ({error})") from None
    return tasks


def _task(fields: dict) -> Task:
    steps = fields.pop("steps")
    texts = {**fields} | {f"{key} of step {n}": step[key] for n, step in enumerate(steps) for key in ("page", "after")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name} is {text!r}, no text")
    gold = (GoldStep(step["page"], action_from_dict(step["action"]), step["after"]) for step in steps)
    return Task(**fields, steps=tuple(gold))


def _as_dict(task: Task) -> dict:
    steps = [{"page": step.page, "action": action_to_dict(step.action), "after": step.after} for step in task.steps]
    return asdict(task) | {"steps": steps}

"""The tasks of the apps world: every topic of an app to be opened or turned on, every search to be made.

Half of the instructions name the section; the others leave it to the agent to find it.
"""

import random
from pathlib import Path

from setaria.datasets_builders.gui.mobile3m import AppGraph, read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.pages import Page, same_page
from setaria.datasets_builders.gui.tasks import Task, shortest_paths, write_tasks
from setaria.datasets_builders.worlds.apps import App, generate_app


OPEN = ("Open {topic}.", "Show {topic}.", "Go to {topic}.")
OPEN_IN = ("Open {topic} in {section}.", "Show {topic} in {section}.", "Go to {topic} in {section}.")
TURN_ON = ("Turn on {topic}.", "Please turn on {topic}.")
TURN_ON_IN = ("Turn on {topic} in {section}.", "Please turn on {topic} in {section}.")
SEARCH = ("Search for {topic}.",)


def app_tasks(app: App, graph: AppGraph, seed: int) -> list[Task]:
    """The tasks of one app in its graph.

    A topic that a search finds is only searched for, so that each task has one shortest way. The wording is drawn anew
    for each app: were it the same for the n-th task of all apps, it would tell where a topic is.
    """
    rng = random.Random(f"{seed} {app.name}")
    paths = shortest_paths(graph, graph.root)
    tasks: list[Task] = []
    for section, topics in app.layout.items():
        for topic in topics:
            for forms, state in _goals(app, section, topic):
                goal = _unique_page(app, graph, state)
                instruction = rng.choice(rng.choice(forms)).format(topic=topic, section=section)
                tasks.append(Task(f"{app.name}-{len(tasks)}", app.name, instruction, graph.root, goal, paths[goal]))
    return tasks


def write_world(root: Path, apps: int, held_out_apps: int, seed: int = 0) -> None:
    """Write `train/` and `held_out/` under `root`: graphs in Mobile3M's layout and `tasks.jsonl`."""
    for split, count in (("train", apps), ("held_out", held_out_apps)):
        tasks: list[Task] = []
        for number in range(count):
            app = generate_app(1000 * seed + number, held_out=split == "held_out")
            graph = read_app_graph(write_app_graph(app, root / split, port=8100 + number))
            tasks += app_tasks(app, graph, seed)
        (root / split).mkdir(parents=True, exist_ok=True)
        write_tasks(tasks, root / split / "tasks.jsonl")


def _goals(app: App, section: str, topic: str) -> list[tuple[tuple[tuple[str, ...], ...], tuple]]:
    """Groups of instructions, one of which is chosen, and the state to be reached."""
    if topic in app.searchable:
        return [((SEARCH,), ("results", topic))]
    return [((OPEN, OPEN_IN), ("topic", topic, "")), ((TURN_ON, TURN_ON_IN), ("done", topic))]


def _unique_page(app: App, graph: AppGraph, state: tuple) -> str:
    screen = app.screen(state)
    page = Page("", screen.image, screen.xml)
    return next(name for name in graph.unique_pages if same_page(graph.page(name), page))

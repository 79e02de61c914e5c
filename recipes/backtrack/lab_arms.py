"""The arms of the lab: the same tasks and the same seed's models, run with and without going back.

none         the Generator alone
verifier     the rules alone decide
full         both, on real outcome pages
free         full, with a Reflector that may answer anything
simulated    both, shown actions drawn on the page, from which this Judger has learned
oracle       the Judger knows what is right (upper bound)
random       the Judger tosses a coin (lower bound)
reinforced   full, Generator and Reflector after stage 2; `reinforced none` the Generator alone
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from setaria.agents.backtrack.gold import GraphGold
from setaria.agents.backtrack.loop import LoopConfig, Play
from setaria.agents.backtrack.page_graph import PageGraph
from setaria.agents.backtrack.roles import Agent, Ask
from setaria.agents.backtrack.run import run_episodes
from setaria.agents.backtrack.traces import TraceFolder, read_traces
from setaria.datasets_builders.gui.tasks import Task, read_split
from setaria.recipes.backtrack.lab_reading import WORLD
from setaria.recipes.backtrack.lab_stages import Stages


BATCH = 64
ALONE, BACKTRACKING = LoopConfig(verifier=False, judger=False), LoopConfig(candidates_only=True)


@dataclass(frozen=True)
class Arm:
    """One way to run the loop: its settings, and the stages whose models play the roles; `judger` is also `oracle` or
    `random`.
    """

    config: LoopConfig
    generator: str = "actor"
    judger: str = "judger"
    reflector: str = "actor"


ARMS = {
    "none": Arm(ALONE),
    "verifier": Arm(replace(BACKTRACKING, judger=False)),
    "full": Arm(BACKTRACKING),
    "free": Arm(replace(BACKTRACKING, candidates_only=False)),
    "simulated": Arm(replace(BACKTRACKING, simulated=True), judger="judger_simulated"),
    "oracle": Arm(BACKTRACKING, judger="oracle"),
    "random": Arm(BACKTRACKING, judger="random"),
    "reinforced none": Arm(ALONE, generator="reinforced", reflector="reinforced"),
    "reinforced": Arm(BACKTRACKING, generator="reinforced", reflector="reinforced"),
}


def run_arm(name: str, stages: Stages) -> list[dict[str, Any]]:
    """Episodes of an arm on the held-out tasks; those already in its trace are not run again."""
    arm = ARMS[name]
    graphs, tasks = read_split(stages.shared / WORLD / "held_out")
    tasks = chosen_tasks(tasks, stages.config.tasks)
    trace = TraceFolder(stages.folder / "arms" / name.replace(" ", "_"))
    golds = {task.id: GraphGold(graphs[task.app], task) for task in tasks}
    plays = [
        Play(task, PageGraph(graphs[task.app], task.start), stages.prompts, arm.config, trace, golds[task.id])
        for task in tasks
    ]
    if set(golds) - trace.finished():
        for _ in run_episodes(plays, _agent(arm, stages, golds), trace, BATCH):
            pass
    return list(read_traces(trace.folder))


def chosen_tasks(tasks: Sequence[Task], most: int) -> list[Task]:
    """At most so many tasks, always the same."""
    return sorted(random.Random(0).sample(list(tasks), min(most, len(tasks))), key=lambda task: task.id)


def _agent(arm: Arm, stages: Stages, golds: dict[str, GraphGold]) -> Agent:
    learned = arm.judger not in ("oracle", "random")
    generator, reflector = stages.chat(arm.generator), stages.chat(arm.reflector)
    agent = Agent.of_models(generator, stages.judger(arm.judger if learned else "judger"), reflector)
    if arm.judger == "oracle":
        return Agent(agent.generator, lambda asks: [_oracle(ask, golds) for ask in asks], agent.reflector)
    if arm.judger == "random":
        coin = random.Random(stages.seed)
        return Agent(agent.generator, lambda asks: [coin.random() for _ in asks], agent.reflector)
    return agent


def _oracle(ask: Ask, golds: dict[str, GraphGold]) -> float:
    assert ask.attempt is not None
    return float(golds[ask.task.id].matches(*ask.attempt))

"""The gold steps of tasks as an agent meets them, and what becomes of other replies there."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from setaria.agents.backtrack.chat import ChatModel
from setaria.agents.backtrack.environment import Outcome
from setaria.agents.backtrack.gold import GraphGold
from setaria.agents.backtrack.page_graph import PageGraph
from setaria.agents.backtrack.verifier import verify
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.tasks import Task
from setaria.rewards.gui.actions import Action, ActionError, Complete, Wait
from setaria.rewards.judgment import Attempted


@dataclass(frozen=True)
class Moment:
    """A gold step: the page, what was done before, and the right action."""

    task: Task
    graph: AppGraph
    page: Page
    done: tuple[Action, ...]
    action: Action
    gold: GraphGold

    def execute(self, action: Action) -> Outcome:
        """What an action does on this page."""
        if isinstance(action, Complete | Wait):
            return Outcome(self.page, True, False)
        return PageGraph(self.graph, self.page.id).execute(action)


def moments(tasks: Iterable[Task], graphs: dict[str, AppGraph]) -> Iterator[Moment]:
    """Every gold step of every task, the final `complete` included."""
    for task in tasks:
        graph = graphs[task.app]
        gold = GraphGold(graph, task)
        done: list[Action] = []
        for step in task.steps:
            yield Moment(task, graph, graph.page(step.page), tuple(done), step.action, gold)
            done.append(step.action)
        yield Moment(task, graph, graph.page(task.goal), tuple(done), Complete(), gold)


class AttemptsAtMoments:
    """Executes and judges the replies of a rollout: the `attempt_batch` of `setaria.rewards.judgment`.

    A row names its moment by the columns `task` and `page`.

    Args:
        judger: the frozen Judger; it is asked about what the Verifier lets pass. None: never.
    """

    def __init__(self, found: Iterable[Moment], prompts: Prompts, judger: ChatModel | None):
        self._moments = {(moment.task.id, moment.page.id): moment for moment in found}
        self.prompts, self.judger = prompts, judger

    def __call__(self, replies: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Attempted]:
        """What became of each reply.

        Raises:
            ValueError: for a row about a task or a page that is not known.
        """
        attempted: list[Attempted] = []
        questions: dict[int, list[dict[str, Any]]] = {}
        for number, (reply, row) in enumerate(zip(replies, rows, strict=True)):
            moment = self._moments.get((row["task"], row["page"]))
            if moment is None:
                raise ValueError(f"no task {row['task']!r} with a step on page {row['page']!r}")
            try:
                action = self.prompts.read(reply, moment.page)
            except ActionError:
                attempted.append(Attempted(right=False, verified=False, bad=None))
                continue
            outcome = moment.execute(action)
            verified = verify(moment.page, action, outcome).passed
            attempted.append(Attempted(moment.gold.matches(moment.page, action, outcome), verified, None))
            if verified and self.judger is not None:
                instruction = moment.task.instruction
                questions[number] = self.prompts.judger(instruction, moment.page, moment.done, action, outcome.page)
        if questions:
            assert self.judger is not None
            for number, yes in zip(questions, self.judger.yes_probability(list(questions.values())), strict=True):
                before = attempted[number]
                attempted[number] = Attempted(before.right, before.verified, 1 - yes)
        return attempted

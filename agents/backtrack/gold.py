"""What is right at each page of a task, for traces, for labels and for an oracle in the place of the Judger."""

from dataclasses import dataclass

from setaria.agents.backtrack.environment import Outcome
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.tasks import Task, distances
from setaria.rewards.gui.actions import Action, Complete


@dataclass
class GraphGold:
    """What is right for a task in a graph: whatever comes closer to the goal, by any way, and the task's own way."""

    graph: AppGraph
    task: Task

    def __post_init__(self):
        self._distance = distances(self.graph, self.task.goal)

    def action(self, page: Page) -> Action | None:
        """The task's own action on a page of its path, else one that comes closer; `None` where the goal is lost."""
        if page.id == self.task.goal:
            return Complete()
        for step in self.task.steps:
            if step.page == page.id:
                return step.action
        right = (action for action, number in self.graph.actions(page) if self._closer(page.id, number))
        return next(right, None)

    def matches(self, page: Page, action: Action, outcome: Outcome) -> bool:
        """Whether an action was right: it came closer to the goal or along the task's way, or said so at the goal."""
        if isinstance(action, Complete):
            return action.success and page.id == self.task.goal
        if any((step.page, step.after) == (page.id, outcome.page.id) for step in self.task.steps):
            return True
        return self._left(outcome.page.id) < self._left(page.id)

    def reached(self, page: Page) -> bool:
        """Whether the goal is there."""
        return page.id == self.task.goal

    def _closer(self, page: str, number: int) -> bool:
        after = self.graph.outcome(page, number)
        return after is not None and self._left(after) < self._left(page)

    def _left(self, page: str) -> float:
        return self._distance.get(page, float("inf"))

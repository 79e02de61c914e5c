"""An environment over a walked graph: executing is looking up an edge, the state is a unique page."""

from setaria.agents.backtrack.environment import Outcome
from setaria.agents.backtrack.verifier import element_problem
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.gui.actions import Action


class PageGraph:
    """The environment of one app's graph.

    Args:
        graph: the app.
        start: the unique page to start on, default: the root.
    """

    def __init__(self, graph: AppGraph, start: str | None = None):
        self.graph = graph
        self.state = start or graph.root

    def observe(self) -> Page:
        """The unique page of the present state."""
        return self.graph.page(self.state)

    def execute(self, action: Action) -> Outcome:
        """Follow an edge. Tri-state: an action that no walk listed is unknown, not wrong."""
        page = self.observe()
        if problem := element_problem(page, action):
            return Outcome(page, False, False, problem)
        number = self.graph.action_id(page, action)
        if number is None:
            return Outcome(page, None, False, "no walk tried this action here")
        after = self.graph.outcome(self.state, number)
        if after is None:
            listed = number in self.graph.invalid[self.state]
            return Outcome(page, False if listed else None, False, "its execution failed" if listed else "no edge")
        changed = after != self.state
        self.state = after
        return Outcome(self.observe(), True, changed)

    def snapshot(self) -> str:
        """Name of the unique page."""
        return self.state

    def restore(self, token: str) -> bool:
        """Go back to a page; always exact."""
        self.state = token
        return True

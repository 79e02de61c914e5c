"""An environment over a recorded episode without outcome pages: the outcome is the action drawn on the page (paper,
Auto-UI). Whatever is done, the next recorded page follows.
"""

from collections.abc import Sequence

from setaria.agents.backtrack.environment import Outcome
from setaria.agents.backtrack.verifier import element_problem
from setaria.datasets_builders.gui.drawing import draw_action
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.step_rows import RecordedStep
from setaria.rewards.gui.actions import Action, Wait


class Simulated:
    """The recorded pages of one episode, in order; run it with as many steps as it has.

    Pages on which the demonstrator only waited are left out: waiting executes nothing, so it would not lead on.
    """

    def __init__(self, steps: Sequence[RecordedStep]):
        self._pages = [step.page for step in steps if step.action != Wait()]
        self._number = 0
        if not self._pages:
            raise ValueError("a recorded episode has at least one step that does something")

    def observe(self) -> Page:
        """The recorded page; after the end, the last one."""
        return self._pages[min(self._number, len(self._pages) - 1)]

    def execute(self, action: Action) -> Outcome:
        """Draw the action and go on to the next page; an action that is not on the screen does nothing."""
        page = self.observe()
        if problem := element_problem(page, action):
            return Outcome(page, False, False, problem)
        self._number += 1
        return Outcome(draw_action(page, action), True, True)

    def snapshot(self) -> int:
        """Number of the recorded page."""
        return self._number

    def restore(self, token: int) -> bool:
        """Go back to a recorded page."""
        self._number = token
        return True


class RecordedGold:
    """What was demonstrated on each page; whether the whole episode succeeded is not known."""

    def __init__(self, steps: Sequence[RecordedStep]):
        self._steps = {step.page.id: step for step in steps}

    def action(self, page: Page) -> Action | None:
        """The demonstrated action."""
        step = self._steps.get(page.id)
        return step.action if step else None

    def matches(self, page: Page, action: Action, outcome: Outcome) -> bool:
        """Whether the action counts as right by the dataset's rules."""
        return page.id in self._steps and self._steps[page.id].right(action)

    def reached(self, page: Page) -> None:
        """Not known."""

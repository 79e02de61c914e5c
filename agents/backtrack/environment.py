"""What the loop needs of a world in which a GUI agent acts: observe, execute, snapshot, restore."""

from dataclasses import dataclass
from typing import Any, Protocol

from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.gui.actions import Action


class EnvironmentLost(RuntimeError):
    """The environment is gone for good, as a device that was unplugged; the episode ends."""


@dataclass(frozen=True)
class Outcome:
    """What an action did.

    Attributes:
        page: P', what is shown afterwards.
        valid: whether the action could be executed; `None` where that is unknown, as for an edge that no walk tried.
        changed: whether P' is another page than P.
        reason: why the action is not valid, or unknown; or what else is to be known about the page.
    """

    page: Page
    valid: bool | None
    changed: bool
    reason: str = ""


class Environment(Protocol):
    """One running world. `complete` and `wait` are the loop's business and never executed."""

    def observe(self) -> Page:
        """P, the page shown now."""

    def execute(self, action: Action) -> Outcome:
        """Do the action.

        Raises:
            EnvironmentLost: if nothing can be executed any more.
        """

    def snapshot(self) -> Any:
        """A token of the present state."""

    def restore(self, token: Any) -> bool:
        """Return to a state; False if it was not reached."""

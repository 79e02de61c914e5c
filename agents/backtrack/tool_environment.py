"""Apps as tools: whole episodes for TRL's `environment_factory`, in which the model decides itself when to go back.

A rollout is one episode. TRL appends what `reset` returns, the first screen, to the prompt; a call of a tool is one
action, and what the tool returns is its outcome page: the image, and as text what the Verifier says and A(P). At the
end the environment rewards itself:

    r = gold_weight * [the last page is the goal] - verifier_weight * share of calls that fail the Verifier

`go_back` is the paper's one-step backtracking: it discards the last outcome page P' and returns to P. The paper trains
single steps; that a model learns when to call it, from whole episodes, is ours.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from json import dumps
from typing import Any, TypeAlias

from datasets import Dataset
from PIL import Image

from setaria.agents.backtrack.page_graph import PageGraph
from setaria.agents.backtrack.verifier import verify
from setaria.datasets_builders.gui.mobile3m import AppGraph
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.gui.tasks import Task
from setaria.rewards.boxes import area, center, contains
from setaria.rewards.gui.actions import Action, ActionError, Click, Direction, Input, Scroll, action_from_dict


Content: TypeAlias = list[dict[str, Any]]
INSTRUCTION = (
    "Task: {task}\nUse the app with the tools, one call at a time. If the last action was wrong, go back and try "
    "another. Call complete when the task is done."
)
TOOLS = ("click", "complete", "go_back", "scroll", "type_text")  # in TRL's order
OVER = "The episode is over."
MOST_SHOWN = 80


def tool_environment(
    graphs: Mapping[str, AppGraph],
    tasks: Iterable[Task],
    fit: Callable[[Image.Image], Image.Image] | None = None,
    clip: Callable[[str], str] | None = None,
    max_steps: int = 12,
    gold_weight: float = 1.0,
    verifier_weight: float = 0.0,
) -> Callable[[], "GuiTools"]:
    """A factory for TRL's `environment_factory`; see `GuiTools` for the arguments.

    Raises:
        ValueError: for two tasks of one id, and a task without a graph.
    """
    by_id: dict[str, Task] = {}
    for task in tasks:
        if task.id in by_id:
            raise ValueError(f"two tasks are called {task.id!r}, and rows name tasks by their id")
        if task.app not in graphs:
            raise ValueError(f"{task.id}: there is no graph of the app {task.app!r}")
        by_id[task.id] = task
    return partial(GuiTools, graphs, by_id, fit, clip, max_steps, gold_weight, verifier_weight)


def episode_rows(tasks: Iterable[Task]) -> Dataset:
    """A row per task: `prompt`, without a screen, which `reset` appends, and `task`, the id that `reset` is given."""
    return row_dataset(
        {"prompt": [{"role": "user", "content": INSTRUCTION.format(task=_plain(task.instruction))}], "task": task.id}
        for task in tasks
    )


@dataclass(eq=False)
class GuiTools:
    """One rollout's app. TRL makes a tool of each public function but `reset` and `get_reward`.

    A call that cannot be carried out is answered with what was wrong, and takes a step as well.

    Args:
        graphs: the graphs by app.
        tasks: the tasks by id.
        fit: what is done to each image; bring it to the processor's fixed point and its tokens are bounded.
        clip: what is done to the text that comes with a screen, to bound its tokens.
        max_steps: calls after which the episode is over. Each returns at most one image.
        gold_weight: reward for an episode that ends on the goal, by whatever way, as task success is counted.
        verifier_weight: b1, penalty if all calls failed the Verifier or were about nothing that is there.
    """

    graphs: Mapping[str, AppGraph]
    tasks: Mapping[str, Task]
    fit: Callable[[Image.Image], Image.Image] | None = None
    clip: Callable[[str], str] | None = None
    max_steps: int = 12
    gold_weight: float = 1.0
    verifier_weight: float = 0.0

    def reset(self, task: str, **row: Any) -> Content:
        """Begin the task of that id; returns its first screen. The row's other columns are not used.

        Raises:
            ValueError: for an unknown task.
        """
        if task not in self.tasks:
            raise ValueError(f"there is no task {task!r} in the world of this environment")
        self._task = self.tasks[task]
        self._world = PageGraph(self.graphs[self._task.app], self._task.start)
        self._before: str | None = None
        self._steps = self._failed = 0
        self._over = False
        return self._screen("This is the screen.")

    def get_reward(self) -> float:
        """The reward of the episode as it stands."""
        success = self._world.state == self._task.goal
        return self.gold_weight * success - self.verifier_weight * self._failed / max(self._steps, 1)

    def click(self, ref: str) -> Content:
        """Click an element of the screen.

        Args:
            ref: Name of the element, one of the list "click".
        """
        return self._step(lambda page: _named(page, Click, ref))

    def type_text(self, ref: str, value: str) -> Content:
        """Type text into an input box of the screen.

        Args:
            ref: Name of the input box, one of the list "type_text".
            value: The text.
        """
        return self._step(lambda page: _typing(page, ref, value))

    def scroll(self, direction: Direction) -> Content:
        """Swipe over the largest list of the screen.

        Args:
            direction: Where the finger moves: up shows what is below.
        """
        return self._step(lambda page: _scrolling(page, direction))

    def go_back(self) -> Content:
        """Take back the last action and return to the screen before it. Only one action can be taken back."""
        if self._over:
            return _text(OVER)
        self._count()
        if self._before is None:
            self._failed += 1
            return self._answer("There is no action to take back.")
        self._world.restore(self._before)
        self._before = None
        return self._screen("The last action was taken back.")

    def complete(self) -> Content:
        """Say that the task is done. The episode ends."""
        if not self._over:
            self._count()
            self._over = True
        return _text(OVER)

    def _step(self, find: Callable[[Page], Action]) -> Content:
        """Carry out the action that `find` makes of the page; the message of its ActionError answers a bad call."""
        if self._over:
            return _text(OVER)
        self._count()
        page = self._world.observe()
        try:
            action = find(page)
        except ActionError as error:
            self._failed += 1
            return self._answer(_plain(str(error)))
        self._before = self._world.snapshot()
        verdict = verify(page, action, self._world.execute(action))
        self._failed += not verdict.passed
        return self._screen(verdict.reason or "The screen changed.")

    def _count(self) -> None:
        self._steps += 1
        self._over = self._steps >= self.max_steps

    def _screen(self, note: str) -> Content:
        page = self._world.observe()
        image = self.fit(page.image) if self.fit else page.image
        return [{"type": "image", "image": image}, *self._answer("\n".join([note, *_offers(page)]))]

    def _answer(self, text: str) -> Content:
        text = f"{OVER} {text}" if self._over else text
        return _text(self.clip(text) if self.clip else text)


def _text(text: str) -> Content:
    return [{"type": "text", "text": text}]


def _offers(page: Page) -> list[str]:
    """A(P): what can be named in a call, in lists of JSON."""
    lists = {"click": _refs(page, Click), "type_text": _refs(page, Input)}
    lines = [f"{tool}: {dumps(list(refs), ensure_ascii=False)}" for tool, refs in lists.items() if refs]
    directions = {action.direction: None for action in page.actions if isinstance(action, Scroll)}
    return [*lines, f"scroll: {dumps(list(directions))}"] if directions else lines


def _refs(page: Page, kind: type[Click] | type[Input]) -> dict[str, Any]:
    """The candidate actions of a kind by the name of their element; the second of a name is `name (2)`."""
    found: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    for action in page.actions:
        if isinstance(action, kind) and contains((0, 0, *page.size), *center(action.box)):
            name = _plain(action.text) or "unnamed"
            seen[name] += 1
            found.setdefault(name if seen[name] == 1 else f"{name} ({seen[name]})", action)
    return found


def _named(page: Page, kind: type[Click] | type[Input], ref: Any) -> Any:
    """The candidate action that a call means.

    Raises:
        ActionError: if there is none.
    """
    action = _refs(page, kind).get(_plain(ref)) if isinstance(ref, str) else None
    if action is None:
        shown = repr(ref) if len(repr(ref)) <= MOST_SHOWN else repr(ref)[: MOST_SHOWN - 3] + "..."
        raise ActionError(f"{shown} is not in the list {'type_text' if kind is Input else 'click'} of this screen")
    return action


def _typing(page: Page, ref: Any, value: Any) -> Action:
    box = _named(page, Input, ref)
    return action_from_dict({"type": "input", "box": box.box, "text": box.text, "value": value})


def _scrolling(page: Page, direction: Any) -> Action:
    offered = [action for action in page.actions if isinstance(action, Scroll)]
    if not offered:
        raise ActionError("nothing on this screen can be scrolled")
    largest = max(offered, key=lambda action: area(action.box))
    return action_from_dict({"type": "scroll", "box": largest.box, "direction": direction})


def _plain(text: str) -> str:
    """Text of a page or a model in one line; what a tokenizer would read as a special token is taken apart."""
    return " ".join(text.split()).replace("<|", "< |")

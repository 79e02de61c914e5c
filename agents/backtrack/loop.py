"""The loop of BacktrackAgent: act, look at the outcome, judge, go back one step if it was wrong (paper, section 3).

    a_1 = G(X, P, A(P), h), executed: P'_1
    p_v = Verifier, p_j = Judger;  p_v = p_j = 1: accept
    else, at most 3 times: back to P, a_i+1 = R(X, P, A(P), h, a_1..a_i, P'_i)
    the last attempt stands when all fail

An episode is a coroutine that yields what it wants to ask and is sent the answer, so that the questions of many
episodes can be put into one batch (`setaria.agents.backtrack.run`).
"""

import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from setaria.agents.backtrack.environment import Environment, EnvironmentLost, Outcome
from setaria.agents.backtrack.roles import Answer, Ask, Gold, Role
from setaria.agents.backtrack.traces import TraceFolder
from setaria.agents.backtrack.verifier import Verdict, verify
from setaria.datasets_builders.gui.drawing import draw_action
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.tasks import Task
from setaria.rewards.gui.actions import Action, ActionError, Complete, Wait, action_to_dict


Episode: TypeAlias = Generator[Ask, Answer, dict[str, Any]]
NOT_VERIFIED = Verdict(False)
NOT_UNDONE = "could not be undone"


@dataclass(frozen=True)
class LoopConfig:
    """Settings of the loop.

    Attributes:
        verifier, judger: which of them decide; with neither there is no backtracking.
        reflections: how often a step is tried again at most (paper: 3).
        threshold: P(Yes) from which the Judger accepts.
        candidates_only: the Reflector answers with a candidate that was not tried, or `complete`, and nothing else
            (ours; for a model in this process). A small one gives the same action again most of the time without it.
        judge_all: ask the Judger also where the Verifier has failed (our default: off, it would only cost time).
        simulated: show Judger and Reflector the action drawn on the page in place of the outcome, and do not let the
            Verifier look at the outcome (the paper's ablation, and the only way where there are no outcome pages).
        steps: most steps of an episode.
        repeats: how often the same action may stand on the same page before the episode ends.
    """

    verifier: bool = True
    judger: bool = True
    reflections: int = 3
    threshold: float = 0.5
    candidates_only: bool = False
    judge_all: bool = False
    simulated: bool = False
    steps: int = 12
    repeats: int = 3

    def __post_init__(self):
        for name, least in (("reflections", 0), ("steps", 1), ("repeats", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: at least {least}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold} is no probability")


@dataclass
class Attempt:
    """One try at a step."""

    role: Role
    reply: str
    seconds: float
    action: Action | None = None
    error: str | None = None
    outcome: Outcome | None = None
    verdict: Verdict = NOT_VERIFIED
    judged: float | None = None
    accepted: bool = False
    gold_match: bool | None = None

    @property
    def executed(self) -> bool:
        """Whether there is something to be undone."""
        return self.outcome is not None and not isinstance(self.action, Complete | Wait)


@dataclass
class Step:
    """A page and the attempts on it."""

    page: Page
    attempts: list[Attempt]


@dataclass
class Play:
    """One episode: an agent at work on a task."""

    task: Task
    environment: Environment
    prompts: Prompts
    config: LoopConfig
    trace: TraceFolder
    gold: Gold | None = None
    done: list[Action] = field(default_factory=list)

    def episode(self) -> Episode:
        """Ask, act, and return the finished trace; what ends it is stated, a lost environment included."""
        began = time.monotonic()
        steps: list[Step] = []
        end, page = "too many steps", None
        stood: Counter[tuple[str, Action]] = Counter()
        try:
            page = self.environment.observe()
            for _ in range(self.config.steps):
                attempts: list[Attempt] = []
                steps.append(Step(page, attempts))
                yield from self._step(page, attempts)
                action = attempts[-1].action
                if action is None:
                    end = f"no action: {attempts[-1].error}"
                    break
                self.done.append(action)
                if isinstance(action, Complete):
                    end = "complete"
                    break
                stood[page.id, action] += 1
                again = stood[page.id, action] >= self.config.repeats
                page = self.environment.observe()
                if again:
                    end = "the same action again and again on one page"
                    break
        except EnvironmentLost as error:
            end = f"environment lost: {error}"
        return {
            "episode": self.task.id,
            "instruction": self.task.instruction,
            "app": self.task.app,
            "task": {"start": self.task.start, "goal": self.task.goal, "gold_steps": len(self.task.steps) + 1},
            "steps": [self._recorded(step) for step in steps],
            "end": {
                "reason": end,
                "page": page and self.trace.page(page),
                "success": self.gold.reached(page) if self.gold and page else None,
                "seconds": round(time.monotonic() - began, 3),
            },
        }

    def _step(self, page: Page, attempts: list[Attempt]) -> Generator[Ask, Answer, None]:
        """Fill in the attempts at one step; the last one stands, and the environment is left after it.

        An action that cannot be undone stands too: another one is for the page that was left.
        """
        backtracking = self.config.verifier or self.config.judger
        token = self.environment.snapshot()
        for _ in range(1 + self.config.reflections * backtracking):
            if attempts and attempts[-1].executed and not self.environment.restore(token):
                attempts[-1].error = "; ".join(filter(None, (attempts[-1].error, NOT_UNDONE)))
                break
            yield from self._attempt(page, attempts)
            if attempts[-1].accepted:
                break

    def _attempt(self, page: Page, attempts: list[Attempt]) -> Generator[Ask, Answer, None]:
        """Add one attempt; whatever happens to the environment, it is on record."""
        instruction, config = self.task.instruction, self.config
        before = [attempt.action for attempt in attempts]
        if before:
            tried = [action for action in before if action]
            conversation = self.prompts.reflector(instruction, page, self.done, tried, self._shown(page, attempts))
            beginnings = self.prompts.beginnings(page, tried) if config.candidates_only else ()
            ask = Ask("reflector", conversation, self.task, beginnings=beginnings)
        else:
            ask = Ask("generator", self.prompts.generator(instruction, page, self.done), self.task)
        answer = yield ask
        attempt = Attempt(ask.role, answer.value, answer.seconds)
        attempts.append(attempt)
        try:
            attempt.action = action = self.prompts.read(answer.value, page)
        except ActionError as error:
            attempt.error = str(error)
            return
        attempt.outcome = outcome = self._execute(page, action)
        if self.gold:
            attempt.gold_match = self.gold.matches(page, action, outcome)
        if action in before:
            attempt.error = f"repeats attempt {before.index(action) + 1}"
            return
        seen = Outcome(self._shown(page, attempts), True, True) if config.simulated else outcome
        attempt.verdict = verify(page, action, seen)
        if config.judger and (attempt.verdict.passed or not config.verifier or config.judge_all):
            conversation = self.prompts.judger(instruction, page, self.done, action, seen.page)
            answer = yield Ask("judger", conversation, self.task, (page, action, outcome))
            attempt.judged = answer.value
            attempt.seconds += answer.seconds
        verified = attempt.verdict.passed or not config.verifier
        attempt.accepted = verified and (not config.judger or (attempt.judged or 0.0) >= config.threshold)

    def _execute(self, page: Page, action: Action) -> Outcome:
        if isinstance(action, Complete | Wait):
            return Outcome(page, True, False)
        return self.environment.execute(action)

    def _shown(self, page: Page, attempts: list[Attempt]) -> Page:
        """The outcome page of the last action as the models are shown it; the page itself where there was none."""
        for attempt in reversed(attempts):
            if attempt.action and attempt.outcome:
                return draw_action(page, attempt.action) if self.config.simulated else attempt.outcome.page
        return page

    def _recorded(self, step: Step) -> dict[str, Any]:
        gold = self.gold.action(step.page) if self.gold else None
        return {
            "page": self.trace.page(step.page),
            "gold": action_to_dict(gold) if gold else None,
            "attempts": [self._recorded_attempt(attempt) for attempt in step.attempts],
            "accepted": len(step.attempts) - 1,
        }

    def _recorded_attempt(self, attempt: Attempt) -> dict[str, Any]:
        outcome = attempt.outcome
        return {
            "role": attempt.role,
            "reply": attempt.reply,
            "action": action_to_dict(attempt.action) if attempt.action else None,
            "error": attempt.error,
            "outcome": outcome
            and {
                "page": self.trace.page(outcome.page),
                "valid": outcome.valid,
                "changed": outcome.changed,
                "reason": outcome.reason or attempt.verdict.reason,
            },
            "verifier": attempt.verdict.passed,
            "judger": attempt.judged,
            "accepted": attempt.accepted,
            "gold_match": attempt.gold_match,
            "seconds": round(attempt.seconds, 4),
        }

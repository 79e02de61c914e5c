"""Runs episodes side by side: questions that wait at the same time are put to a role in one batch."""

import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from setaria.agents.backtrack.loop import Episode, Play
from setaria.agents.backtrack.roles import Agent, Answer, Ask
from setaria.agents.backtrack.traces import TraceFolder


def run_episodes(plays: Iterable[Play], agent: Agent, trace: TraceFolder, batch: int = 32) -> Iterator[dict[str, Any]]:
    """Run what is not in the trace yet, and yield each episode when it is finished and written.

    Args:
        batch: how many episodes run side by side.

    Raises:
        ValueError: for a batch of none, and if a role returns more or fewer answers than it was asked questions.
    """
    if batch < 1:
        raise ValueError(f"batch={batch}: at least 1")
    finished = trace.finished()
    waiting = ((play.episode(), None) for play in plays if play.task.id not in finished)
    answered: list[tuple[Episode, Answer | None]] = []
    while True:
        live: list[Episode] = []
        asks: list[Ask] = []
        for episode, answer in chain(answered, waiting):
            try:
                asks.append(episode.send(answer) if answer else next(episode))
                live.append(episode)
            except StopIteration as end:
                trace.add(end.value)
                yield end.value
            if len(live) == batch:
                break
        if not live:
            return
        answered = list(zip(live, _answers(agent, asks), strict=True))


def _answers(agent: Agent, asks: list[Ask]) -> list[Answer]:
    """Answers in the order of the questions, each role asked once."""
    answers: dict[int, Answer] = {}
    for role in ("generator", "judger", "reflector"):
        asked = [number for number, ask in enumerate(asks) if ask.role == role]
        if not asked:
            continue
        began = time.monotonic()
        values = getattr(agent, role)([asks[number] for number in asked])
        if len(values) != len(asked):
            raise ValueError(f"{role}: {len(values)} answers to {len(asked)} questions")
        seconds = (time.monotonic() - began) / len(asked)
        answers |= {number: Answer(value, seconds) for number, value in zip(asked, values, strict=True)}
    return [answers[number] for number in range(len(asks))]

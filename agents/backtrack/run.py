"""Runs episodes side by side: questions that wait at the same time are put to a role in one batch."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from setaria.agents.backtrack.loop import Episode, Play
from setaria.agents.backtrack.roles import Agent, Answer, Ask
from setaria.agents.backtrack.traces import TraceFolder


def run_episodes(plays: Iterable[Play], agent: Agent, trace: TraceFolder, batch: int = 32) -> Iterator[dict[str, Any]]:
    """Run what is not in the trace yet, and yield each episode when it is finished and written.

    Args:
        batch: how many episodes run side by side.
    """
    finished = trace.finished()
    waiting = (play.episode() for play in plays if play.task.id not in finished)
    live: list[tuple[Episode, Ask]] = []
    while True:
        for episode in islice(waiting, batch - len(live)):
            live.append((episode, next(episode)))
        if not live:
            return
        answers = _answers(agent, [ask for _, ask in live])
        going_on = []
        for (episode, _), answer in zip(live, answers, strict=True):
            try:
                going_on.append((episode, episode.send(answer)))
            except StopIteration as end:
                trace.add(end.value)
                yield end.value
        live = going_on


def _answers(agent: Agent, asks: list[Ask]) -> list[Answer]:
    """Answers in the order of the questions, each role asked once."""
    answers: dict[int, Answer] = {}
    for role in ("generator", "judger", "reflector"):
        asked = [number for number, ask in enumerate(asks) if ask.role == role]
        if not asked:
            continue
        began = time.monotonic()
        values = getattr(agent, role)([asks[number] for number in asked])
        seconds = (time.monotonic() - began) / len(asked)
        answers |= {number: Answer(value, seconds) for number, value in zip(asked, values, strict=True)}
    return [answers[number] for number in range(len(asks))]

"""The tasks that can be asked for by name: ours, with a file or without, and those of lm-evaluation-harness."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from setaria.evaluation.alpaca_eval import AlpacaEval
from setaria.evaluation.backtrack import Backtrack
from setaria.evaluation.completion import Completion
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.fidelity import Fidelity
from setaria.evaluation.lossless import Lossless
from setaria.evaluation.makar import Makar
from setaria.evaluation.mt_bench import MTBench
from setaria.evaluation.recall import Recall
from setaria.evaluation.speed import Speed
from setaria.evaluation.task import Task


# With a path, or `None` for a task that needs none (`config.OWN_TASKS`).
TASKS: dict[str, Callable[[Any, EvalConfig], Task]] = {
    "fidelity": Fidelity,
    "completion": Completion,
    "recall": Recall,
    "speed": Speed,
    "lossless": Lossless,
    "alpaca_eval": AlpacaEval,
    "mt_bench": MTBench,
    "backtrack": Backtrack,
    "makar": Makar,
}


def build_tasks(config: EvalConfig) -> list[Task]:
    """The configured tasks.

    Raises:
        ValueError: for a name that neither we nor the harness know, with the nearest ones.
    """
    return [_build(name, file, config) for name, file in config.tasks.items()]


def _build(name: str, file: Path | None, config: EvalConfig) -> Task:
    if name in TASKS:
        return TASKS[name](file, config)
    try:
        from setaria.evaluation.harness import HarnessTask
    except ImportError as error:
        raise ValueError(
            f"tasks={name!r} is not one of {', '.join(TASKS)}; tasks of lm-evaluation-harness need "
            f"pip install 'setaria[eval]' ({error})"
        ) from None
    return HarnessTask(name, config)

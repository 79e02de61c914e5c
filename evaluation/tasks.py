"""Tasks by their names: ours, and those of lm-evaluation-harness."""

from setaria.evaluation.alpaca_eval import AlpacaEval
from setaria.evaluation.completion import Completion
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.fidelity import Fidelity
from setaria.evaluation.lossless import Lossless
from setaria.evaluation.mt_bench import MTBench
from setaria.evaluation.recall import KeyValue, Needle
from setaria.evaluation.speed import Speed
from setaria.evaluation.task import Task


OWN = {one.name: one for one in (Fidelity, Completion, Needle, KeyValue, Speed, Lossless, AlpacaEval, MTBench)}


def make_tasks(config: EvalConfig) -> list[Task]:
    """All tasks of a configuration; a group of the harness becomes its tasks.

    Raises:
        ValueError: for a task that cannot be evaluated here, or that two names have in common.
    """
    tasks: list[Task] = []
    for name, file in config.tasks.items():
        if name in OWN:
            tasks.append(OWN[name](file, config))
        else:
            from setaria.evaluation.harness import harness_tasks

            tasks += harness_tasks(name, config)
    names = [task.name for task in tasks]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"tasks: {twice[0]} is there twice, as a part of a group")
    return tasks

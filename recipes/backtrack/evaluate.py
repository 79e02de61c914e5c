"""Evaluates the loop of BacktrackAgent on the tasks of a world.

    python -m setaria.recipes.backtrack.evaluate --config recipes/backtrack/evaluate.yaml --world WORLD/held_out \
        --model_name_or_path BACKBONE --judger ADAPTER --reflector ADAPTER --output RUN [--key value ...]

A role is an adapter of the backbone, a checkpoint of its own, the backbone itself, or a served model (`--endpoint`).
RUN gets `metrics.json`, the traces of all episodes and `run/`; started again, it goes on with the episodes that are
missing. `setaria trace view RUN` shows them.
"""

import sys
from typing import Any

from setaria.recipes.backtrack.collect import check_agent
from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "setaria.recipes.backtrack.agent_arguments:AgentArguments",
    "setaria.recipes.backtrack.agent_arguments:EvaluateArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        if problem := torchvision_problem():
            raise ImportError(problem)
        from trl import TrlParser

        from setaria.agents.backtrack.endpoint import EndpointError
        from setaria.recipes.backtrack.agent_arguments import EvaluateArguments
        from setaria.recipes.backtrack.evaluation import evaluate, print_metrics

        (arguments,) = TrlParser((EvaluateArguments,)).parse_args_and_config(argv)
        try:
            print_metrics(evaluate(arguments), arguments.output)
        except EndpointError as error:
            raise OSError(f"{error}; the same command goes on where it stopped") from error


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    check_agent(values, ("generator", "judger", "reflector"))
    if values.get("endpoint") and values.get("candidates_only"):
        raise ValueError("candidates_only needs a Reflector in this process, not behind an endpoint")


if __name__ == "__main__":
    main()

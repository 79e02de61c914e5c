"""Collects rows for Judger and Reflector, and grounding rows, from a Generator's actions (paper, section 4.1).

    python -m setaria.recipes.backtrack.collect --config recipes/backtrack/collect.yaml \
        --model_name_or_path GENERATOR --world WORLD/train --output ROWS [--key value ...]

`setaria build backtrack collect` is the same. The Generator is a checkpoint, a LoRA adapter of one (`--generator`), or
a served model (`--endpoint`).
"""

import sys
from collections.abc import Sequence
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "setaria.recipes.backtrack.agent_arguments:AgentArguments",
    "setaria.recipes.backtrack.agent_arguments:CollectArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        if problem := torchvision_problem():
            raise ImportError(problem)
        from trl import TrlParser

        from setaria.agents.backtrack.endpoint import EndpointError
        from setaria.recipes.backtrack.agent_arguments import CollectArguments
        from setaria.recipes.backtrack.collection import collect
        from setaria.recipes.backtrack.row_table import print_rows

        (arguments,) = TrlParser((CollectArguments,)).parse_args_and_config(argv)
        try:
            print_rows(collect(arguments), arguments.output)
        except EndpointError as error:
            raise OSError(str(error)) from error


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    check_agent(values, ("generator",))


def check_agent(values: dict[str, Any], roles: Sequence[str]) -> None:
    """Raise a `ValueError` unless there is a world, a folder to write, and a model for each role."""
    for name, meaning in (
        ("world", "a folder with graphs and tasks.jsonl, such as WORLD/train"),
        ("output", "a folder to write"),
    ):
        if not values.get(name):
            raise ValueError(f"{name} is missing: give {meaning}")
    if not values.get("endpoint") and not values.get("model_name_or_path"):
        raise ValueError("no model: give model_name_or_path, or endpoint and endpoint_model")
    nameless = [role for role in roles if not values.get(role)]
    if values.get("endpoint") and nameless and not values.get("endpoint_model"):
        raise ValueError(f"endpoint_model is missing: it is the served model of {', '.join(nameless)}")


if __name__ == "__main__":
    main()

"""Asks a chat model for the reasoning of the cold start: what training entities look like and why one finds them.

    python -m setaria.recipes.makar.reasoning --config recipes/makar/reasoning.yaml \
        --model_name_or_path MODEL --data DATA --output reasoning.jsonl [--key value ...]

`setaria build makar reasoning` is the same. The model is told the gold of the training split, and of no other. It runs
in this process or is served (`--endpoint`), and need not be of the family that is trained. Faulty texts are in the
file too, with what is wrong with them; an interrupted run goes on where it was.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.makar.split import check_served
from setaria.recipes.preflight import preflight, require
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "setaria.recipes.makar.script_arguments:ChatArguments",
    "setaria.recipes.makar.script_arguments:ReasoningArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        if problem := torchvision_problem():
            raise ImportError(problem)
        from trl import TrlParser

        from setaria.agents.backtrack.endpoint import EndpointError
        from setaria.recipes.makar.build import build_reasoning
        from setaria.recipes.makar.script_arguments import ReasoningArguments

        (arguments,) = TrlParser((ReasoningArguments,)).parse_args_and_config(argv)
        try:
            counts = build_reasoning(arguments)
        except EndpointError as error:
            raise OSError(str(error)) from error
        print(f"{arguments.output}: {', '.join(f'{name}: {count}' for name, count in counts.items())}")


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    require(
        values,
        {"data": "a folder in the layout of Twitter-GMNER or FMNERG", "output": "a file of JSON lines to write"},
    )
    if not values.get("endpoint"):
        require(values, {"model_name_or_path": "a checkpoint, or endpoint and endpoint_model"})
    check_served(values)


if __name__ == "__main__":
    main()

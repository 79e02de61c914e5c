"""Splits rows of the grounding agent into easy ones for SFT and hard ones for GRPO, by a model's pass rate.

    python -m setaria.recipes.makar.split --config recipes/makar/split.yaml \
        --model_name_or_path MODEL --rows ROWS --output SPLIT [--key value ...]

`setaria build makar split` is the same. The model is the cold start: the instruct model, or what a first SFT left; it
runs in this process or is served (`--endpoint`). It writes SPLIT/easy, SPLIT/hard and SPLIT/difficulty.json; an
interrupted run goes on from SPLIT/rates.jsonl.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight, require
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "setaria.recipes.makar.script_arguments:ChatArguments",
    "setaria.recipes.makar.script_arguments:SplitArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        if problem := torchvision_problem():
            raise ImportError(problem)
        from trl import TrlParser

        from setaria.agents.backtrack.endpoint import EndpointError
        from setaria.recipes.makar.build import build_split
        from setaria.recipes.makar.difficulty_table import print_difficulty
        from setaria.recipes.makar.script_arguments import SplitArguments

        (arguments,) = TrlParser((SplitArguments,)).parse_args_and_config(argv)
        try:
            print_difficulty(build_split(arguments), arguments.output)
        except EndpointError as error:
            raise OSError(str(error)) from error


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    require(
        values,
        {
            "rows": "a folder that `setaria build makar rows` wrote",
            "output": "a folder to write",
            "model_name_or_path": "the checkpoint; of a served model too, for its processor",
        },
    )
    check_served(values)


def check_served(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for a server without the name of its model, and with an adapter, which it cannot take."""
    if values.get("endpoint"):
        require(values, {"endpoint_model": "the name of the served model"})
        if values.get("adapter"):
            raise ValueError("adapter is for a model in this process: serve it, and name it as endpoint_model")


if __name__ == "__main__":
    main()

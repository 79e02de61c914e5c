"""Asks a chat model what it knows about the tweets of a split, and looks up what it is not sure of (MAKAR, KEA, ECA).

    python -m setaria.recipes.makar.knowledge --config recipes/makar/knowledge_qwen2.5_vl_7b.yaml \
        --data DATA --split dev --output KNOWLEDGE [--key value ...]

    KNOWLEDGE/<split>.jsonl            {"tweet", "text", ...}: for the tagger, and for `setaria check leak KNOWLEDGE`
    KNOWLEDGE/<split>_entities.jsonl   {"tweet", "entity", "text"}: for rows of the grounding agent
    KNOWLEDGE/<split>_report.json      settings and counts
    KNOWLEDGE/threshold.json           tau, tuned on dev; other splits take it from there
    KNOWLEDGE/{replies,searches,pages}.jsonl    all that was asked, found and read

The results are written at the end, from these recordings. A run that was interrupted, has another tau or was without a
search engine asks only for what is missing when it is started again.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.makar.split import check_served
from setaria.recipes.preflight import preflight, require
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "setaria.recipes.makar.script_arguments:ChatArguments",
    "setaria.recipes.makar.knowledge_arguments:KnowledgeArguments",
)
WEB = {"corpus": "a file of pages, or a folder of such", "searxng": "the address of the SearXNG server"}


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        if problem := torchvision_problem():
            raise ImportError(problem)
        from trl import TrlParser

        from setaria.agents.backtrack.endpoint import EndpointError
        from setaria.recipes.makar.knowledge_arguments import KnowledgeArguments
        from setaria.recipes.makar.knowledge_run import run_knowledge

        (arguments,) = TrlParser((KnowledgeArguments,)).parse_args_and_config(argv)
        try:
            counts = run_knowledge(arguments)
        except EndpointError as error:
            raise OSError(str(error)) from error
        print(f"{arguments.output}: {', '.join(f'{name}: {count}' for name, count in counts.items())}")


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    require(
        values, {"data": "a folder in the layout of Twitter-GMNER or FMNERG", "output": "a folder for the results"}
    )
    if not values.get("endpoint"):
        require(values, {"model_name_or_path": "a checkpoint, or endpoint and endpoint_model"})
    if values.get("image_max_pixels"):
        require(values, {"model_name_or_path": "the checkpoint whose processor sizes images; of a served model too"})
    check_served(values)
    search = values.get("search")
    if search in WEB:
        require(values, {"web": WEB[search]})
    elif values.get("web"):
        raise ValueError(f"web is for search: {' or '.join(WEB)}")
    if values.get("tau") is not None and not search:
        raise ValueError("tau is for correction: give search too")


if __name__ == "__main__":
    main()

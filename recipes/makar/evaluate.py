"""Runs MAKAR's pipeline over a split and measures it: `setaria agent makar` is the same.

    python -m setaria.recipes.makar.evaluate --config recipes/makar/evaluate_qwen2.5_vl_7b.yaml \
        --data DATA --tagger TAGGER --grounding_model GROUNDING --output RUN [--key value ...]

    RUN/predictions.jsonl    a line per tweet: gold, what was found and why, sources, marks
    RUN/metrics.json         scores, floors, counts, settings, versions
    RUN/{replies,searches,pages}.jsonl    all that was asked, found and read

Ablations: --knowledge model|file|off, --search off|corpus|recorded|searxng|ddgs, --ner tagger|model|gold, --grounding
model|gold|whole-image|off. A run that was interrupted goes on where it was, and asks no model twice; one that was
without a search engine tries again what it marked. `--recordings` lets several runs share what was asked.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.makar.knowledge import WEB
from setaria.recipes.makar.split import check_served
from setaria.recipes.preflight import preflight, require
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "setaria.recipes.makar.script_arguments:ChatArguments",
    "setaria.recipes.makar.knowledge_arguments:KnowledgeArguments",
    "setaria.recipes.makar.evaluate_arguments:EvaluateArguments",
)
DEFAULTS = {"knowledge": "model", "search": "off", "ner": "tagger", "grounding": "model"}


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        if problem := torchvision_problem():
            raise ImportError(problem)
        from trl import TrlParser

        from setaria.agents.backtrack.endpoint import EndpointError
        from setaria.recipes.makar.evaluate_arguments import EvaluateArguments
        from setaria.recipes.makar.evaluation import evaluate
        from setaria.recipes.makar.evaluation_tables import print_results

        (arguments,) = TrlParser((EvaluateArguments,)).parse_args_and_config(argv)
        try:
            print_results(evaluate(arguments), arguments.output)
        except EndpointError as error:
            raise OSError(f"{error}; the same command goes on where it stopped") from error


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    agents = {name: values.get(name) or default for name, default in DEFAULTS.items()}
    require(
        values, {"data": "a folder in the layout of Twitter-GMNER or FMNERG", "output": "a folder for the results"}
    )
    _check_names(values, agents)
    _check_search(values, agents)
    if agents["knowledge"] == "model" or agents["search"] != "off":
        if not values.get("endpoint"):
            require(values, {"model_name_or_path": "a checkpoint, or endpoint and endpoint_model"})
        if values.get("image_max_pixels"):
            require(
                values, {"model_name_or_path": "the checkpoint whose processor sizes images, also if it is served"}
            )
    check_served(values)
    if agents["grounding"] == "model":
        _check_grounding(values)


def _check_names(values: dict[str, Any], agents: dict[str, str]) -> None:
    if agents["knowledge"] == "file":
        require(values, {"known": "the folder with <split>.jsonl, for knowledge: file"})
    if agents["ner"] == "tagger":
        require(values, {"tagger": "a folder that `setaria train makar-tagger` wrote, or ner: model"})
    if agents["ner"] == "model" and agents["knowledge"] == "off":
        raise ValueError("ner: model takes the names that are known, and knowledge is off")


def _check_search(values: dict[str, Any], agents: dict[str, str]) -> None:
    search = agents["search"]
    if search == "off":
        return
    if agents["knowledge"] == "off" and agents["ner"] != "tagger":
        raise ValueError(f"search: {search} is for names in doubt, and without knowledge and tagger there are none")
    if values.get("tau") is None:
        require(values, {"known": "tau, or the folder of knowledge in which it was tuned"})
    if search in WEB:
        require(values, {"web": WEB[search]})


def _check_grounding(values: dict[str, Any]) -> None:
    if not values.get("grounding_model"):
        require(values, {"model_name_or_path": "it or grounding_model; of a served model too, for its processor"})
    if values.get("grounding_endpoint"):
        require(values, {"grounding_endpoint_model": "the name of the served model"})
        if values.get("grounding_adapter"):
            raise ValueError(
                "grounding_adapter is for a model in this process: serve it, and name it as grounding_endpoint_model"
            )


if __name__ == "__main__":
    main()

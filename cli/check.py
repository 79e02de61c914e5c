"""`setaria check WHAT`: look for what is wrong with data before a model is trained on it.

Exit code 0: no errors found (warnings may be); 1: errors in the data or the recipe; 2: the check could not be made.
"""

import json
import random
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from setaria.cli.check_leak import add_subject
from setaria.cli.check_mner import add_subjects


DEFAULT_MAX_LENGTH = 1024  # TRL's default
COLOURS = {"error": "bold red", "warning": "yellow", "info": "dim"}


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per thing that can be checked."""
    subjects = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    preferences = subjects.add_parser("preferences", help="preference pairs, with or without a tokenizer and a recipe")
    preferences.add_argument("path", help=".json, .jsonl, .parquet or .csv file, or a save_to_disk folder")
    preferences.add_argument("--tokenizer", help="folder or Hub name of the tokenizer; without it no token checks")
    preferences.add_argument(
        "--max_length", type=_positive, help="tokens of prompt and completion (recipe's, or 1024)"
    )
    preferences.add_argument("--config", help="recipe (YAML) whose numbers are checked too")
    preferences.add_argument("--num_processes", type=_positive, default=1, help="processes that the recipe runs on")
    preferences.add_argument(
        "--sample", type=_positive, help="check this many rows, drawn at random with a fixed seed"
    )
    preferences.add_argument("--json", metavar="OUT", help="also write the report to this file")
    preferences.set_defaults(check=check_preferences)
    add_subjects(subjects)
    add_subject(subjects)


def run(args: Namespace) -> int:
    """Make the check and return the exit code."""
    try:
        return args.check(args)
    except (ValueError, OSError, ImportError) as error:
        print(f"setaria check {args.what}: {error}", file=sys.stderr)
        return 2


def check_preferences(args: Namespace) -> int:
    """Check the pairs of `args.path`, and the recipe if there is one; print the report and return the exit code."""
    from datasets import disable_progress_bars

    from setaria.datasets_builders.preference import read_preference_file, to_preference
    from setaria.datasets_builders.preference_checks import check_texts, check_words

    disable_progress_bars()
    recipe = _read_recipe(args.config) if args.config else {}
    recipe_findings = _check_recipe(recipe, args.num_processes) if args.config else []
    rows = read_preference_file(args.path)
    try:
        pairs = to_preference(rows)
    except ValueError as error:
        print(f"setaria check preferences: {args.path}: {error}", file=sys.stderr)
        return 1
    numbers = _sampled(len(pairs), args.sample)
    checked = pairs.select(numbers)
    notes = []
    if len(pairs) < len(rows):
        notes.append(f"{len(rows) - len(pairs)} rows prefer neither output and are left out of the numbering")
    findings = check_texts(checked, numbers)
    if args.tokenizer and not {"image", "images"} & set(checked.column_names):
        max_length = args.max_length or recipe.get("max_length") or DEFAULT_MAX_LENGTH
        findings += _check_tokens(checked, args.tokenizer, max_length, numbers)
    else:
        reason = "the tokens of images are not known here" if args.tokenizer else "no --tokenizer"
        notes.append(f"{reason}: double BOS, missing EOS and truncation not checked, lengths in words")
        findings.append(check_words(checked))
    findings += recipe_findings
    report = {"path": args.path, "rows": len(pairs), "checked": len(checked), "notes": notes, "findings": findings}
    _print_report(report)
    if args.json:
        Path(args.json).write_text(json.dumps(report, default=asdict, indent=2) + "\n", encoding="utf-8")
    return int(any(finding.severity == "error" for finding in findings))


def _check_recipe(recipe: dict, num_processes: int) -> list:
    from setaria.recipes.spo.checks import check_recipe

    return check_recipe(recipe, num_processes)


def _check_tokens(pairs, tokenizer_name: str, max_length: int, row_numbers: Sequence[int]) -> list:
    from transformers import AutoTokenizer

    from setaria.datasets_builders.preference_tokens import check_tokens

    return check_tokens(pairs, AutoTokenizer.from_pretrained(tokenizer_name), max_length, row_numbers)


def _read_recipe(path: str) -> dict:
    import yaml

    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"{path}: a recipe is a mapping of keys to values")
    return recipe


def _sampled(total: int, sample: int | None) -> Sequence[int]:
    if sample is None or sample >= total:
        return range(total)
    return sorted(random.Random(0).sample(range(total), sample))


def _print_report(report: dict) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("finding", "rows", "what, and what to do", show_lines=True)
    for finding in report["findings"]:
        rows = "" if finding.count is None else f"{finding.count} ({finding.share:.1%})"
        if finding.rows:
            rows += f"\n{', '.join(map(str, finding.rows))}"
        remedy = f"\n-> {finding.remedy}" if finding.remedy else ""
        colour = COLOURS[finding.severity]
        table.add_row(f"[{colour}]{finding.severity}[/]\n{finding.check}", rows, escape(finding.message + remedy))
    console = Console()
    console.print(table)
    for note in report["notes"]:
        console.print(f"Note: {note}.", highlight=False)
    severities = [finding.severity for finding in report["findings"]]
    console.print(
        f"{report['path']}: checked {report['checked']} of {report['rows']} pairs, "
        f"{severities.count('error')} errors, {severities.count('warning')} warnings",
        highlight=False,
        markup=False,
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)

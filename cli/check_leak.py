"""`setaria check leak KNOWLEDGE`: whether knowledge of tweets was written by someone who saw their labels.

    KNOWLEDGE    <split>.jsonl of {"tweet", "text"} in a folder, or one such file for all splits, with --data; or a
                 folder of <split>.txt as MAKAR and RiVEG release them, which have their labels in them

Exit code 1 if labels leaked or splits share tweets; see `setaria.datasets_builders.mner.leaks` for the rule.
"""

import json
from argparse import Namespace, _SubParsersAction
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from setaria.datasets_builders.findings import Finding
    from setaria.datasets_builders.mner.leaks import Exposure, Informed

RELEASED_SPLITS = ("train", "dev", "valid", "test")
COLOURS = {"error": "bold red", "warning": "yellow", "info": "dim"}


def add_subject(subjects: _SubParsersAction) -> None:
    """Add the sub-parser."""
    summary = "knowledge of tweets: how much of gold it shows, split by split"
    parser = subjects.add_parser("leak", help=summary, description=summary, allow_abbrev=False)
    parser.add_argument("path", type=Path, help="folder of <split>.jsonl or released <split>.txt, or one .jsonl")
    parser.add_argument("--data", type=Path, help="folder with the labels of .jsonl: xml/ and txt/ or txt_fine/")
    parser.add_argument("--layout", choices=("gmner", "fmnerg"), default="gmner", help="of --data; default: gmner")
    parser.add_argument("--jump", type=float, help="least difference of two splits' shares that counts; default: 0.1")
    parser.add_argument("--json", metavar="OUT", type=Path, help="also write the report to this file")
    parser.set_defaults(check=check_leak)


def check_leak(args: Namespace) -> int:
    """Print the report and return the exit code: 1 if there are errors.

    Raises:
        ValueError: for `.jsonl` without `--data`, and naming file and line of what cannot be read.
        FileNotFoundError: if there is no knowledge.
    """
    from setaria.datasets_builders.mner.leaks import JUMP, exposure, find_leaks

    splits, findings = _read(args)
    exposures = {name: exposure(informed) for name, informed in splits.items()}
    findings += find_leaks(splits, exposures, JUMP if args.jump is None else args.jump)
    _print(exposures, findings)
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    print(f"{args.path}: {', '.join(splits)}: {errors} errors, {warnings} warnings")
    if args.json:
        report = {
            "path": str(args.path),
            "splits": {name: asdict(seen) for name, seen in exposures.items()},
            "findings": [asdict(finding) for finding in findings],
        }
        args.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(errors > 0)


def _read(args: Namespace) -> tuple[dict[str, list["Informed"]], list["Finding"]]:
    """The splits with their knowledge, and what does not fit together."""
    released = {name: args.path / f"{name}.txt" for name in RELEASED_SPLITS}
    released = {name: file for name, file in released.items() if file.is_file()}
    if released:
        return {name: _released(file) for name, file in released.items()}, []
    if args.data is None:
        raise ValueError(f"{args.path}: --data is missing, the folder with the labels of these tweets")
    return _from_json_lines(args.path, args.data, args.layout)


def _from_json_lines(path: Path, data: Path, layout_name: str) -> tuple[dict[str, list["Informed"]], list["Finding"]]:
    from setaria.datasets_builders.mner.gmner import read_fmnerg, read_gmner
    from setaria.datasets_builders.mner.layouts import FMNERG, GMNER, SPLITS
    from setaria.datasets_builders.mner.leaks import inform

    read, layout = {"gmner": (read_gmner, GMNER), "fmnerg": (read_fmnerg, FMNERG)}[layout_name]
    together = _texts(path) if path.is_file() else None
    splits: dict[str, list[Informed]] = {}
    findings: list[Finding] = []
    for name in SPLITS:
        file = path if together is not None else path / f"{name}.jsonl"
        if not file.is_file() or not (data / layout.text / f"{name}.txt").is_file():
            continue
        texts = _texts(file) if together is None else together
        informed, found = inform(name, read(data, name), texts, others=together is not None)
        findings += found
        if informed:
            splits[name] = informed
    if not splits:
        raise FileNotFoundError(f"{path}: no knowledge of a tweet in {data / layout.text}")
    return splits, findings


def _texts(file: Path) -> dict[str, str]:
    from setaria.agents.makar.json_lines import read_lines, texts_of

    entries = (texts_of(entry, ("tweet", "text"), where) for where, entry in read_lines(file))
    return {entry["tweet"]: entry["text"] for entry in entries}


def _released(file: Path) -> list["Informed"]:
    from setaria.datasets_builders.mner.leaks import Informed
    from setaria.datasets_builders.mner.tagger_rows import entities_of, read_tagger_rows
    from setaria.datasets_builders.mner.tweets import Tweet

    return [
        Informed(
            Tweet("", tuple(row["words"]), entities_of(row["words"], row["tags"]), Path()), " ".join(row["knowledge"])
        )
        for row in read_tagger_rows(file)
    ]


def _print(exposures: Mapping[str, "Exposure"], findings: list["Finding"]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("in the knowledge", title="Labels in knowledge")
    for name in exposures:
        table.add_column(escape(name), justify="right")
    rows = {
        **{"names": "gold names", "types": "gold types", "pairs": "names with types"},
        **{"telling": "telling words", "hints": "hints"},
    }
    table.add_row("tweets", *(f"{seen.tweets}" for seen in exposures.values()))
    for measure, label in rows.items():
        table.add_row(label, *(_share(*seen.share(measure)) for seen in exposures.values()))
    console = Console()
    console.print(table)
    for finding in findings:
        remedy = f"\n  -> {finding.remedy}" if finding.remedy else ""
        colour = COLOURS[finding.severity]
        console.print(f"[{colour}]{finding.severity}[/] {escape(f'{finding.check}: {finding.message}{remedy}')}")


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({count / total:.1%})" if total else "0 of 0"

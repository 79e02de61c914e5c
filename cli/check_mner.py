"""`setaria check gmner PATH` and `setaria check fmnerg PATH`: counts, trivial floors and every irregularity of a
folder with grounded named entities, in whichever of the splits train, dev and test are there.
"""

import json
from argparse import ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from setaria.datasets_builders.mner.gmner_counts import Counts
    from setaria.datasets_builders.mner.irregularity import Irregularity

SHOWN = 50


def add_subjects(subjects: _SubParsersAction) -> None:
    """Add the two sub-parsers."""
    for name, data in (("gmner", "Twitter-GMNER"), ("fmnerg", "Twitter-FMNERG")):
        parser = subjects.add_parser(name, help=f"{data}: text, boxes and images of each split", allow_abbrev=False)
        parser.add_argument("path", type=Path, help="folder that holds xml/ and txt/ (gmner) or txt_fine/ (fmnerg)")
        parser.add_argument(
            "--images", type=Path, help="folder with <id>.jpg, or of such folders; default: PATH/images"
        )
        parser.add_argument("--show", type=_count, default=SHOWN, help=f"lines per kind of finding; default: {SHOWN}")
        parser.add_argument("--json", metavar="OUT", type=Path, help="also write all of the report to this file")
        parser.set_defaults(check=check_mner)


def check_mner(args: Namespace) -> int:
    """Print the report and return the exit code: 1 if there are errors.

    Raises:
        FileNotFoundError: if the folder holds none of the splits, no xml, or `--images` is no folder.
    """
    from setaria.datasets_builders.mner.gmner import read_split
    from setaria.datasets_builders.mner.gmner_checks import find_irregularities
    from setaria.datasets_builders.mner.gmner_counts import count_split
    from setaria.datasets_builders.mner.irregularity import WARNING
    from setaria.datasets_builders.mner.layouts import FMNERG, GMNER, IMAGES, SPLITS

    layout = {"gmner": GMNER, "fmnerg": FMNERG}[args.what]
    names = [name for name in SPLITS if (args.path / layout.text / f"{name}.txt").is_file()]
    if not names:
        raise FileNotFoundError(f"{args.path / layout.text}: none of {', '.join(f'{name}.txt' for name in SPLITS)}")
    if args.images and not args.images.is_dir():
        raise FileNotFoundError(f"{args.images}: no such folder")
    with_images = args.images is not None or (args.path / IMAGES).is_dir()
    splits = {name: read_split(args.path, name, layout, args.images) for name in names}
    counts = {name: count_split(split) for name, split in splits.items()}
    found = find_irregularities(args.path, splits, with_images)
    _print_counts(layout.name, counts)
    _print_irregularities(found, args.show)
    if not with_images:
        print(f"Note: images not checked: no --images, and no folder {args.path / IMAGES}.")
    warnings = sum(irregularity.severity == WARNING for irregularity in found)
    print(
        f"{args.path}: {', '.join(names)}: {sum(count.tweets for count in counts.values())} tweets, "
        f"{len(found) - warnings} errors, {warnings} warnings"
    )
    if args.json:
        report = {
            "path": str(args.path),
            "data": layout.name,
            "images_checked": with_images,
            "splits": {name: asdict(count) for name, count in counts.items()},
            "irregularities": [{**asdict(one), "file": str(one.file), "severity": one.severity} for one in found],
        }
        args.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(len(found) > warnings)


def _print_counts(title: str, counts: Mapping[str, "Counts"]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", title=title)
    for name in counts:
        table.add_column(name, justify="right")
    columns = [_column(count) for count in counts.values()]
    for label in dict.fromkeys(label for column in columns for label in column):
        table.add_row(escape(label), *(column.get(label, "0 (0)") for column in columns))
    Console().print(table)


def _column(counts: "Counts") -> dict[str, str]:
    """The cells of a split, by their labels."""
    types = {**counts.types, **{f"  {name}": numbers for name, numbers in counts.fine_types.items()}}
    return {
        "tweets": f"{counts.tweets}",
        "entities": f"{counts.entities}",
        "groundable": f"{counts.groundable}",
        "None": _share(counts.entities - counts.groundable, counts.entities),
        "xml boxes": f"{counts.xml_boxes}",
        "boxes over entities": f"{counts.entity_boxes}",
        "multi-box (max)": f"{counts.multi_box} ({counts.most_boxes})",
        "no xml": f"{counts.no_xml}",
        "no entity": f"{counts.no_entity}",
        "duplicate surface": f"{counts.duplicate_surfaces}",
        "floor: always None": _share(counts.floors.always_none, counts.floors.entities),
        "floor: whole image": _share(counts.floors.whole_image, counts.floors.entities),
        **{f"{name} (groundable)": f"{every} ({grounded})" for name, (every, grounded) in types.items()},
    }


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else f"{part}"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _print_irregularities(found: list["Irregularity"], show: int) -> None:
    from setaria.datasets_builders.mner.irregularity import KINDS

    for kind, (severity, reading) in KINDS.items():
        these = [irregularity for irregularity in found if irregularity.kind == kind]
        if not these:
            continue
        print(f"{severity}: {kind}: {len(these)} ({reading})")
        for irregularity in these[:show]:
            print(f"  {irregularity}")
        if len(these) > show:
            print(f"  and {len(these) - show} more: --show {len(these)}, or --json OUT for all")

"""`setaria build METHOD WHAT`: write the data that a method is trained on."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from setaria.cli.build_makar import add_method as add_makar


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per method and thing to build."""
    methods = parser.add_subparsers(dest="method", metavar="METHOD", required=True)
    backtrack = methods.add_parser("backtrack", help="worlds and rows for BacktrackAgent's roles", allow_abbrev=False)
    subjects = backtrack.add_subparsers(dest="what", metavar="WHAT", required=True)

    def subject(name: str, summary: str, build: Callable[[Namespace], None]) -> ArgumentParser:
        added = subjects.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        added.add_argument("--output", type=Path, required=True, help="folder to write; it must be empty")
        added.set_defaults(build=build)
        return added

    apps = subject("apps", "a generated world of phone apps with tasks, in Mobile3M's layout", build_apps)
    apps.add_argument("--apps", type=int, default=40, help="training apps, in train/; default: 40")
    apps.add_argument("--held_out", type=int, default=8, help="apps to evaluate on, in held_out/; default: 8")
    apps.add_argument("--seed", type=int, default=0, help="default: 0")

    sft = subject("sft", "rows for the Generator, and grounding rows, from the gold steps of a world", build_sft)
    sft.add_argument("--world", type=Path, required=True, help="folder with graphs and tasks.jsonl, such as W/train")
    sft.add_argument("--naming_share", type=float, default=0.2, help="of grounding rows among all; default: 0.2")
    _add_prompt_arguments(sft)

    recorded = "rows for Generator and Judger from {}, actions drawn on the page"
    control = subject("android-control", recorded.format("AndroidControl's steps"), build_android_control)
    control.add_argument("--episodes", type=Path, required=True, help="JSON lines in the layout of UI-S1")
    control.add_argument("--images", type=Path, required=True, help="folder with screenshots, <episode>_<step>.png")
    _add_prompt_arguments(control)

    aitw = subject("aitw", recorded.format("Android in the Wild"), build_aitw)
    aitw.add_argument("--records", type=Path, nargs="+", required=True, help="GZIP TFRecord files")
    aitw.add_argument("--split_file", type=Path, help="episode ids of the splits (Auto-UI's); without it all episodes")
    aitw.add_argument("--split", default="train", help="split of that file; default: train")
    _add_prompt_arguments(aitw)

    screens = subject("screen-agent", "rows for the Judger from ScreenAgent's recordings", build_screen_agent)
    screens.add_argument("--recordings", type=Path, required=True, help="folder with the recordings")

    summary = "rows for Judger and Reflector from a Generator's actions in a world; --help lists all keys"
    collect = subjects.add_parser("collect", help=summary, prefix_chars="\0", add_help=False)
    collect.add_argument("arguments", metavar="...", nargs="*")
    collect.set_defaults(build=run_collect)
    add_makar(methods)


def run(args: Namespace) -> int:
    """Build and return the exit code: 2 for input that cannot be used."""
    try:
        args.build(args)
    except (ValueError, OSError, TypeError) as error:
        print(f"setaria build {args.method} {args.what}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def build_apps(args: Namespace) -> None:
    """Write a world and say what it holds."""
    from setaria.recipes.backtrack import build

    for split, (apps, tasks) in build.build_apps(args.output, args.apps, args.held_out, args.seed).items():
        print(f"{args.output / split}: {apps} apps, {tasks} tasks")


def build_sft(args: Namespace) -> None:
    """Write the rows of a world."""
    from setaria.recipes.backtrack import build
    from setaria.recipes.backtrack.row_table import print_rows

    rows = build.build_sft(args.world, _prompts(args), args.output, args.naming_share, args.seed)
    print_rows(rows, str(args.output))


def build_android_control(args: Namespace) -> None:
    """Write AndroidControl's rows and say which screenshots are missing."""
    from setaria.recipes.backtrack import build
    from setaria.recipes.backtrack.row_table import print_rows

    rows, missing = build.build_android_control(args.episodes, args.images, _prompts(args), args.output, args.seed)
    print_rows(rows, str(args.output))
    if missing:
        print(f"{len(missing)} steps have no screenshot and no rows, see {args.output / build.MISSING}")


def build_aitw(args: Namespace) -> None:
    """Write AITW's rows."""
    from setaria.recipes.backtrack import build
    from setaria.recipes.backtrack.row_table import print_rows

    rows = build.build_aitw(args.records, args.split_file, args.split, _prompts(args), args.output, args.seed)
    print_rows(rows, str(args.output))


def build_screen_agent(args: Namespace) -> None:
    """Write ScreenAgent's rows."""
    from setaria.recipes.backtrack import build
    from setaria.recipes.backtrack.row_table import print_rows

    print_rows(build.build_screen_agent(args.recordings, args.output), str(args.output))


def run_collect(args: Namespace) -> None:
    """Collect; keys, errors and exit codes are those of the script."""
    from setaria.recipes.backtrack.collect import main

    main(args.arguments)


def _add_prompt_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--processor", required=True, help="checkpoint whose processor the model has: it sizes images")
    parser.add_argument("--family", default="qwen2_vl", help="family of the boxes' numbers; default: qwen2_vl")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")


def _prompts(args: Namespace):
    from setaria.datasets_builders.gui.prompts import Prompts
    from setaria.models.processors import load_processor

    return Prompts.of_processor(args.family, load_processor(args.processor))

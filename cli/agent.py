"""`setaria agent makar`: run an agent over data and measure it; `setaria agent makar-page`: look at what it said."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path


SHOWN = 300


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per agent, and for its page."""
    agents = parser.add_subparsers(dest="agent", metavar="AGENT", required=True)
    summary = "MAKAR: named entities of tweets with images, types and places; --help lists all keys"
    makar = agents.add_parser("makar", help=summary, prefix_chars="\0", add_help=False)
    makar.add_argument("arguments", metavar="...", nargs="*")
    makar.set_defaults(run_agent=run_makar)

    summary = "the predictions of `setaria agent makar` on their images, as one HTML file"
    page = agents.add_parser("makar-page", help=summary, description=summary, allow_abbrev=False)
    page.add_argument("path", metavar="RUN", type=Path, help="folder with predictions.jsonl")
    page.add_argument("--output", type=Path, help="file to write; default: RUN/predictions.html")
    page.add_argument("--images", type=Path, help="folder of the images; default: the run's")
    page.add_argument("--tweets", type=_count, default=SHOWN, help=f"shown at most; default: {SHOWN}")
    page.set_defaults(run_agent=write_page)


def run(args: Namespace) -> int:
    """Do what is asked for and return the exit code."""
    return args.run_agent(args)


def run_makar(args: Namespace) -> int:
    """Run the pipeline; keys, errors and exit codes are those of the script."""
    from setaria.recipes.makar.evaluate import main

    main(args.arguments)
    return 0


def write_page(args: Namespace) -> int:
    """Write the page."""
    from setaria.agents.makar.prediction_page import write_prediction_page

    output = args.output or args.path / "predictions.html"
    try:
        page = write_prediction_page(args.path, output, args.images, args.tweets)
    except (ValueError, OSError) as error:
        print(f"setaria agent makar-page: {error}", file=sys.stderr)
        return 2
    print(f"{page.file}: {page.shown} of {page.tweets} tweets, {page.size / 1e6:.1f} MB")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)

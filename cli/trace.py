"""`setaria trace`: look at what an agent did."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per thing to do with traces."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    view = actions.add_parser("view", help="write the traces of a run as one HTML page", allow_abbrev=False)
    view.add_argument("run", metavar="RUN", type=Path, help="folder with episodes.jsonl and screens/")
    view.add_argument("--output", metavar="FILE", type=Path, help="default: RUN/trace.html")
    view.add_argument("--episodes", metavar="N", type=int, default=100, help="show at most so many; default: 100")


def run(args: Namespace) -> int:
    """Write the page and return the exit code: 2 for a run that cannot be read or a file that cannot be written."""
    from setaria.agents.backtrack.trace_page import write_trace_page

    try:
        page = write_trace_page(args.run, args.output or args.run / "trace.html", args.episodes)
    except (ValueError, OSError) as error:
        print(f"setaria trace view: {error}", file=sys.stderr)
        return 2
    print(f"{page.file}: {page.shown} of {page.episodes} episodes, {page.size / 1e6:.1f} MB")
    return 0

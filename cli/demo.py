"""`setaria demo`: train and judge a small model on a CPU, and write a page about it."""

import argparse
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="folder of the demo (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="start afresh instead of going on where it stopped")
    parser.add_argument("--no-open", action="store_true", help="do not open the page in a browser")


def run(args: argparse.Namespace) -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is generated, nothing downloaded

    import torch
    from datasets.utils.logging import disable_progress_bar
    from transformers.utils import logging

    from setaria.recipes.spo.demo import run_demo

    torch.set_num_threads(1)
    disable_progress_bar()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        report = run_demo(args.output, args.fresh)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"setaria demo: {error}", file=sys.stderr)
        return 1
    if not args.no_open and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    return 0

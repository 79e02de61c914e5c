"""`setaria lab STUDY`: controlled studies of a method on a generated world, on a CPU."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


# Study's arms, so that `--help` needs no torch; a test compares them with the study's own.
SPO_ARMS = ("SPO", "SPO + NLL", "SimPO", "CPO", "RePO", "DPO")


def add_arguments(parser: ArgumentParser) -> None:
    """Add one sub-parser per study."""
    studies = parser.add_subparsers(dest="study", metavar="STUDY", required=True)
    spo = studies.add_parser(
        "spo",
        help="over-optimisation of SPO, SimPO, CPO, RePO and DPO",
        description="Trains every arm from the same policy and pairs and compares gold reward. Finished runs in "
        "--output are kept: run again to add seeds or arms.",
        allow_abbrev=False,
    )
    spo.add_argument("--output", type=Path, default=Path("runs/lab_spo"), help="default: runs/lab_spo")
    spo.add_argument("--seeds", type=int, default=3, help="seeds per arm; default: 3")
    spo.add_argument("--arms", nargs="+", choices=SPO_ARMS, default=list(SPO_ARMS), help="default: all")
    spo.add_argument("--steps", type=int, help="optimiser steps of a run; default: 300")
    spo.add_argument("--learning_rate", type=float, help="default: 3e-4")
    spo.add_argument(
        "--matched_kl", type=float, default=2.0, help="KL per reply at which gold is compared; default: 2"
    )
    spo.add_argument(
        "--tune", action="store_true", help="first choose each arm's strength by peak gold on a seed of its own"
    )
    spo.add_argument("--quick", action="store_true", help="minutes instead of an hour; the numbers mean nothing")
    spo.set_defaults(run_study=run_spo)
    backtrack = studies.add_parser(
        "backtrack",
        help="a GUI agent in unknown apps with and without going back",
        description="Trains a small vision-language model per seed and runs it on held-out tasks. Finished "
        "stages and episodes in --output are kept: run again to go on, or to add seeds.",
        allow_abbrev=False,
    )
    backtrack.add_argument("--output", type=Path, default=Path("runs/lab_backtrack"), help="default: %(default)s")
    backtrack.add_argument("--seeds", type=int, default=3, help="default: 3")
    backtrack.add_argument("--jobs", type=int, default=3, help="seeds side by side; default: 3")
    backtrack.add_argument("--quick", action="store_true", help="minutes instead of an hour; the numbers mean nothing")
    backtrack.set_defaults(run_study=run_backtrack)
    makar = studies.add_parser(
        "makar",
        help="entities of tweets found in their images, with and without reinforcement, knowledge and search",
        description="Trains a small vision-language model that sees, then for each seed the grounding agent, and "
        "runs it on held-out tweets. Finished stages and replies in --output are kept: run again to go on, or to add "
        "seeds.",
        allow_abbrev=False,
    )
    makar.add_argument("--output", type=Path, default=Path("runs/lab_makar"), help="default: %(default)s")
    makar.add_argument("--seeds", type=int, default=3, help="default: 3")
    makar.add_argument("--jobs", type=int, default=2, help="seeds side by side, and threads before; default: 2")
    makar.add_argument("--quick", action="store_true", help="minutes instead of an hour; the numbers mean nothing")
    makar.set_defaults(run_study=run_makar)


def run(args: Namespace) -> int:
    """Run the study and return the exit code."""
    try:
        args.run_study(args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"setaria lab {args.study}: {error}", file=sys.stderr)
        return 2
    return 0


def run_spo(args: Namespace) -> None:
    """Run what is missing of the over-optimisation study, write its report and print its table."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is generated, nothing downloaded
    from dataclasses import replace

    from datasets import disable_progress_bars
    from rich.console import Console
    from transformers.utils import logging

    from setaria.recipes.spo.lab import run_lab
    from setaria.recipes.spo.lab_config import ARMS, LabConfig
    from setaria.recipes.spo.lab_report import write_report

    disable_progress_bars()
    logging.disable_progress_bar()
    config = LabConfig(seeds=args.seeds, arms=tuple(arm for arm in ARMS if arm.name in args.arms), tune=args.tune)
    config = config.quick() if args.quick else config
    given = {name: getattr(args, name) for name in ("steps", "learning_rate") if getattr(args, name) is not None}
    config = replace(config, **given)
    records = run_lab(config, args.output)
    console = Console()
    console.print(write_report(records, config, args.output, args.matched_kl))
    console.print(f"with deviations, alarms and every checkpoint: {args.output}/lab.md, lab.png, lab.json")


def run_backtrack(args: Namespace) -> None:
    """Run what is missing of the study of going back and print its table."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from dataclasses import replace

    from rich.console import Console
    from rich.markdown import Markdown

    from setaria.recipes.backtrack.lab import LAB
    from setaria.recipes.backtrack.lab_config import LabConfig

    config = LabConfig().quick() if args.quick else LabConfig()
    console = Console()
    LAB.run(replace(config, seeds=args.seeds), args.output, args.jobs, console.print)
    console.print(Markdown((args.output / "report.md").read_text(encoding="utf-8")))
    console.print(f"every episode: setaria trace view {args.output}/seed0/arms/full")


def run_makar(args: Namespace) -> None:
    """Run what is missing of the study of grounding and print its tables."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from dataclasses import replace

    from rich.console import Console
    from rich.markdown import Markdown

    from setaria.recipes.makar.lab import LAB
    from setaria.recipes.makar.lab_config import LabConfig

    config = LabConfig().quick() if args.quick else LabConfig()
    console = Console()
    LAB.run(replace(config, seeds=args.seeds), args.output, args.jobs, console.print)
    console.print(Markdown((args.output / "report.md").read_text(encoding="utf-8")))

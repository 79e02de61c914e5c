"""The `setaria` command. Only the subcommand asked for is imported, so that `setaria --help` needs no torch.

A subcommand is a module of this folder with `add_arguments(parser)` and `run(args)`; `run` returns the exit code.
"""

import argparse
import sys
from importlib import import_module


COMMANDS = {
    "agent": "run an agent over data, measure it, and look at what it said",
    "build": "write the data that a method is trained on",
    "check": "check data before training: double BOS, missing EOS, truncation and more",
    "demo": "run everything once on a small generated world, on a CPU",
    "env": "versions, devices and what is missing on this machine",
    "eval": "evaluate checkpoints, with and without a quantised cache and speculative decoding",
    "explain": "what the hyper-parameters of a method mean, with curves",
    "lab": "controlled studies of a method on a generated world",
    "replay": "speed of speculative drafting on recorded answers, without a model",
    "trace": "look at the traces of an agent: screenshots, attempts, verdicts",
    "train": "train with a recipe through accelerate",
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="setaria", description="Post-training methods around TRL and PEFT.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if argv[:1] == [name]:
            import_module(f"setaria.cli.{name}").add_arguments(command)
    args = parser.parse_args(argv)
    return import_module(f"setaria.cli.{args.command}").run(args) or 0


if __name__ == "__main__":
    sys.exit(main())

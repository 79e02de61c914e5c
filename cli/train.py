"""`setaria train METHOD`: the recipe module of a method through accelerate's launcher, in one command.

Every key and value is checked before torch is imported. A flag that only accelerate knows goes to accelerate, all
others go to the recipe module and win over the recipe; `--accelerate_config` also wins over the recipe.
"""

import argparse
import os
import signal
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import yaml

from setaria.cli.accelerate_flags import launcher_flags, split_flags
from setaria.recipes.dataclass_source import read_fields
from setaria.recipes.preflight import BadArgument, check_arguments


METHODS = {
    "backtrack-rl": "setaria.recipes.backtrack.rl",
    "backtrack-rl-tools": "setaria.recipes.backtrack.rl_tools",
    "backtrack-sft": "setaria.recipes.backtrack.sft",
    "makar-rl": "setaria.recipes.makar.rl",
    "makar-sft": "setaria.recipes.makar.sft",
    "makar-tagger": "setaria.recipes.makar.tagger",
    "spo": "setaria.recipes.spo.train",
}
SECONDS_TO_SAVE = 600  # after a SIGTERM; torch's launcher kills after 30, too soon for the checkpoint of a large model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "setaria train METHOD --config RECIPE.yaml [--accelerate_config NAME|PATH] [--key value ...]"
    parser.add_argument("method", metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument(
        "arguments",
        metavar="...",
        nargs=argparse.REMAINDER,
        help="--config RECIPE.yaml, --accelerate_config NAME|PATH, any key of a recipe, any flag of accelerate; "
        "--help after METHOD lists the keys",
    )


def run(args: argparse.Namespace) -> int:
    if args.method in METHODS and {"-h", "--help"} & set(args.arguments):
        import_module(METHODS[args.method]).main(["--help"])
    try:
        command = accelerate_arguments(args.method, args.arguments)
    except BadArgument as error:
        print(f"setaria: {error}", file=sys.stderr)
        return 2
    return _launch(command)


def accelerate_arguments(method: str, argv: list[str]) -> list[str]:
    """The command line of `accelerate launch` that trains `method` with `argv`.

    Raises:
        BadArgument: for anything that no run could start with.
    """
    if method not in METHODS:
        raise BadArgument(f"unknown method {method!r}, known: {', '.join(METHODS)}")
    recipe_module = import_module(METHODS[method])
    fields = read_fields(recipe_module.FIELDS)
    flags = {name: takes_value for name, takes_value in launcher_flags().items() if name not in fields}
    launcher, script = split_flags(argv, flags)
    values = check_arguments(script, recipe_module.FIELDS, recipe_module.check_values, flags)
    if (name := values.get("accelerate_config")) is not None:
        launcher = [*_config_flags(find_accelerate_config(name)), *launcher]
    return [*launcher, "--module", METHODS[method], *script]


def find_accelerate_config(name: str) -> Path:
    """A configuration by its name in `accelerate_configs/` or by its path."""
    shipped = Path(str(files("setaria.accelerate_configs")))
    if Path(name).is_file():
        return Path(name)
    if (shipped / f"{name}.yaml").is_file():
        return shipped / f"{name}.yaml"
    known = ", ".join(sorted(path.stem for path in shipped.glob("*.yaml")))
    raise BadArgument(f"accelerate_config: {name!r} is neither a file nor one of {known}")


def _config_flags(config: Path) -> list[str]:
    """Flags for `config`; a shipped DeepSpeed JSON lies beside it, but accelerate looks in the working folder."""
    flags = ["--config_file", str(config)]
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    named = settings.get("deepspeed_config", {}).get("deepspeed_config_file")
    if named and not Path(named).is_file():
        flags += ["--deepspeed_config_file", str(config.parent / Path(named).name)]
    return flags


def _launch(command: list[str]) -> int:
    """Exit code of the training processes; they have already said what went wrong."""
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    signal.signal(signal.SIGTERM, _pass_on)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SECONDS_TO_SAVE))
    try:
        launch_command(launch_command_parser().parse_args(command))
    except subprocess.CalledProcessError as error:
        code = error.returncode
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
    except SignalException as stop:
        code = 128 + stop.sigval
    else:
        code = 0
    return code if code >= 0 else 128 - code


def _pass_on(signum: int, frame: object) -> None:
    """Accelerate does not forward signals to the process it starts."""
    import psutil

    for child in psutil.Process(os.getpid()).children():
        child.send_signal(signum)

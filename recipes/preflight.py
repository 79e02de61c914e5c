"""The strict check of a recipe and a command line before anything heavy is imported.

An unknown key, a value of the wrong type or outside its choices ends the run within a second, with one line that names
the place and the nearest valid key. `TrlParser` is strict about names only, and only after torch and transformers have
been loaded; here the fields come from `dataclass_source`, and nothing but yaml is imported.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

import yaml

from setaria.recipes.dataclass_source import SourceField, read_fields
from setaria.recipes.field_values import check_ranges, convert


COMMAND_LINE = "command line"
DATASET_SOURCES = ("trl.scripts.utils:DatasetConfig",)
# Keys of recipes written for older releases.
RENAMED = {
    "dataset_mixer": "datasets",
    "dataset_mixture": "datasets",
    "max_seq_length": "max_length",
    "torch_dtype": "dtype",
    "warmup_ratio": "warmup_steps",
}


class BadArgument(ValueError):
    """A key or value that no run could start with; the message is one line that names it."""


def preflight(argv: list[str], sources: tuple[str, ...], validate: Callable[[dict[str, Any]], object]) -> list[str]:
    """`argv` in the form `TrlParser` reads, or one line on stderr and exit code 2.

    The recipe's `env:` is set here, since most libraries read their variables when they are imported.

    Args:
        sources: the dataclasses of the method, see `read_fields`.
        validate: raises a `ValueError` for values that do not go together; gets the given values by name.
    """
    if {"-h", "--help"} & set(argv):
        return argv
    try:
        values = check_arguments(argv, sources, validate)
    except BadArgument as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"setaria: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    os.environ.update({name: str(value) for name, value in values.get("env", {}).items()})
    return [part for argument in argv for part in _split_config(argument)]


def require(values: dict[str, Any], meanings: dict[str, str]) -> None:
    """Raise a `ValueError` for the first of `meanings`, what to give by name, that is not among the values."""
    for name, meaning in meanings.items():
        if not values.get(name):
            raise ValueError(f"{name} is missing: give {meaning}")


def check_arguments(
    argv: list[str],
    sources: tuple[str, ...],
    validate: Callable[[dict[str, Any]], object],
    launcher_flags: Collection[str] = (),
) -> dict[str, Any]:
    """Given values by name, those of the command line winning over those of the recipe.

    Args:
        launcher_flags: further flags, without dashes, to propose when one is misspelt.

    Raises:
        BadArgument: for the first key or value that is not right.
    """
    fields = read_fields(sources)
    given, unknown = _flag_parser(fields).parse_known_args(argv)
    flags = vars(given)
    config = flags.pop("config", None)
    if unknown:
        raise BadArgument(f"{COMMAND_LINE}: {_unknown_flag(unknown[0], {*fields, *launcher_flags})}")
    values = {}
    if config is not None:
        for key, value in read_recipe(config).items():
            values[key] = value if key == "env" else _checked(config, fields, key, value)
    for key, value in flags.items():
        values[key] = _checked(COMMAND_LINE, fields, key, value)
    try:
        check_ranges(values)
        validate(values)
    except ValueError as error:
        raise BadArgument(f"{config or COMMAND_LINE}: {error}") from None
    return values


def read_recipe(path: str) -> dict[str, Any]:
    """The keys of a recipe, as YAML reads them."""
    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadArgument(f"{path}: {error.strerror}; --config takes the path of a YAML recipe") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadArgument(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(recipe, dict):
        raise BadArgument(f"{path}: a recipe is a YAML mapping of `key: value` lines, this one is not")
    if not isinstance(recipe.get("env", {}), dict):
        raise BadArgument(f"{path}: env must be a mapping from variable names to values")
    return recipe


def nearest(key: str, names: Collection[str]) -> str | None:
    """The name that `key` most likely stands for."""
    close = difflib.get_close_matches(key, names, n=1)
    return close[0] if close else None


class _FlagParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadArgument(f"{COMMAND_LINE}: {message.removeprefix('argument ')}")


def _flag_parser(fields: dict[str, SourceField]) -> argparse.ArgumentParser:
    """The flags `HfArgumentParser` makes of the fields, without its abbreviations; values stay strings."""
    parser = _FlagParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--config")
    for field in fields.values():
        form: dict[str, Any] = {"nargs": "+"} if field.is_list else {}
        if field.kinds == {"bool"} or ("bool" in field.kinds and field.default is not None):
            form = {"nargs": "?", "const": True}
        parser.add_argument(*_spellings(field.name), dest=field.name, **form)
        if field.default is True:
            parser.add_argument(*_spellings(f"no_{field.name}"), dest=field.name, action="store_false")
    return parser


def _spellings(name: str) -> list[str]:
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))


def _checked(place: str, fields: dict[str, SourceField], key: object, value: object) -> object:
    if key not in fields:
        raise BadArgument(f"{place}: unknown key {key!r}{_proposal(str(key), fields)}")
    try:
        converted = convert(fields[str(key)], value)
    except ValueError as error:
        raise BadArgument(f"{place}: {key}: {error}") from None
    if key == "datasets" and place != COMMAND_LINE:
        _check_mixture(place, converted)
    return converted


def _check_mixture(place: str, datasets: Any) -> None:
    fields = read_fields(DATASET_SOURCES)
    for index, dataset in enumerate(datasets):
        where = f"{place}: datasets[{index}]"
        if not isinstance(dataset, dict):
            raise BadArgument(f"{where}: must be a mapping with `path` and further keys, not {dataset!r}")
        for key, value in dataset.items():
            _checked(where, fields, key, value)
        if "path" not in dataset:
            raise BadArgument(f"{where}: has no path")


def _unknown_flag(argument: str, names: Collection[str]) -> str:
    if not argument.startswith("--"):
        return f"{argument!r} is not a flag: write --key value"
    key = argument.split("=")[0].removeprefix("--").replace("-", "_")
    return f"unknown key '--{key}'{_proposal(key, names, '--')}"


def _proposal(key: str, names: Collection[str], dashes: str = "") -> str:
    if key in RENAMED:
        return f" (it is called '{dashes}{RENAMED[key]}' now)"
    name = nearest(key, names)
    return f" (did you mean '{dashes}{name}'?)" if name else ""


def _split_config(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith("--config=") else [argument]

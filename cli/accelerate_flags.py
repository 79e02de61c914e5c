"""The flags of `accelerate launch`, and the split of a command line between accelerate and a training script.

The flags are read from accelerate's source, since importing its launcher takes seconds and a typo should fail at once.
"""

import ast
from importlib.util import find_spec
from pathlib import Path


def launcher_flags() -> dict[str, bool]:
    """Long flags of `accelerate launch` without dashes; True for those that take a value."""
    spec = find_spec("accelerate")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("accelerate is not installed; run `pip install -e .`")
    tree = ast.parse((Path(spec.origin).parent / "commands" / "launch.py").read_text(encoding="utf-8"))
    flags = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            actions = [keyword.value for keyword in call.keywords if keyword.arg == "action"]
            switch = any(isinstance(action, ast.Constant) and action.value != "append" for action in actions)
            for name in call.args:
                if isinstance(name, ast.Constant) and str(name.value).startswith("--"):
                    flags[str(name.value).removeprefix("--")] = not switch
    return flags


def split_flags(argv: list[str], flags: dict[str, bool]) -> tuple[list[str], list[str]]:
    """(arguments of accelerate, all others), order kept; `flags` are the names that belong to accelerate."""
    launcher: list[str] = []
    others: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        name = argument.split("=")[0].removeprefix("--").replace("-", "_")
        if not argument.startswith("--") or name not in flags:
            others.append(argument)
            continue
        launcher.append(argument)
        if flags[name] and "=" not in argument:
            launcher.extend(value for value in (next(arguments, None),) if value is not None)
    return launcher, others

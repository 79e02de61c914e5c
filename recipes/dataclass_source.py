"""The fields of a configuration dataclass, read from its source file without importing it.

Importing `transformers.TrainingArguments` takes many seconds, since it loads torch; parsing its file takes 20 ms. What
is read is what `HfArgumentParser` turns into an argument: name, annotation, choices and whether the default is a bool.
"""

import ast
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SourceField:
    """One field: `kinds` are the members of its annotation, such as `{"int", "None"}`; no `choices` means any."""

    name: str
    kinds: frozenset[str]
    choices: tuple[str, ...]
    default: object

    @property
    def optional(self) -> bool:
        return "None" in self.kinds

    @property
    def is_list(self) -> bool:
        """Whether the command line takes several values; `HfArgumentParser` reads `str | list | None` as `str`."""
        return any(kind.startswith("list[") for kind in self.kinds) and not self.kinds >= {"str", "None"}


def read_fields(sources: tuple[str, ...]) -> dict[str, SourceField]:
    """Fields of the classes in `sources`, bases before subclasses, a later field replacing one of the same name.

    Args:
        sources: entries such as `"trl.trainer.dpo_config:DPOConfig"`.
    """
    fields: dict[str, SourceField] = {}
    for source in sources:
        module, class_name = source.split(":")
        for statement in _class(module, class_name).body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                field = _field(statement.target.id, statement)
                fields[field.name] = field
    return fields


# Where the enumerations live that annotate fields of `TrainingArguments`.
ENUMS = {
    "HubStrategy": "transformers.trainer_utils",
    "IntervalStrategy": "transformers.trainer_utils",
    "OptimizerNames": "transformers.training_args",
    "SaveStrategy": "transformers.trainer_utils",
    "SchedulerType": "transformers.trainer_utils",
}


def _field(name: str, statement: ast.AnnAssign) -> SourceField:
    kinds = frozenset(_kind(member) for member in _union(statement.annotation))
    enum = next((kind for kind in kinds if kind in ENUMS), None)
    keywords = _keywords(statement.value)
    return SourceField(
        name=name,
        kinds=kinds,
        choices=_enum_values(enum) if enum else _metadata_choices(keywords.get("metadata")),
        default=_literal(keywords.get("default", statement.value)),
    )


def _union(annotation: ast.expr) -> list[ast.expr]:
    if isinstance(annotation, ast.BinOp):
        return [*_union(annotation.left), *_union(annotation.right)]
    return [annotation]


def _kind(member: ast.expr) -> str:
    """`int`, `list[str]`, but `dict` for `dict[str, Any]`: what a list holds matters, what a mapping holds is free."""
    text = ast.unparse(member)
    return text if text.startswith("list[") else text.split("[")[0]


def _keywords(value: ast.expr | None) -> dict[str | None, ast.expr]:
    return {keyword.arg: keyword.value for keyword in value.keywords} if isinstance(value, ast.Call) else {}


def _metadata_choices(metadata: ast.expr | None) -> tuple[str, ...]:
    if not isinstance(metadata, ast.Dict):
        return ()
    for key, value in zip(metadata.keys, metadata.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "choices":
            return tuple(_literal(value) or ())
    return ()


def _enum_values(name: str) -> tuple[str, ...]:
    return tuple(
        str(statement.value.value)
        for statement in _class(ENUMS[name], name).body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
    )


def _literal(node: ast.expr | None) -> Any:
    """The value of a literal, `None` for anything that would have to be run."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


_trees: dict[str, ast.Module] = {}


def _class(module: str, name: str) -> ast.ClassDef:
    if module not in _trees:
        _trees[module] = ast.parse(_path(module).read_text(encoding="utf-8"))
    for node in _trees[module].body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise LookupError(f"{_path(module)} has no class {name}")


def _path(module: str) -> Path:
    """File of `module`; of its packages only namespace packages are imported, not their `__init__`."""
    package, *rest = module.split(".")
    if package == "setaria":
        package, rest = ".".join((package, rest[0])), rest[1:]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; run `pip install -e .`")
    return Path(spec.origin).parent.joinpath(*rest).with_suffix(".py")

"""Dataclasses from JSON, strictly: every field is checked against its annotation, and none is unknown.

Annotations may be str, int, float, bool, dataclasses, tuples of these (lists in JSON), and `... | None`.
"""

import math
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints


Record = TypeVar("Record")
SHOWN = 80  # characters of a value in a message


def from_json(kind: type[Record], value: Any, where: str) -> Record:
    """`value` as the dataclass `kind`.

    Raises:
        ValueError: naming `where`, the field and the value.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where}: {_shown(value)} is no object")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := [name for name in value if name not in known]:
        raise ValueError(f"{where}: unknown field {unknown[0][:SHOWN]!r}")
    given = {}
    for name, field in known.items():
        if name in value:
            given[name] = _read(hints[name], value[name], f"{where}: {name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}: {name} is missing")
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _read(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, UnionType):
        (kind,) = (one for one in get_args(hint) if one is not type(None))
        return None if value is None else _read(kind, value, where)
    if get_origin(hint) is tuple:
        return _read_tuple(get_args(hint), value, where)
    if is_dataclass(hint):
        return from_json(hint, value, where)  # type: ignore[arg-type]
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return value
    if type(value) is not hint or hint is float:
        raise ValueError(f"{where}={_shown(value)} is no {hint.__name__}")
    return value


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple:
    if not isinstance(value, list):
        raise ValueError(f"{where}={_shown(value)} is no list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where}={_shown(value)} has {len(value)} items, not {len(kinds)}")
    return tuple(
        _read(kind, one, f"{where}[{number}]") for number, (kind, one) in enumerate(zip(kinds, value, strict=True))
    )


def _shown(value: Any) -> str:
    return repr(value)[:SHOWN]

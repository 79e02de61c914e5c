"""What a field of a configuration may hold: conversion as `HfArgumentParser` does it, and the ranges of common fields.

A value comes from YAML (already typed, except that YAML reads `2e-5` as text) or from the command line (text).
"""

import difflib
import json
import math
from typing import Any

from setaria.recipes.dataclass_source import SourceField


TRUE, FALSE = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")
ABOVE_ZERO = (
    "gradient_accumulation_steps",
    "lora_alpha",
    "lora_r",
    "max_length",
    "num_train_epochs",
    "per_device_eval_batch_size",
    "per_device_train_batch_size",
)
NOT_NEGATIVE = ("learning_rate", "lora_dropout", "max_grad_norm", "warmup_steps", "weight_decay")


def convert(field: SourceField, value: Any) -> Any:
    """`value` in the type of `field`.

    Raises:
        ValueError: saying what the field needs.
    """
    if value is None or ("str" not in field.kinds and str(value).lower() in ("none", "null")):
        if not field.optional:
            raise ValueError("needs a value")
        return None
    if field.choices:
        return _choice(field.choices, value)
    kinds = field.kinds - {"None"}
    if field.is_list:
        items = value if isinstance(value, list) else [value]
        return [_number(item) for item in items] if "list[float]" in kinds else items
    if "dict" in kinds:
        return _mapping(value)
    if field.name == "resume_from_checkpoint" and value is True:
        return value
    if len(kinds) == 1:
        (kind,) = kinds
        return CONVERSIONS.get(kind, _as_given)(value)
    return value


def check_ranges(values: dict[str, Any]) -> None:
    """Refuse counts and rates that no run can use."""
    for name, value in values.items():
        if name in ABOVE_ZERO and value is not None and value <= 0:
            raise ValueError(f"{name}: {value} is not allowed, it must be above 0")
        if name in NOT_NEGATIVE and value is not None and value < 0:
            raise ValueError(f"{name}: {value} is not allowed, it must be 0 or above")


def _integer(value: Any) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return int(value)
        except ValueError:
            pass
    raise ValueError(f"{value!r} is not an integer")


def _number(value: Any) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isnan(number):
            return number
    raise ValueError(f"{value!r} is not a number")


def _boolean(value: Any) -> bool:
    if str(value).lower() in TRUE:
        return True
    if str(value).lower() in FALSE:
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text (put it in quotes if it is meant to be)")
    return value


def _mapping(value: Any) -> Any:
    """A mapping, its JSON text, or a path where the field takes one."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is not JSON: {error}") from None
    if not isinstance(value, dict | str):
        raise ValueError(f"{value!r} is not a mapping")
    return value


def _choice(choices: tuple[str, ...], value: Any) -> Any:
    if value in choices:
        return value
    if value is False and "no" in choices:
        raise ValueError("YAML reads a bare no as false: put it in quotes, 'no'")
    close = difflib.get_close_matches(str(value), choices, n=1)
    proposal = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"{value!r} is not one of {', '.join(choices)}{proposal}")


def _as_given(value: Any) -> Any:
    return value


CONVERSIONS = {"bool": _boolean, "float": _number, "int": _integer, "str": _text}

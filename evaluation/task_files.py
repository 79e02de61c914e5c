"""Texts and prompts as users give them: JSON lines with named fields, or plain text."""

import json
from pathlib import Path
from typing import Any


MOST_BYTES = 1_000_000_000


def read_objects(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Objects of a file of JSON lines, or of a single JSON list, each with the place that an error names.

    Raises:
        ValueError: naming file and line.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: larger than {MOST_BYTES} bytes")
    text = file.read_text(encoding="utf-8")
    lines = enumerate(text.split("\n"), 1)
    if text.lstrip().startswith("["):
        rows = [(f"{file}[{place}]", row) for place, row in enumerate(_parsed(str(file), text))]
    else:
        rows = [
            (place, _parsed(place, line)) for number, line in lines if line.strip() and (place := f"{file}:{number}")
        ]
    for place, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{place}: an object is expected")
    if not rows:
        raise ValueError(f"{file}: empty")
    return rows


def read_texts(file: Path, needed: str, optional: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Objects with a text in field `needed`, and texts in `optional` ones; other fields are left out.

    Raises:
        ValueError: naming file, line and field.
    """
    rows = []
    for place, row in read_objects(file):
        if not isinstance(row.get(needed), str) or not row[needed]:
            raise ValueError(f"{place}: an object with a text in {needed!r} is expected")
        for name in optional:
            if not isinstance(row.get(name, ""), str):
                raise ValueError(f"{place}: {name}={row[name]!r}: a text is expected")
        rows.append({name: row[name] for name in (needed, *optional) if name in row})
    return rows


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: no JSON ({error})") from None

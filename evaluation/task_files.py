"""Texts and prompts as users give them: JSON lines with named fields, one JSON list of such objects, or plain text."""

import json
from pathlib import Path
from typing import Any


MOST_BYTES = 1_000_000_000


def read_json_lines(file: Path, needed: str, optional: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Objects with a text in field `needed`, and texts in `optional` ones; other fields are left out.

    Raises:
        ValueError: naming file, line and field.
    """
    rows = []
    for where, row in read_rows(file):
        if not isinstance(row, dict) or not isinstance(row.get(needed), str) or not row[needed]:
            raise ValueError(f"{where}: an object with a text in {needed!r} is expected")
        for name in optional:
            if not isinstance(row.get(name, ""), str):
                raise ValueError(f"{where}: {name}={row[name]!r}: a text is expected")
        rows.append({name: row[name] for name in (needed, *optional) if name in row})
    return rows


def read_rows(file: Path) -> list[tuple[str, Any]]:
    """What each line holds, with `FILE:LINE`, or each element of a JSON list, with `FILE[INDEX]`; at least one.

    Raises:
        ValueError: naming file and line.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: larger than {MOST_BYTES} bytes")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: no UTF-8 ({error})") from None
    if text.lstrip().startswith("["):
        rows = [(f"{file}[{place}]", row) for place, row in enumerate(_parsed(text, str(file)))]
    else:
        lines = [(f"{file}:{number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows = [(where, _parsed(line, where)) for where, line in lines]
    if not rows:
        raise ValueError(f"{file}: empty")
    return rows


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: no JSON ({error})") from None

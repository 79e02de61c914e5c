"""Texts and prompts as users give them: JSON lines with named fields, or plain text."""

import json
from pathlib import Path


MOST_BYTES = 1_000_000_000


def read_json_lines(file: Path, needed: str, optional: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Objects with a text in field `needed`, and texts in `optional` ones; other fields are left out.

    Raises:
        ValueError: naming file, line and field.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file}: larger than {MOST_BYTES} bytes")
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}:{number}: no JSON ({error})") from None
        if not isinstance(row, dict) or not isinstance(row.get(needed), str) or not row[needed]:
            raise ValueError(f"{file}:{number}: an object with a text in {needed!r} is expected")
        for name in optional:
            if not isinstance(row.get(name, ""), str):
                raise ValueError(f"{file}:{number}: {name}={row[name]!r}: a text is expected")
        rows.append({name: row[name] for name in (needed, *optional) if name in row})
    if not rows:
        raise ValueError(f"{file}: empty")
    return rows

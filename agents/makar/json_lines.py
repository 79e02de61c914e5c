"""A file of JSON lines that only grows, one object per line, so that an interrupted run goes on where it was.

A kill may cut the last line: reading leaves it out with a warning that names it, and it goes when a line is added.
"""

import json
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class GrowingFile:
    """Appends lines, from any number of threads of one process; folders of `path` are made."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend_end(path)

    def add(self, entry: dict[str, Any]) -> None:
        """Append a line; it is on the disk when this returns."""
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        with self._lock, self._path.open("ab") as file:
            file.write(line.encode("utf-8", "backslashreplace"))  # lone surrogates, as JSON's
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`FILE:LINE` and the object of each line that is not blank.

    Raises:
        ValueError: naming file and line of what is no JSON object, unless it is a last line that was cut.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                if line.endswith(b"\n"):
                    raise ValueError(f"{where}: no JSON ({error})") from None
                warnings.warn(f"{where}: the last line was cut and is left out", stacklevel=2)
                return
            if not isinstance(entry, dict):
                raise ValueError(f"{where}: no JSON object, but {str(entry)[:80]}")
            yield where, entry


def texts_of(entry: Any, names: Iterable[str], where: str) -> dict[str, str]:
    """The named fields of `entry`, which must be texts.

    Raises:
        ValueError: naming `where` and the field.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: no JSON object, but {str(entry)[:80]}")
    texts = {}
    for name in names:
        text = entry.get(name)
        if not isinstance(text, str):
            raise ValueError(f"{where}: {name}={str(text)[:80]} is no text")
        texts[name] = text
    return texts


def _mend_end(path: Path) -> None:
    """Let the file end with a line break, without a last line that was cut."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole == len(content):
        return
    try:
        json.loads(content[whole:])
    except (ValueError, RecursionError):
        os.truncate(path, whole)
    else:
        with path.open("ab") as file:
            file.write(b"\n")

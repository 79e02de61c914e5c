"""Errors of a run as one line that names the thing and the remedy; `SETARIA_TRACEBACK=1` shows where they arose."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


DISK_FULL = ("No space left on device", "Disk quota exceeded", "PytorchStreamWriter failed", "inline_container.cc")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors about input, files and numbers into one line on stderr and exit code 1; others pass."""
    try:
        yield
    except Exception as error:
        message = _message(error)
        if message is None or os.environ.get("SETARIA_TRACEBACK") == "1":
            raise
        rank = f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
        print(f"setaria: {rank}{' '.join(message.split())}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def _message(error: Exception) -> str | None:
    chain: list[BaseException] = [error]
    while earlier := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(earlier)
    if any(sign in str(link) for link in chain for sign in DISK_FULL):
        where = next((f" ({link.filename})" for link in chain if isinstance(link, OSError) and link.filename), "")
        return (
            f"the disk is full{where}: checkpoints that were complete are untouched; free some space, then continue "
            "with --resume_from_checkpoint last"
        )
    if isinstance(error, ValueError | OSError | FloatingPointError | ImportError):
        return f"{error} (SETARIA_TRACEBACK=1 shows where)"
    return None

"""What the items of a run folder were made with, so that those of another configuration are not taken for finished.

RUN/items/made_with.json   settings that change items, a digest of every task's file, and the date and size of every
                           checkpoint's files; models, caches, drafters, tasks and more items may be added later
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.results import write_atomically


FIXED = (
    "apply_chat_template",
    "depths",
    "dtype",
    "include_path",
    "judge_model",
    "load_in_4bit",
    "load_in_8bit",
    "max_length",
    "max_new_tokens",
    "merge_adapter",
    "num_fewshot",
    "recall_lengths",
    "recall_tokens",
    "seed",
    "step",
)


def check_record(config: EvalConfig) -> None:
    """Write the record of a new run folder, or compare with the one that is there and add to it.

    Raises:
        ValueError: naming what has changed since the items were made.
    """
    file = config.output / "items" / "made_with.json"
    made: dict[str, Any] = {}
    if file.exists():
        try:
            made = json.loads(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: no JSON ({error}); choose another output") from None
    now = _record(config)
    for part, values in now.items():
        before = made.get(part, {})
        for name in [name for name in values if name in before and before[name] != values[name]]:
            was = f"{name}={before[name]!r}, not {values[name]!r}" if part == "settings" else f"another {name}"
            raise ValueError(f"output={config.output} has items that were made with {was}; choose another output")
    file.parent.mkdir(parents=True, exist_ok=True)
    merged = {part: {**made.get(part, {}), **values} for part, values in now.items()}
    write_atomically(file, json.dumps(merged, indent=1) + "\n")


def _record(config: EvalConfig) -> dict[str, dict[str, Any]]:
    settings = {name: getattr(config, name) for name in FIXED}
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    settings["include_path"] = config.include_path and str(config.include_path)
    folders = {name for pair in config.checkpoints for name in pair if name is not None}
    return {
        "settings": settings,
        "files": {f"file of {task}": _digest(file) for task, file in config.tasks.items() if file is not None},
        "checkpoints": {name: _dates(Path(name)) for name in sorted(folders)},
    }


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _dates(folder: Path) -> list[list[Any]]:
    """Name, bytes and date of the files of a checkpoint; of a name on the Hub, nothing."""
    if not folder.is_dir():
        return []
    files = sorted(one for one in folder.iterdir() if one.is_file())
    return [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in files]

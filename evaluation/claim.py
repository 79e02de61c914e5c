"""What the items of a run were made with: those of another checkpoint, file or setting are not taken for finished.

RUN/made_with.json    checkpoints by their weight files, task files by their content, settings that change an item
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.loading import weight_files
from setaria.evaluation.results import write_atomically


SETTINGS = (
    "max_length",
    "max_new_tokens",
    "dtype",
    "merge_adapter",
    "load_in_4bit",
    "load_in_8bit",
    "apply_chat_template",
    "num_fewshot",
)
OF_RECALL = ("recall_lengths", "recall_depths", "seed")
OWN_FILES = (".yaml", ".py", ".json", ".jsonl")  # of include_path


def claim(config: EvalConfig) -> None:
    """Write what a run's items are made with on its first start; caches, drafters, limit and tasks may be added later.

    Raises:
        ValueError: naming what differs from the run in the folder.
    """
    file = config.output / "made_with.json"
    now = _made_with(config)
    before = json.loads(file.read_bytes()) if file.exists() else {}
    for part, value in now.items():
        if before.get(part, value) != value:
            raise ValueError(
                f"output={config.output} holds items that were made with another {part}: choose another folder"
            )
    write_atomically(file, json.dumps(before | now, indent=1) + "\n")


def _made_with(config: EvalConfig) -> dict[str, Any]:
    names = SETTINGS + (OF_RECALL if "recall" in config.tasks else ())
    made: dict[str, Any] = json.loads(json.dumps({name: getattr(config, name) for name in names}))
    for name, adapter in config.checkpoints:
        (setting, *_) = config.settings(name, adapter)
        made[f"checkpoint {setting.name}"] = [_weights(one) for one in (name, adapter) if one]
    for task, path in config.tasks.items():
        if path is not None:
            made[f"file of {task}"] = _content(path)
    if config.include_path:
        for own in sorted(config.include_path.rglob("*")):
            if own.suffix in OWN_FILES:
                made[f"{own.relative_to(config.include_path)} of include_path"] = _content(own)
    return made


def _content(path: Path) -> Any:
    if path.is_dir():
        return str(path.resolve())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _weights(name: str) -> list[Any]:
    folder = Path(name)
    if not folder.is_dir():
        return [name]
    stats = {file.name: file.stat() for file in weight_files(folder)}
    return [str(folder.resolve()), *([name, stat.st_size, stat.st_mtime_ns] for name, stat in sorted(stats.items()))]

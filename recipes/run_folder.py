"""What a run leaves beside its checkpoints: how it was started and what it logged.

run/config.yaml        every setting, resolved; it can be given to `--config` again
run/command.txt        the command line
run/environment.json   seed, versions of all packages, Python, platform, processes, git revision
run/git.diff           uncommitted changes of the source tree, if it is one
metrics.jsonl          one JSON object per log event: step, epoch, time (seconds since 1970) and what was logged
"""

import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml
from transformers import TrainerCallback


def write_run_folder(output_dir: str, config: dict[str, Any], processes: int) -> None:
    """Write `run/` in `output_dir`; to be called by the main process only.

    Raises:
        OSError: naming `output_dir` if it cannot be written.
    """
    folder = Path(output_dir) / "run"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "config.yaml", yaml.safe_dump(config, sort_keys=True))
    except OSError as error:
        raise OSError(
            f"output_dir={output_dir} cannot be written ({error.strerror}): choose another with --output_dir"
        ) from None
    environment = {
        "git_revision": _git("rev-parse", "HEAD"),
        "packages": {package.name: package.version for package in sorted(distributions(), key=lambda one: one.name)},
        "platform": platform.platform(),
        "processes": processes,
        "python": platform.python_version(),
        "seed": config["seed"],
    }
    write_atomically(folder / "environment.json", json.dumps(environment, indent=2) + "\n")
    write_atomically(folder / "command.txt", shlex.join(_without_token(sys.orig_argv)) + "\n")
    write_atomically(folder / "git.diff", _git("diff", "HEAD") or "")


def resolved_config(*dataclasses: Any) -> dict[str, Any]:
    """Settings of all dataclasses in one mapping of plain values, without access tokens."""
    config: dict[str, Any] = {}
    for one in dataclasses:
        config |= one.to_dict() if hasattr(one, "to_dict") else vars(one)
    if config.get("steps_per_generation") is not None:
        config.pop("generation_batch_size")  # GRPO takes one of the two and fills in the other
    return {key: _plain(value) for key, value in config.items() if not key.endswith("_token") or key == "pad_token"}


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` in one step, so that a crash leaves the old or the new text."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


class MetricsJsonl(TrainerCallback):
    """Writes every log event to `metrics.jsonl`; a resumed run keeps the events up to its step."""

    def __init__(self, output_dir: str):
        self.path = Path(output_dir) / "metrics.jsonl"

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            resumed = state.global_step > 0
            kept = [line for line in self._lines() if resumed and 0 <= _step(line) <= state.global_step]
            write_atomically(self.path, "".join(kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            event = {"step": state.global_step, "epoch": state.epoch, "time": round(time.time(), 3), **(logs or {})}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: _finite(value) for key, value in event.items()}) + "\n")

    def _lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []


def _step(line: str) -> int:
    """Step of a line; -1 for one that was cut short when the run was killed."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return -1


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return _plain(vars(value))
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _without_token(arguments: list[str]) -> list[str]:
    hidden = list(arguments)
    for index, argument in enumerate(arguments):
        name, equals, _ = argument.partition("=")
        if name.replace("-", "_") == "__hub_token":
            hidden[index + (not equals)] = f"{name}=<hidden>" if equals else "<hidden>"
    return hidden


def _git(*arguments: str) -> str | None:
    """Output of git on the source tree; `None` when this is no git checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).resolve().parent), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout if arguments[0] == "diff" else done.stdout.strip()

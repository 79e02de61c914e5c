"""Texts and prompts of evaluations."""

import json
from pathlib import Path

from setaria.evaluation import EvalConfig


TEXT = "The fox saw a hen. " * 12 + "It ran. " * 8  # 292 bytes, more than the 128 tokens that caches keep exact


def write_inputs(folder: Path) -> dict[str, Path]:
    """Files of both tasks."""
    texts = [{"text": TEXT}, {"text": TEXT[7:]}, {"text": TEXT[::-1]}]
    prompts = [{"prompt": f"{number} {TEXT[: 130 + 9 * number]}", "target": "no"} for number in range(5)]
    files = {"fidelity": folder / "texts.jsonl", "completion": folder / "prompts.jsonl"}
    for file, rows in zip(files.values(), (texts, prompts), strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def config(checkpoint: Path, folder: Path, **settings) -> EvalConfig:
    """A small grid, if not told otherwise."""
    given = {"tasks": write_inputs(folder), "output": folder / "run", "max_new_tokens": 24, "dtype": "float32"}
    return EvalConfig((str(checkpoint),), **given | settings)

"""Which checkpoint a run resumes from: the one asked for, or the newest intact one, never a damaged one.

A checkpoint is intact when its `trainer_state.json`, written last, is there and can be read, and when none of its
weight and state files is cut short.
"""

import json
import zipfile
from pathlib import Path

from accelerate.logging import get_logger
from safetensors import SafetensorError, safe_open
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, sort_checkpoints


logger = get_logger(__name__)


def find_checkpoint(output_dir: str, wanted: str | bool | None) -> str | None:
    """Path of the checkpoint to resume from, `None` for a run from the start.

    Args:
        wanted: a path; `True`, `"true"` or `"last"` for the newest intact checkpoint of `output_dir`.

    Raises:
        ValueError: if the path is no intact checkpoint, naming the newest intact one, or if there is none.
    """
    if wanted is None or str(wanted).lower() in ("false", "none", ""):
        return None
    if str(wanted).lower() in ("true", "last"):
        newest = newest_intact(output_dir, report=True)
        if newest is None:
            raise ValueError(
                f"resume_from_checkpoint={wanted}: {output_dir} holds no intact {PREFIX_CHECKPOINT_DIR}-*; leave the "
                "option out to train from the start"
            )
        return newest
    problem = damage(Path(str(wanted)))
    if problem is None:
        return str(wanted)
    newest = newest_intact(str(Path(str(wanted)).parent)) or newest_intact(output_dir)
    remedy = f"the newest intact one is {newest}" if newest else "there is no intact one beside it"
    raise ValueError(f"resume_from_checkpoint={wanted}: {problem}; {remedy}")


def newest_intact(output_dir: str, report: bool = False) -> str | None:
    """The intact checkpoint of `output_dir` with the highest step; `report` warns of those skipped."""
    for checkpoint in reversed(sort_checkpoints(output_dir)):
        problem = damage(Path(checkpoint))
        if problem is None:
            return checkpoint
        if report:
            logger.warning(f"skipping {checkpoint}: {problem}")
    return None


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint folder, `None` if nothing is."""
    if not checkpoint.is_dir():
        return "there is no such folder"
    state = checkpoint / "trainer_state.json"
    if not state.is_file():
        return "incomplete, it has no trainer_state.json"
    try:
        json.loads(state.read_text(encoding="utf-8"))
    except ValueError:
        return "damaged, trainer_state.json cannot be read"
    for file in sorted(checkpoint.rglob("*")):
        if _is_cut_short(file):
            return f"damaged, {file.relative_to(checkpoint)} is cut short"
    return None


def _is_cut_short(file: Path) -> bool:
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="np"):
                return False
        except SafetensorError:
            return True
    return file.suffix in (".bin", ".pt", ".pth") and not zipfile.is_zipfile(file)

"""What the stages of the labs share: each is made once, and most are SFT on a CPU, which leaves a model and losses."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, ProcessorMixin
from trl import SFTConfig, SFTTrainer

from setaria.recipes.quiet_on_cpu import quiet_on_cpu


WARMUP = 50
DONE = "done"


def run_stages(stages: Any, names: Sequence[str], folder: Path, report: Callable[[str], None] = print) -> None:
    """Call method `_NAME` of `stages` with `folder/NAME` for each name that is not finished yet."""
    for name in names:
        made = folder / name
        if not (made / DONE).exists():
            began = time.monotonic()
            shutil.rmtree(made, ignore_errors=True)  # what an interrupted run left
            getattr(stages, f"_{name}")(made)
            (made / DONE).touch()
            report(f"{made.relative_to(folder.parent)}: {time.monotonic() - began:.0f} s")


def fine_tune(
    start: Path,
    folder: Path,
    rows: Dataset,
    processor: ProcessorMixin,
    steps: int,
    learning_rate: float,
    batch: int,
    seed: int = 0,
) -> None:
    """SFT of the model in `start` on rows of `prompt`, `completion` and `images`."""
    trainer = SFTTrainer(
        str(start),
        SFTConfig(
            output_dir=str(folder),
            max_steps=steps,
            learning_rate=learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=min(WARMUP, steps // 10),
            adam_beta2=0.98,
            per_device_train_batch_size=batch,
            max_length=None,
            **quiet_on_cpu(seed) | {"logging_strategy": "steps", "logging_steps": 50},
        ),
        train_dataset=rows.select_columns(["prompt", "completion", "images"]),
        processing_class=processor,
    )
    train_and_save(trainer, folder)


def train_and_save(trainer: Any, folder: Path) -> None:
    """Train quietly; the model and the trainer's log go to `folder`."""
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder))
    trainer.state.save_to_json(str(folder / "trainer_state.json"))

"""How the labs train: SFT on a CPU with TRL's trainer; what is left in the folder is a model, and its losses."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, ProcessorMixin
from trl import SFTConfig, SFTTrainer

from setaria.recipes.quiet_on_cpu import quiet_on_cpu


WARMUP = 50


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

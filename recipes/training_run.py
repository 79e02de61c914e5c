"""What every training script does around its trainer: folder, checkpoint, model arguments, guards, saving, the end."""

import signal
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from trl import ModelConfig

from setaria.recipes.checkpoints import find_checkpoint
from setaria.recipes.run_folder import MetricsJsonl, resolved_config, write_run_folder
from setaria.trainers.guards import SaveOnSigterm, StopOnNonFiniteLoss


class TrainingRun:
    """One run of a script: begun with its settings, finished with its trainer.

    Args:
        settings: all dataclasses of the script, for `run/config.yaml`.
    """

    def __init__(self, training_args: TrainingArguments, model_args: ModelConfig, settings: tuple[Any, ...]):
        if training_args.process_index == 0:
            write_run_folder(training_args.output_dir, resolved_config(*settings), training_args.world_size)
        self.args = training_args
        self.checkpoint = find_checkpoint(training_args.output_dir, training_args.resume_from_checkpoint)
        self._sigterm = SaveOnSigterm()
        training_args.logging_nan_inf_filter = False
        training_args.model_init_kwargs = {
            "revision": model_args.model_revision,
            "trust_remote_code": training_args.trust_remote_code,
            "attn_implementation": model_args.attn_implementation,
            "dtype": model_args.dtype,
            **(training_args.model_init_kwargs or {}),
        }

    @property
    def callbacks(self) -> list[TrainerCallback]:
        """The callbacks that every trainer gets."""
        return [MetricsJsonl(self.args.output_dir), StopOnNonFiniteLoss(), self._sigterm]

    def finish(self, trainer: Trainer, dataset_name: str | None) -> None:
        """Train, save, and push if asked to; after a SIGTERM leave a checkpoint and exit with 143."""
        _save_by_the_names_that_were_loaded(trainer.model)
        trainer.train(resume_from_checkpoint=self.checkpoint)
        if self._sigterm.received:
            trainer.accelerator.print(
                f"setaria: SIGTERM, stopped after step {trainer.state.global_step} with a checkpoint in "
                f"{self.args.output_dir}; continue with --resume_from_checkpoint last"
            )
            trainer.end()
            raise SystemExit(128 + signal.SIGTERM)
        trainer.save_model(self.args.output_dir)
        if self.args.push_to_hub:
            trainer.push_to_hub(dataset_name=dataset_name)
        trainer.end()


def _save_by_the_names_that_were_loaded(model: torch.nn.Module) -> None:
    """Leave the renamings that loading did not use out of saving.

    Under ZeRO-3 transformers keeps all those of an architecture, used or not. Undone together they write Qwen2-VL's
    weights under names, `model.model.layers`, that other programs cannot know.
    """
    for module in model.modules():
        if conversions := getattr(module, "_weight_conversions", None):
            module._weight_conversions = [conversion for conversion in conversions if conversion.was_used()]

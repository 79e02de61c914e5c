"""Fine-tunes the roles of BacktrackAgent on their rows with stock SFTTrainer (paper, stage 1: cross-entropy).

    accelerate launch --config_file accelerate_configs/zero3.yaml -m setaria.recipes.backtrack.sft \
        --config recipes/backtrack/sft_qwen2_vl_7b.yaml --dataset_name ROWS [--roles judger naming] [--key value ...]

`setaria train backtrack-sft --config RECIPE` is the same in one command. Rows come from `setaria build backtrack`. One
backbone with an adapter per role is three runs with `use_peft: true` and one role each.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "transformers.training_args:TrainingArguments",
    "trl.trainer.base_config:_BaseConfig",
    "trl.trainer.sft_config:SFTConfig",
    "trl.trainer.model_config:ModelConfig",
    "trl.scripts.utils:ScriptArguments",
    "trl.scripts.utils:DatasetMixtureConfig",
    "setaria.recipes.backtrack.script_arguments:RoleArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        train(argv)


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    if not values.get("model_name_or_path"):
        raise ValueError("model_name_or_path is missing: give a checkpoint folder or a name on the Hub")
    if not values.get("dataset_name") and not values.get("datasets"):
        raise ValueError("no data: give dataset_name, a folder that `setaria build backtrack` wrote, or datasets")
    if values.get("max_length", "TRL's default") is not None:
        raise ValueError("max_length would cut through images: set max_length: null, and bound images by their pixels")
    check_trained_part(values)


def check_trained_part(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for settings that name different things to train."""
    if values.get("use_peft") and values.get("adapter"):
        raise ValueError("use_peft starts a new adapter, adapter goes on from one: give one of the two")
    if values.get("freeze") and (values.get("use_peft") or values.get("adapter")):
        raise ValueError("freeze is for training all weights; with an adapter nothing else is trained")


def train(argv: list[str]) -> None:
    """Train and save."""
    if problem := torchvision_problem():
        raise ImportError(problem)
    from trl import (
        DatasetMixtureConfig,
        ModelConfig,
        SFTConfig,
        SFTTrainer,
        TrlParser,
        get_peft_config,
        get_quantization_config,
    )

    from setaria.datasets_builders.gui.rows import sft_rows
    from setaria.models.processors import image_only_processor_for
    from setaria.recipes.backtrack.adapters import freeze, starting_model
    from setaria.recipes.backtrack.script_arguments import RoleArguments
    from setaria.recipes.dataset_loading import load_splits
    from setaria.recipes.training_run import TrainingRun

    settings = TrlParser((RoleArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)).parse_args_and_config(argv)
    script_args, training_args, model_args, mixture = settings
    run = TrainingRun(training_args, model_args, settings)
    train_split, eval_split = load_splits(script_args, mixture, evaluate=training_args.eval_strategy != "no")
    trainer = SFTTrainer(
        model=starting_model(model_args, training_args, script_args.adapter),
        args=training_args,
        train_dataset=sft_rows(train_split, script_args.roles),
        eval_dataset=None if eval_split is None else sft_rows(eval_split, script_args.roles),
        processing_class=image_only_processor_for(model_args.model_name_or_path, model_args.model_revision),
        quantization_config=None if script_args.adapter else get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        callbacks=run.callbacks,
    )
    freeze(trainer.model, script_args.freeze or ())
    run.finish(trainer, script_args.dataset_name)


if __name__ == "__main__":
    main()

"""Fine-tunes the grounding agent on its rows with stock SFTTrainer: the cold start (MAKAR, ERGA).

    accelerate launch --config_file accelerate_configs/zero3.yaml -m setaria.recipes.makar.sft \
        --config recipes/makar/sft_qwen2.5_vl_7b.yaml --dataset_name ROWS [--key value ...]

`setaria train makar-sft --config RECIPE` is the same in one command. Rows come from `setaria build makar rows`, or are
the easy ones of `setaria build makar split`.
"""

import sys
from typing import Any

from setaria.recipes.backtrack.sft import check_trained_part
from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight, require
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "transformers.training_args:TrainingArguments",
    "trl.trainer.base_config:_BaseConfig",
    "trl.trainer.sft_config:SFTConfig",
    "trl.trainer.model_config:ModelConfig",
    "trl.scripts.utils:ScriptArguments",
    "trl.scripts.utils:DatasetMixtureConfig",
    "setaria.recipes.makar.script_arguments:GroundingArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        train(argv)


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    check_grounding(values)
    if values.get("max_length", "TRL's default") is not None:
        raise ValueError("max_length would cut through images: set max_length: null, and bound image_max_pixels")


def check_grounding(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that neither SFT nor GRPO of the grounding agent can start with."""
    require(values, {"model_name_or_path": "a checkpoint folder or a name on the Hub"})
    if not values.get("dataset_name") and not values.get("datasets"):
        raise ValueError("no data: give dataset_name, a folder that `setaria build makar` wrote, or datasets")
    if values.get("dataset_streaming"):
        raise ValueError("dataset_streaming: the sizes of all images are checked first, which needs all rows")
    pixels = values.get("image_max_pixels")
    if pixels is not None and pixels < 1:
        raise ValueError(f"image_max_pixels: {pixels} is not allowed, it must be above 0")
    check_trained_part(values)


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

    from setaria.datasets_builders.mner.grounding_rows import sft_rows
    from setaria.recipes.backtrack.adapters import freeze, starting_model
    from setaria.recipes.makar.processor import checked_splits, grounding_processor
    from setaria.recipes.makar.script_arguments import GroundingArguments
    from setaria.recipes.training_run import TrainingRun

    settings = TrlParser((GroundingArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)).parse_args_and_config(
        argv
    )
    script_args, training_args, model_args, mixture = settings
    run = TrainingRun(training_args, model_args, settings)
    processor = grounding_processor(
        model_args.model_name_or_path, model_args.model_revision, script_args.image_max_pixels
    )
    train_split, eval_split = checked_splits(script_args, mixture, training_args, processor)
    trainer = SFTTrainer(
        model=starting_model(model_args, training_args, script_args.adapter),
        args=training_args,
        train_dataset=sft_rows(train_split),
        eval_dataset=None if eval_split is None else sft_rows(eval_split),
        processing_class=processor,
        quantization_config=None if script_args.adapter else get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        callbacks=run.callbacks,
    )
    if not (script_args.adapter or model_args.use_peft):
        freeze(trainer.model, script_args.freeze)
    run.finish(trainer, script_args.dataset_name)


if __name__ == "__main__":
    main()

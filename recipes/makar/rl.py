"""Reinforces the grounding agent with boxes and None as rewards, through stock GRPOTrainer (MAKAR, ERGA).

    accelerate launch --config_file accelerate_configs/zero3.yaml -m setaria.recipes.makar.rl \
        --config recipes/makar/rl_qwen2.5_vl_7b.yaml --dataset_name ROWS [--key value ...]

`setaria train makar-rl --config RECIPE` is the same in one command. Rows are the hard ones of `setaria build makar
split`. The policy is what `makar-sft` left: its checkpoint, or the model with its adapter.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.makar.sft import check_grounding
from setaria.recipes.preflight import preflight
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "transformers.training_args:TrainingArguments",
    "trl.trainer.base_config:_BaseConfig",
    "trl.trainer.grpo_config:GRPOConfig",
    "trl.trainer.model_config:ModelConfig",
    "trl.scripts.utils:ScriptArguments",
    "trl.scripts.utils:DatasetMixtureConfig",
    "setaria.recipes.makar.script_arguments:GroundingArguments",
    "setaria.recipes.makar.script_arguments:RewardArguments",
)


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        train(argv)


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    check_grounding(values)


def train(argv: list[str]) -> None:
    """Train and save."""
    if problem := torchvision_problem():
        raise ImportError(problem)
    from trl import (
        DatasetMixtureConfig,
        GRPOConfig,
        GRPOTrainer,
        ModelConfig,
        TrlParser,
        get_peft_config,
        get_quantization_config,
    )

    from setaria.datasets_builders.mner.grounding_rows import family_of, rollout_rows
    from setaria.recipes.backtrack.adapters import freeze, starting_model
    from setaria.recipes.makar.processor import checked_splits, grounding_processor
    from setaria.recipes.makar.script_arguments import RewardArguments
    from setaria.recipes.training_run import TrainingRun
    from setaria.rewards.grounding import GroundingRewards
    from setaria.rewards.grounding_paper_exact import PaperExactRewards

    settings = TrlParser((RewardArguments, GRPOConfig, ModelConfig, DatasetMixtureConfig)).parse_args_and_config(argv)
    script_args, training_args, model_args, mixture = settings
    run = TrainingRun(training_args, model_args, settings)
    processor = grounding_processor(
        model_args.model_name_or_path, model_args.model_revision, script_args.image_max_pixels
    )
    train_split, eval_split = checked_splits(script_args, mixture, training_args, processor)
    family = family_of(train_split)
    exact = script_args.reward == "paper_exact"
    rewards = PaperExactRewards(family) if exact else GroundingRewards(family, script_args.reward)
    trainer = GRPOTrainer(
        model=starting_model(model_args, training_args, script_args.adapter),
        reward_funcs=rewards.functions,
        args=training_args,
        train_dataset=rollout_rows(train_split),
        eval_dataset=None if eval_split is None else rollout_rows(eval_split),
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

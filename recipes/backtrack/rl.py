"""Reinforces Generator and Reflector with judgment rewards (paper, stage 2), through JudgmentGRPOTrainer.

    accelerate launch --config_file accelerate_configs/zero3.yaml -m setaria.recipes.backtrack.rl \
        --config recipes/backtrack/rl_qwen2_vl_7b.yaml --dataset_name ROWS --world WORLD --judger JUDGER

`setaria train backtrack-rl --config RECIPE` is the same in one command. Rollouts are executed in the graphs of
`--world`; every row names its task and page there.
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
    "trl.trainer.grpo_config:GRPOConfig",
    "setaria.trainers.judgment_grpo_config:JudgmentGRPOConfig",
    "trl.trainer.model_config:ModelConfig",
    "trl.scripts.utils:ScriptArguments",
    "trl.scripts.utils:DatasetMixtureConfig",
    "setaria.recipes.backtrack.script_arguments:RoleArguments",
    "setaria.recipes.backtrack.script_arguments:JudgmentArguments",
)
POLICY_ROLES = ("generator", "reflector")


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        train(argv)


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    require(
        values,
        {
            "model_name_or_path": "a checkpoint folder or a name on the Hub",
            "dataset_name": "a folder that `setaria build backtrack` wrote",
            "world": "the folder with the graphs and tasks.jsonl",
        },
    )
    if wrong := sorted(set(values.get("roles") or ()) - set(POLICY_ROLES)):
        raise ValueError(f"roles: {wrong[0]!r} does not act, reinforcement is for {' and '.join(POLICY_ROLES)}")
    check_trained_part(values)


def train(argv: list[str]) -> None:
    """Train and save."""
    if problem := torchvision_problem():
        raise ImportError(problem)
    from pathlib import Path

    from trl import DatasetMixtureConfig, ModelConfig, TrlParser, get_peft_config, get_quantization_config

    from setaria.agents.backtrack.moments import AttemptsAtMoments, moments
    from setaria.datasets_builders.gui.prompts import Prompts
    from setaria.datasets_builders.gui.rows import rollout_rows
    from setaria.models.processors import load_processor
    from setaria.recipes.backtrack.adapters import freeze, starting_model
    from setaria.recipes.backtrack.chats import load_judger
    from setaria.recipes.backtrack.script_arguments import JudgmentArguments
    from setaria.recipes.backtrack.world_tasks import world_tasks
    from setaria.recipes.dataset_loading import load_splits
    from setaria.recipes.training_run import TrainingRun
    from setaria.rewards.judgment import JudgmentRewards
    from setaria.trainers import JudgmentGRPOConfig, JudgmentGRPOTrainer

    parser = TrlParser((JudgmentArguments, JudgmentGRPOConfig, ModelConfig, DatasetMixtureConfig))
    settings = parser.parse_args_and_config(argv)
    script_args, training_args, model_args, mixture = settings
    run = TrainingRun(training_args, model_args, settings)
    processor = load_processor(model_args.model_name_or_path, model_args.model_revision)
    prompts = Prompts.of_processor(script_args.family, processor, described=script_args.described)
    graphs, tasks = world_tasks(Path(script_args.world))
    judger = load_judger(script_args, model_args, processor, training_args)
    rewards = JudgmentRewards(AttemptsAtMoments(moments(tasks, graphs), prompts, judger))
    train_split, _ = load_splits(script_args, mixture, evaluate=False)
    trainer = JudgmentGRPOTrainer(
        model=starting_model(model_args, training_args, script_args.adapter),
        reward_funcs=rewards.functions,
        args=training_args,
        train_dataset=rollout_rows(train_split, script_args.roles or list(POLICY_ROLES)),
        processing_class=processor,
        quantization_config=None if script_args.adapter else get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        callbacks=run.callbacks,
    )
    freeze(trainer.model, script_args.freeze or ())
    run.finish(trainer, script_args.dataset_name)


if __name__ == "__main__":
    main()

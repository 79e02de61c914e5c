"""Reinforces one model over whole episodes with tools, going back among them, through TRL's `environment_factory`.

    accelerate launch --config_file accelerate_configs/zero3.yaml -m setaria.recipes.backtrack.rl_tools \
        --config recipes/backtrack/rl_tools_qwen3_vl_8b.yaml --world WORLD

`setaria train backtrack-rl-tools --config RECIPE` is the same in one command. The dataset is the tasks of `--world`.
The model needs a chat template with tools, such as Qwen3-VL's; Qwen2-VL and Qwen2.5-VL have none. The reward of an
episode is in `setaria.agents.backtrack.tool_environment`, its weights are gold_weight and verifier_weight.
"""

import sys
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight, require
from setaria.recipes.torchvision_guard import torchvision_problem


FIELDS = (
    "transformers.training_args:TrainingArguments",
    "trl.trainer.base_config:_BaseConfig",
    "trl.trainer.grpo_config:GRPOConfig",
    "setaria.trainers.judgment_grpo_config:JudgmentGRPOConfig",
    "trl.trainer.model_config:ModelConfig",
    "setaria.recipes.backtrack.episode_arguments:EpisodeArguments",
)


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
            "world": "the folder with the graphs and tasks.jsonl",
        },
    )
    for name in ("ce_coef", "judger_weight"):
        if values.get(name) != 0:
            raise ValueError(f"{name}: an episode has neither gold replies nor a Judger, set {name}: 0")


def train(argv: list[str]) -> None:
    """Train and save."""
    if problem := torchvision_problem():
        raise ImportError(problem)
    from functools import partial
    from pathlib import Path

    from transformers import AutoConfig
    from trl import ModelConfig, TrlParser, get_peft_config, get_quantization_config

    from setaria.agents.backtrack.tool_environment import TOOLS, episode_rows, tool_environment
    from setaria.datasets_builders.gui.tasks import read_split
    from setaria.models.image_size import to_fixed_point
    from setaria.models.processors import load_processor
    from setaria.recipes.backtrack.episode_arguments import EpisodeArguments
    from setaria.recipes.backtrack.episode_budget import clip_text, episode_budget, limit_pixels
    from setaria.recipes.training_run import TrainingRun
    from setaria.trainers import JudgmentGRPOConfig, JudgmentGRPOTrainer

    settings = TrlParser((EpisodeArguments, JudgmentGRPOConfig, ModelConfig)).parse_args_and_config(argv)
    script_args, training_args, model_args = settings
    run = TrainingRun(training_args, model_args, settings)
    processor = load_processor(model_args.model_name_or_path, model_args.model_revision)
    if script_args.image_pixels is not None:
        limit_pixels(processor, script_args.image_pixels)
    graphs, tasks = read_split(Path(script_args.world))
    rows = episode_rows(tasks)
    environment = tool_environment(
        graphs,
        tasks,
        fit=partial(to_fixed_point, processor=processor),
        clip=partial(clip_text, tokenizer=processor.tokenizer, most=script_args.text_tokens),
        max_steps=script_args.episode_steps,
        gold_weight=training_args.gold_weight,
        verifier_weight=training_args.verifier_weight,
    )
    app = environment()
    config = AutoConfig.from_pretrained(model_args.model_name_or_path, revision=model_args.model_revision)
    budget = episode_budget(processor, rows["prompt"], [getattr(app, name) for name in TOOLS], script_args)
    context = config.get_text_config().max_position_embeddings
    budget.check(training_args.max_completion_length, min(context, training_args.vllm_max_model_length or context))
    training_args.reward_weights = []  # the environment rewards itself
    if training_args.max_tool_calling_iterations is None:
        training_args.max_tool_calling_iterations = script_args.episode_steps
    trainer = JudgmentGRPOTrainer(
        model=model_args.model_name_or_path,
        reward_funcs=[],
        args=training_args,
        train_dataset=rows,
        processing_class=processor,
        environment_factory=environment,
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        callbacks=run.callbacks,
    )
    run.finish(trainer, None)


if __name__ == "__main__":
    main()

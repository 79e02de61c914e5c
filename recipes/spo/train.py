"""Trains a model on preference pairs with SPO.

    accelerate launch --config_file accelerate_configs/zero3.yaml -m setaria.recipes.spo.train \
        --config recipes/spo/llama3_8b_instruct.yaml [--key value ...]

`setaria train spo --config RECIPE` is the same in one command. Flags win over the recipe. Nothing heavy is imported
before `preflight` has accepted every key and value.
"""

import sys
from pathlib import Path
from typing import Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight
from setaria.recipes.torchvision_guard import torchvision_problem
from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.objective_settings import TRL_OBJECTIVE, resolve_objective


FIELDS = (
    "transformers.training_args:TrainingArguments",
    "trl.trainer.base_config:_BaseConfig",
    "trl.trainer.dpo_config:DPOConfig",
    "setaria.trainers.spo_config:SPOConfig",
    "setaria.trainers.monitor_config:MonitorConfig",
    "trl.trainer.model_config:ModelConfig",
    "trl.scripts.utils:ScriptArguments",
    "trl.scripts.utils:DatasetMixtureConfig",
    "setaria.recipes.spo.script_arguments:SPOScriptArguments",
)
OBJECTIVE_KEYS = ("beta", "gamma", "gamma_beta_ratio", "length_normalize", "sft_weight", "label_smoothing")


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        train(argv)


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    if not values.get("model_name_or_path"):
        raise ValueError("model_name_or_path is missing: give a checkpoint folder or a name on the Hub")
    if not values.get("dataset_name") and not values.get("datasets"):
        raise ValueError("no data: give dataset_name (a Hub name, a folder or a file) or datasets")
    if values.get("dataset_name") and values.get("datasets"):
        raise ValueError("dataset_name and datasets are two sources of data: give one")
    MonitorConfig(**{key: value for key, value in values.items() if key.startswith("monitor_")})
    if values.get("monitor") and values.get("eval_strategy", "no") == "no":
        raise ValueError("monitor: true measures at every evaluation: set eval_strategy 'steps' and eval_steps")
    if (file := values.get("eval_config")) is not None:
        if not Path(file).is_file():
            raise ValueError(f"eval_config={file}: there is no such file")
        if values.get("save_strategy") == "no":
            raise ValueError("eval_config evaluates checkpoints: set save_strategy 'steps' or 'epoch'")
    objective = values.get("objective", "spo")
    if objective != TRL_OBJECTIVE:
        given = {key: values[key] for key in OBJECTIVE_KEYS if key in values}
        resolve_objective(objective, **given)


def train(argv: list[str]) -> None:
    """Train, save, and push if asked to."""
    if problem := torchvision_problem():
        raise ImportError(problem)
    from trl import DatasetMixtureConfig, ModelConfig, TrlParser, get_peft_config, get_quantization_config

    from setaria.datasets_builders.preference import to_preference
    from setaria.evaluation.callback import EvaluateCheckpoints, training_config
    from setaria.models.processors import image_only_processor_for
    from setaria.recipes.dataset_loading import load_splits
    from setaria.recipes.spo.script_arguments import SPOScriptArguments
    from setaria.recipes.training_run import TrainingRun
    from setaria.trainers import OverOptimizationMonitor, SPOConfig, SPOTrainer

    parser = TrlParser((SPOScriptArguments, SPOConfig, ModelConfig, DatasetMixtureConfig, MonitorConfig))
    settings = parser.parse_args_and_config(argv)
    script_args, training_args, model_args, mixture, monitor_config = settings
    eval_config = script_args.eval_config and training_config(Path(script_args.eval_config), training_args.output_dir)
    run = TrainingRun(training_args, model_args, settings)
    train_split, eval_split = load_splits(script_args, mixture, evaluate=training_args.eval_strategy != "no")
    trainer = SPOTrainer(
        model=model_args.model_name_or_path,
        args=training_args,
        train_dataset=to_preference(train_split),
        eval_dataset=None if eval_split is None else to_preference(eval_split),
        processing_class=image_only_processor_for(model_args.model_name_or_path, model_args.model_revision),
        quantization_config=get_quantization_config(model_args),
        peft_config=get_peft_config(model_args),
        callbacks=run.callbacks,
    )
    if script_args.monitor:
        trainer.add_callback(OverOptimizationMonitor(trainer, monitor_config))
    if eval_config:
        trainer.add_callback(EvaluateCheckpoints(trainer, eval_config))
    run.finish(trainer, script_args.dataset_name)


if __name__ == "__main__":
    main()

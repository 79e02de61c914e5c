"""Settings of `recipes/spo/train.py` that belong neither to the trainer nor to the model."""

from dataclasses import dataclass, field

from trl import ScriptArguments


@dataclass
class SPOScriptArguments(ScriptArguments):
    r"""Arguments of the SPO script, added to [`~trl.ScriptArguments`].

    Parameters:
        accelerate_config (`str`, *optional*):
            Name of a configuration in `accelerate_configs/`, or a path, for `setaria train`. `accelerate launch` has
            read its configuration before the recipe is opened and is told by `--config_file`.
        monitor (`bool`, *optional*, defaults to `False`):
            Whether to watch for over-optimisation with [`OverOptimizationMonitor`], at every evaluation.
        eval_config (`str`, *optional*):
            YAML of `setaria eval`, without models, by which each checkpoint is evaluated when it is saved.
    """

    accelerate_config: str | None = field(
        default=None,
        metadata={"help": "Accelerate configuration for `setaria train`: a name in accelerate_configs/ or a path."},
    )
    monitor: bool = field(default=False, metadata={"help": "Watch for over-optimisation during training."})
    eval_config: str | None = field(
        default=None,
        metadata={"help": "YAML of `setaria eval`, without models, for each checkpoint that is saved."},
    )

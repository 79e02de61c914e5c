"""Settings of BacktrackAgent's training scripts that belong neither to the trainer nor to the model."""

from dataclasses import dataclass, field

from trl import ScriptArguments


ROLES = ("generator", "judger", "reflector", "naming")


@dataclass
class RoleArguments(ScriptArguments):
    r"""Arguments added to [`~trl.ScriptArguments`].

    Parameters:
        accelerate_config (`str`, *optional*):
            Name of a configuration in `accelerate_configs/`, or a path, for `setaria train`.
        roles (`list[str]`, *optional*):
            Which rows of the dataset to train on, by their column `role`: generator, judger, reflector, naming. All by
            default.
        adapter (`str`, *optional*):
            LoRA adapter of the model to go on from, as reinforcement does after SFT, in place of `use_peft`.
        freeze (`list[str]`, *optional*):
            Parts of the model that are not trained, by the beginning of their parameters' names: `model.visual` is the
            vision tower of Qwen-VL. With an adapter only the adapter is trained in any case.
    """

    accelerate_config: str | None = field(
        default=None,
        metadata={"help": "Accelerate configuration for `setaria train`: a name in accelerate_configs/ or a path."},
    )
    roles: list[str] | None = field(
        default=None, metadata={"help": "Rows to train on: generator, judger, reflector, naming. Default: all."}
    )
    adapter: str | None = field(default=None, metadata={"help": "LoRA adapter of the model to go on from."})
    freeze: list[str] | None = field(
        default=None, metadata={"help": "Parts of the model that are not trained, such as model.visual."}
    )

    def __post_init__(self):
        if wrong := sorted(set(self.roles or ()) - set(ROLES)):
            raise ValueError(f"roles: {wrong[0]!r} is none of {', '.join(ROLES)}")


@dataclass
class JudgmentArguments(RoleArguments):
    r"""Arguments of reinforcement with judgment rewards, added to [`RoleArguments`].

    Parameters:
        world (`str`):
            Folder with the graphs, in Mobile3M's layout, and `tasks.jsonl` in which rollouts are executed.
        family (`str`, *optional*, defaults to `"qwen2_vl"`):
            Family whose numbers the model writes boxes in, see `setaria.models.box_codec`.
        judger (`str`, *optional*):
            Checkpoint, or LoRA adapter of the policy's base model, of the frozen Judger. None: no such reward.
        judger_batch (`int`, *optional*, defaults to `16`):
            Questions per forward of the Judger.
        described (`bool`, *optional*, defaults to `False`):
            The Judger was trained to describe the outcome before its verdict.
    """

    world: str = field(default="", metadata={"help": "Folder with graphs in Mobile3M's layout and tasks.jsonl."})
    family: str = field(default="qwen2_vl", metadata={"help": "Model family of the boxes."})
    judger: str | None = field(default=None, metadata={"help": "Checkpoint or LoRA adapter of the frozen Judger."})
    judger_batch: int = field(default=16, metadata={"help": "Questions per forward of the Judger."})
    described: bool = field(default=False, metadata={"help": "The Judger describes the outcome before its verdict."})

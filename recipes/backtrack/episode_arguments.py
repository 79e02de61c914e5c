"""Settings of reinforcement over whole episodes that belong neither to the trainer nor to the model."""

from dataclasses import dataclass, field


@dataclass
class EpisodeArguments:
    r"""Arguments of episodes with tools; all defaults are ours.

    Parameters:
        world (`str`):
            Folder with the graphs, in Mobile3M's layout, and `tasks.jsonl`: its tasks are the dataset.
        episode_steps (`int`, *optional*, defaults to `12`):
            Calls of tools after which an episode is over.
        image_pixels (`int`, *optional*):
            Most pixels of a screen as the model sees it. None: as many as the processor allows.
        text_tokens (`int`, *optional*, defaults to `512`):
            Most tokens of the text with a screen, a longer one is cut.
        reply_tokens (`int`, *optional*, defaults to `64`):
            Tokens that the budget of an episode sets aside for each reply of the model. No limit by itself.
        accelerate_config (`str`, *optional*):
            Name of a configuration in `accelerate_configs/`, or a path, for `setaria train`.
    """

    world: str = field(default="", metadata={"help": "Folder with graphs in Mobile3M's layout and tasks.jsonl."})
    episode_steps: int = field(default=12, metadata={"help": "Calls of tools after which an episode is over."})
    image_pixels: int | None = field(
        default=None, metadata={"help": "Most pixels of a screen as the model sees it. Default: the processor's."}
    )
    text_tokens: int = field(default=512, metadata={"help": "Most tokens of the text with a screen."})
    reply_tokens: int = field(default=64, metadata={"help": "Tokens set aside for each reply in the budget."})
    accelerate_config: str | None = field(
        default=None,
        metadata={"help": "Accelerate configuration for `setaria train`: a name in accelerate_configs/ or a path."},
    )

    def __post_init__(self):
        for name in ("episode_steps", "image_pixels", "text_tokens", "reply_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: at least 1")

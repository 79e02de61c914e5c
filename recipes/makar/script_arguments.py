"""Settings of the grounding agent's scripts that belong neither to a trainer nor to the model."""

from dataclasses import dataclass, field, fields

from trl import ScriptArguments

from setaria.datasets_builders.mner.difficulty import SplitConfig


@dataclass
class GroundingArguments(ScriptArguments):
    r"""Arguments of SFT and GRPO, added to [`~trl.ScriptArguments`].

    Parameters:
        accelerate_config (`str`, *optional*):
            Name of a configuration in `accelerate_configs/`, or a path, for `setaria train`.
        adapter (`str`, *optional*):
            LoRA adapter of the model to go on from, as GRPO does after SFT, in place of `use_peft`.
        freeze (`list[str]`, *optional*, defaults to `["model.visual"]`):
            Parts of the model that are not trained, by the beginning of their parameters' names; the default is
            Qwen-VL's vision tower with its projector. With an adapter only the adapter is trained in any case.
        image_max_pixels (`int`, *optional*):
            Most pixels of an image as the model sees it, the same as the rows were built with. None: the checkpoint's.
    """

    accelerate_config: str | None = field(
        default=None,
        metadata={"help": "Accelerate configuration for `setaria train`: a name in accelerate_configs/ or a path."},
    )
    adapter: str | None = field(default=None, metadata={"help": "LoRA adapter of the model to go on from."})
    freeze: list[str] = field(
        default_factory=lambda: ["model.visual"],
        metadata={"help": "Parts of the model that are not trained. Default: model.visual."},
    )
    image_max_pixels: int | None = field(
        default=None, metadata={"help": "Most pixels of an image as the model sees it, as in the rows."}
    )


@dataclass
class RewardArguments(GroundingArguments):
    r"""Arguments of GRPO, added to [`GroundingArguments`].

    Parameters:
        reward (`str`, *optional*, defaults to `"step"`):
            How a box is rewarded: `step`, `soft` or `piecewise` (see `setaria.rewards.grounding`); `paper_exact` is
            the released reward with its faults.
    """

    reward: str = field(
        default="step",
        metadata={
            "help": "How a box is rewarded; paper_exact is the released reward with its faults.",
            "choices": ["step", "soft", "piecewise", "paper_exact"],
        },
    )


@dataclass
class ChatArguments:
    r"""Arguments of the scripts in which a model answers.

    Parameters:
        model_name_or_path (`str`, *optional*):
            Checkpoint of the model. With `endpoint`, only its processor is used.
        adapter (`str`, *optional*):
            LoRA adapter of the checkpoint.
        endpoint (`str`, *optional*):
            Address of an OpenAI-compatible server, such as `http://localhost:8000/v1`, in place of a model in this
            process.
        endpoint_model (`str`, *optional*):
            Name of the served model.
        endpoint_key_env (`str`, *optional*):
            Environment variable with the server's API key.
        output (`str`):
            Where the results go. A run that was interrupted goes on there.
        batch (`int`, *optional*, defaults to `32`):
            Questions that are asked at once.
        max_new_tokens (`int`, *optional*, defaults to `512`):
            Longest reply.
        temperature (`float`, *optional*, defaults to `1.0`):
            Of sampling; 0 is greedy.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Of the weights; `auto` is the checkpoint's.
        device (`str`, *optional*):
            Where the model runs. None: a GPU if there is one.
        seed (`int`, *optional*, defaults to `0`):
            Of everything random.
    """

    model_name_or_path: str | None = field(default=None, metadata={"help": "Checkpoint of the model."})
    adapter: str | None = field(default=None, metadata={"help": "LoRA adapter of the checkpoint."})
    endpoint: str | None = field(
        default=None, metadata={"help": "Address of an OpenAI-compatible server in place of a model in this process."}
    )
    endpoint_model: str | None = field(default=None, metadata={"help": "Name of the served model."})
    endpoint_key_env: str | None = field(
        default=None, metadata={"help": "Environment variable with the server's API key."}
    )
    output: str = field(default="", metadata={"help": "Where the results go."})
    batch: int = field(default=32, metadata={"help": "Questions that are asked at once."})
    max_new_tokens: int = field(default=512, metadata={"help": "Longest reply."})
    temperature: float = field(default=1.0, metadata={"help": "Of sampling; 0 is greedy."})
    dtype: str = field(default="auto", metadata={"help": "Of the weights: auto, float32, bfloat16 or float16."})
    device: str | None = field(
        default=None, metadata={"help": "Where the model runs. Default: a GPU if there is one."}
    )
    seed: int = field(default=0, metadata={"help": "Of everything random."})

    def __post_init__(self):
        for name in ("batch", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1")
        if not self.temperature >= 0:
            raise ValueError(f"temperature={self.temperature}: at least 0")


@dataclass
class ReasoningArguments(ChatArguments):
    r"""Arguments of the reasoning's generation, added to [`ChatArguments`].

    Parameters:
        data (`str`):
            Folder in Twitter-GMNER's or FMNERG's layout; reasoning is made for its training split.
        layout (`str`, *optional*, defaults to `"gmner"`):
            `gmner` or `fmnerg`.
        images (`str`, *optional*):
            Folder of the images. None: `images/` in `data`.
        knowledge (`str`, *optional*):
            JSON lines of what is known, as for the rows.
        tries (`int`, *optional*, defaults to `2`):
            How often an entity is asked about until a text passes the checks.
    """

    data: str = field(default="", metadata={"help": "Folder in the layout of Twitter-GMNER or FMNERG."})
    layout: str = field(default="gmner", metadata={"help": "Layout of the data.", "choices": ["gmner", "fmnerg"]})
    images: str | None = field(default=None, metadata={"help": "Folder of the images. Default: images/ in data."})
    knowledge: str | None = field(default=None, metadata={"help": "JSON lines of what is known, as for the rows."})
    tries: int = field(default=2, metadata={"help": "How often an entity is asked about at most."})

    def __post_init__(self):
        super().__post_init__()
        if self.tries < 1:
            raise ValueError(f"tries={self.tries}: at least 1")


@dataclass
class SplitArguments(ChatArguments):
    r"""Arguments of the split, added to [`ChatArguments`]; see
    [`~setaria.datasets_builders.mner.difficulty.SplitConfig`].

    Parameters:
        rows (`str`):
            Folder of rows that `setaria build makar rows` wrote.
        image_max_pixels (`int`, *optional*):
            The same as the rows were built with.
        samples (`int`, *optional*, defaults to `8`):
            Answers per row.
        easy (`int`, *optional*, defaults to `3000`), hard (`int`, *optional*, defaults to `3000`):
            Rows of each set at most (paper).
        high (`float`, *optional*, defaults to `0.75`):
            Share of right answers from which a row is easy.
        none_share (`float`, *optional*, defaults to `0.4`):
            Share of None in each set.
    """

    rows: str = field(default="", metadata={"help": "Folder of rows that `setaria build makar rows` wrote."})
    image_max_pixels: int | None = field(default=None, metadata={"help": "The same as the rows were built with."})
    samples: int = field(default=8, metadata={"help": "Answers per row."})
    easy: int = field(default=3000, metadata={"help": "Easy rows at most."})
    hard: int = field(default=3000, metadata={"help": "Hard rows at most."})
    high: float = field(default=0.75, metadata={"help": "Share of right answers from which a row is easy."})
    none_share: float = field(default=0.4, metadata={"help": "Share of None in each set."})

    def __post_init__(self):
        super().__post_init__()
        if self.samples < 2:
            raise ValueError(f"samples={self.samples}: at least 2")
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature}: samples have to differ")
        _ = self.config

    @property
    def config(self) -> SplitConfig:
        """What is drawn."""
        return SplitConfig(**{one.name: getattr(self, one.name) for one in fields(SplitConfig)})

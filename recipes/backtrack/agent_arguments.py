"""Settings of the scripts in which the roles act: collection and evaluation."""

from dataclasses import dataclass, field, fields

from setaria.agents.backtrack.collect import CollectConfig
from setaria.agents.backtrack.loop import LoopConfig


@dataclass
class AgentArguments:
    r"""Arguments of both scripts.

    Parameters:
        model_name_or_path (`str`, *optional*):
            Backbone of the roles, loaded once. With `endpoint`, only its processor is used, which sizes the images.
        generator (`str`, *optional*):
            Checkpoint of the Generator, or its LoRA adapter on the backbone; with `endpoint` the name of the served
            model. None: the backbone, or `endpoint_model`.
        endpoint (`str`, *optional*):
            Address of an OpenAI-compatible server, such as `http://localhost:8000/v1`, in place of models in this
            process.
        endpoint_model (`str`, *optional*):
            Name of the served model.
        endpoint_key_env (`str`, *optional*):
            Environment variable with the server's API key.
        world (`str`):
            Folder with graphs in Mobile3M's layout and `tasks.jsonl`.
        tasks (`int`, *optional*):
            At most so many tasks, drawn with `seed`; fewer are always among more. None: all.
        output (`str`):
            Folder of the results.
        family (`str`, *optional*, defaults to `"qwen2_vl"`):
            Family whose numbers the model writes boxes in, see `setaria.models.box_codec`.
        described (`bool`, *optional*, defaults to `False`):
            The Judger describes the outcome before its verdict: in the rows that are collected, and when it is asked.
        batch (`int`, *optional*, defaults to `32`):
            Questions that are asked at once.
        max_new_tokens (`int`, *optional*, defaults to `128`):
            Longest reply.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Of the weights; `auto` is the checkpoint's.
        device (`str`, *optional*):
            Where models run. None: a GPU if there is one.
        seed (`int`, *optional*, defaults to `0`):
            Of everything random.
    """

    model_name_or_path: str | None = field(default=None, metadata={"help": "Backbone of the roles, loaded once."})
    generator: str | None = field(
        default=None, metadata={"help": "Checkpoint, LoRA adapter or served name of the Generator. Default: backbone."}
    )
    endpoint: str | None = field(
        default=None, metadata={"help": "Address of an OpenAI-compatible server in place of models in this process."}
    )
    endpoint_model: str | None = field(default=None, metadata={"help": "Name of the served model."})
    endpoint_key_env: str | None = field(
        default=None, metadata={"help": "Environment variable with the server's API key."}
    )
    world: str = field(default="", metadata={"help": "Folder with graphs in Mobile3M's layout and tasks.jsonl."})
    tasks: int | None = field(default=None, metadata={"help": "At most so many tasks. Default: all."})
    output: str = field(default="", metadata={"help": "Folder of the results."})
    family: str = field(default="qwen2_vl", metadata={"help": "Model family of the boxes."})
    described: bool = field(default=False, metadata={"help": "The Judger describes the outcome before its verdict."})
    batch: int = field(default=32, metadata={"help": "Questions that are asked at once."})
    max_new_tokens: int = field(default=128, metadata={"help": "Longest reply."})
    dtype: str = field(default="auto", metadata={"help": "Of the weights: auto, float32, bfloat16 or float16."})
    device: str | None = field(default=None, metadata={"help": "Where models run. Default: a GPU if there is one."})
    seed: int = field(default=0, metadata={"help": "Of everything random."})

    def __post_init__(self):
        for name in ("tasks", "batch", "max_new_tokens"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}={value}: at least 1")


@dataclass
class CollectArguments(AgentArguments):
    r"""Arguments of collection, added to [`AgentArguments`]; see [`~setaria.agents.backtrack.collect.CollectConfig`].

    Parameters:
        temperature (`float`, *optional*, defaults to `1.0`):
            Of the Generator's sampling; 0 is greedy.
        samples (`int`, *optional*, defaults to `1`):
            Replies per step.
        explored (`int`, *optional*, defaults to `0`):
            Actions per step, `complete` and candidates, drawn at random, that are tried after the replies.
        reflect_wrong (`float`, *optional*, defaults to `1.0`), reflect_right (`float`, *optional*, defaults to `0.2`):
            Shares of wrong and of right actions that become reflection rows (paper).
        tried (`int`, *optional*, defaults to `3`):
            Most attempts shown to the Reflector.
        gold_judgments (`float`, *optional*, defaults to `0.0`):
            Share of steps whose gold action becomes a judgment row too.
        simulated (`bool`, *optional*, defaults to `False`):
            Draw the action on the page in place of the outcome.
        naming_share (`float`, *optional*, defaults to `0.2`):
            Share of grounding rows among all rows.
    """

    temperature: float = field(default=1.0, metadata={"help": "Of the Generator's sampling; 0 is greedy."})
    samples: int = field(default=1, metadata={"help": "Replies per step."})
    explored: int = field(default=0, metadata={"help": "Actions per step, drawn at random, that are tried too."})
    reflect_wrong: float = field(default=1.0, metadata={"help": "Share of wrong actions that become reflection rows."})
    reflect_right: float = field(default=0.2, metadata={"help": "Share of right actions that become reflection rows."})
    tried: int = field(default=3, metadata={"help": "Most attempts shown to the Reflector."})
    gold_judgments: float = field(
        default=0.0, metadata={"help": "Share of steps whose gold action becomes a judgment row too."}
    )
    simulated: bool = field(default=False, metadata={"help": "Draw the action on the page in place of the outcome."})
    naming_share: float = field(default=0.2, metadata={"help": "Share of grounding rows among all rows."})

    def __post_init__(self):
        super().__post_init__()
        _ = self.config

    @property
    def config(self) -> CollectConfig:
        """What is made of the actions."""
        return CollectConfig(**{one.name: getattr(self, one.name) for one in fields(CollectConfig)})


@dataclass
class EvaluateArguments(AgentArguments):
    r"""Arguments of evaluation, added to [`AgentArguments`]; see [`~setaria.agents.backtrack.loop.LoopConfig`].

    Parameters:
        judger (`str`, *optional*), reflector (`str`, *optional*):
            As `generator`, for the other two roles.
        backtracking (`str`, *optional*, defaults to `"full"`):
            What turns an action down: `full` (Verifier and Judger), `verifier`, `judger`, or `none`.
        reflections (`int`, *optional*, defaults to `3`):
            How often a step is tried again at most (paper).
        threshold (`float`, *optional*, defaults to `0.5`):
            P(Yes) from which the Judger accepts.
        candidates_only (`bool`, *optional*, defaults to `False`):
            The Reflector answers with a candidate that was not tried, or `complete`. Not with `endpoint`.
        judge_all (`bool`, *optional*, defaults to `False`):
            Ask the Judger also where the Verifier has failed.
        simulated (`bool`, *optional*, defaults to `False`):
            Show Judger and Reflector the action drawn on the page in place of the outcome.
        steps (`int`, *optional*, defaults to `12`):
            Most steps of an episode.
        repeats (`int`, *optional*, defaults to `3`):
            How often the same action may stand on the same page before the episode ends.
        against (`str`, *optional*):
            Folder of another evaluation; the difference in success on common episodes is reported too.
    """

    judger: str | None = field(
        default=None, metadata={"help": "Checkpoint, LoRA adapter or served name of the Judger. Default: backbone."}
    )
    reflector: str | None = field(
        default=None, metadata={"help": "Checkpoint, LoRA adapter or served name of the Reflector. Default: backbone."}
    )
    backtracking: str = field(
        default="full",
        metadata={
            "help": "What turns an action down: Verifier and Judger (full), one of them, or nothing.",
            "choices": ["full", "verifier", "judger", "none"],
        },
    )
    reflections: int = field(default=3, metadata={"help": "How often a step is tried again at most."})
    threshold: float = field(default=0.5, metadata={"help": "P(Yes) from which the Judger accepts."})
    candidates_only: bool = field(
        default=False, metadata={"help": "The Reflector answers with a candidate that was not tried, or complete."}
    )
    judge_all: bool = field(default=False, metadata={"help": "Ask the Judger also where the Verifier has failed."})
    simulated: bool = field(default=False, metadata={"help": "Draw the action on the page in place of the outcome."})
    steps: int = field(default=12, metadata={"help": "Most steps of an episode."})
    repeats: int = field(default=3, metadata={"help": "How often an action may stand on a page before the end."})
    against: str | None = field(
        default=None, metadata={"help": "Folder of another evaluation to report the difference in success with."}
    )

    def __post_init__(self):
        super().__post_init__()
        _ = self.config

    @property
    def config(self) -> LoopConfig:
        """The settings of the loop."""
        decides = {
            "verifier": self.backtracking in ("full", "verifier"),
            "judger": self.backtracking in ("full", "judger"),
        }
        as_given = {one.name: getattr(self, one.name) for one in fields(LoopConfig) if one.name not in decides}
        return LoopConfig(**as_given, **decides)

    @property
    def roles(self) -> dict[str, str | None]:
        """The roles that are asked, and who plays them."""
        asked = {"none": ("generator",), "verifier": ("generator", "reflector")}
        return {
            role: getattr(self, role) for role in asked.get(self.backtracking, ("generator", "judger", "reflector"))
        }

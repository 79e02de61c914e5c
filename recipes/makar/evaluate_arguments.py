"""Settings of the pipeline's run over a split."""

from dataclasses import dataclass, field

from setaria.agents.makar.results import HONEST
from setaria.recipes.makar.knowledge_arguments import KnowledgeArguments
from setaria.recipes.makar.script_arguments import ChatArguments
from setaria.rewards.entity_matching import CONVENTIONS


@dataclass
class EvaluateArguments(KnowledgeArguments):
    r"""Arguments of the pipeline, added to [`KnowledgeArguments`], whose model knows and corrects.

    Parameters:
        split (`str`, *optional*, defaults to `"test"`):
            Whose tweets are predicted.
        tweets (`int`, *optional*):
            At most so many, the first. None: all.
        knowledge (`str`, *optional*, defaults to `"model"`):
            Where knowledge comes from: `model`, `file` or `off`.
        known (`str`, *optional*):
            Folder of `setaria.recipes.makar.knowledge`, with `<split>.jsonl`: the `file`, and a tuned tau.
        search (`str`, *optional*, defaults to `"off"`):
            Where names in doubt are looked up: `corpus`, `recorded`, `searxng`, `ddgs` or `off`.
        tau (`float`, *optional*):
            Confidence below which a name is looked up. None: the one tuned in `known`.
        ner (`str`, *optional*, defaults to `"tagger"`):
            Whose names count: those of the `tagger`, of the `model`'s own answers, or `gold`.
        last_word (`str`, *optional*, defaults to `"tagger"`):
            Who names the entities of a corrected tweet if there is a tagger: the `tagger`, which reads the new text,
            or the `model`, whose decision stands.
        grounding (`str`, *optional*, defaults to `"model"`):
            Where boxes come from: the `model`, `gold`, `whole-image`, or `off`, which is always None.
        grounding_model (`str`, *optional*), grounding_adapter (`str`, *optional*), grounding_endpoint (`str`,
            *optional*), grounding_endpoint_model (`str`, *optional*):
            The grounding agent, as `model_name_or_path` and so on name the one that knows. With neither a model, an
            adapter nor an endpoint it is the same one.
        grounding_tokens (`int`, *optional*, defaults to `512`):
            Longest reply of the grounding agent, which is greedy.
        grounding_knowledge (`bool`, *optional*, defaults to `True`):
            Whether the grounding agent is told what is known of a name. As in its training.
        family (`str`, *optional*):
            Family of its boxes' numbers. None: that of its checkpoint.
        recordings (`str`, *optional*):
            Folder of the recorded answers, searches and pages, such as that of another run, whose models are not
            asked again; one run at a time. None: `output`.
        conventions (`list[str]`, *optional*, defaults to all without a known fault):
            Scorers' rules: `index_keyed`, `string_keyed`, `per_region`, `bipartite`; `tiger_faulty` has a known fault.
        at_once (`int`, *optional*, defaults to `32`):
            Tweets that are predicted together.
    """

    split: str = field(
        default="test", metadata={"help": "Whose tweets are predicted.", "choices": ["train", "dev", "test"]}
    )
    tweets: int | None = field(default=None, metadata={"help": "At most so many tweets, the first. Default: all."})
    knowledge: str = field(
        default="model", metadata={"help": "Where knowledge comes from.", "choices": ["model", "file", "off"]}
    )
    known: str | None = field(default=None, metadata={"help": "Folder of knowledge: the file, and a tuned tau."})
    search: str | None = field(
        default="off",
        metadata={
            "help": "Where names in doubt are looked up.",
            "choices": ["off", "corpus", "recorded", "searxng", "ddgs"],
        },
    )
    ner: str = field(default="tagger", metadata={"help": "Whose names count.", "choices": ["tagger", "model", "gold"]})
    last_word: str = field(
        default="tagger",
        metadata={"help": "Who names the entities of a corrected tweet.", "choices": ["tagger", "model"]},
    )
    grounding: str = field(
        default="model",
        metadata={"help": "Where boxes come from.", "choices": ["model", "gold", "whole-image", "off"]},
    )
    grounding_model: str | None = field(
        default=None, metadata={"help": "Checkpoint of the grounding agent. Default: the model that knows."}
    )
    grounding_adapter: str | None = field(default=None, metadata={"help": "LoRA adapter of the grounding agent."})
    grounding_endpoint: str | None = field(default=None, metadata={"help": "Server of the grounding agent."})
    grounding_endpoint_model: str | None = field(default=None, metadata={"help": "Its name on its server."})
    grounding_tokens: int = field(default=512, metadata={"help": "Longest reply of the grounding agent."})
    grounding_knowledge: bool = field(
        default=True, metadata={"help": "Whether the grounding agent is told what is known of a name."}
    )
    family: str | None = field(
        default=None, metadata={"help": "Family of the boxes' numbers. Default: that of the grounding checkpoint."}
    )
    recordings: str | None = field(
        default=None, metadata={"help": "Folder of recorded answers, searches and pages. Default: output."}
    )
    conventions: list[str] = field(
        default_factory=lambda: list(HONEST), metadata={"help": "Scorers' rules. Default: all without a known fault."}
    )
    at_once: int = field(default=32, metadata={"help": "Tweets that are predicted together."})

    def __post_init__(self):
        super().__post_init__()
        for name in ("tweets", "grounding_tokens", "at_once"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}={value}: at least 1")
        if not self.conventions or not set(self.conventions) <= set(CONVENTIONS):
            raise ValueError(f"conventions={self.conventions}: some of {', '.join(CONVENTIONS)} are expected")

    @property
    def grounding_chat(self) -> ChatArguments:
        """The grounding agent's model."""
        own = self.grounding_model or self.grounding_adapter or self.grounding_endpoint
        model, adapter, endpoint, served = (
            (self.grounding_model, self.grounding_adapter, self.grounding_endpoint, self.grounding_endpoint_model)
            if own
            else (self.model_name_or_path, self.adapter, self.endpoint, self.endpoint_model)
        )
        return ChatArguments(
            model_name_or_path=model or self.model_name_or_path,
            adapter=adapter,
            endpoint=endpoint,
            endpoint_model=served,
            endpoint_key_env=self.endpoint_key_env,
            output=self.output,
            batch=self.batch,
            max_new_tokens=self.grounding_tokens,
            temperature=0.0,
            dtype=self.dtype,
            device=self.device,
            seed=self.seed,
        )

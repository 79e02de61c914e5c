"""Settings of the script that runs the knowledge agent and the correction agent over a split."""

from dataclasses import dataclass, field

from setaria.agents.makar.correction import CorrectionConfig
from setaria.recipes.makar.script_arguments import ChatArguments


@dataclass
class KnowledgeArguments(ChatArguments):
    r"""Arguments of the knowledge's generation, added to [`ChatArguments`].

    Parameters:
        data (`str`):
            Folder in Twitter-GMNER's or FMNERG's layout.
        layout (`str`, *optional*, defaults to `"gmner"`):
            `gmner` or `fmnerg`.
        images (`str`, *optional*):
            Folder of the images. None: `images/` in `data`.
        split (`str`, *optional*, defaults to `"dev"`):
            Whose tweets are asked about. Their labels are not shown to a model; those of dev tune `tau`.
        image_max_pixels (`int`, *optional*):
            Most pixels of an image as the model sees it; needs `model_name_or_path`, whose processor sizes images.
            None: images are sent as they are.
        samples (`int`, *optional*, defaults to `5`):
            Answers per tweet, whose agreement is the confidence. 1: nothing is in doubt.
        reasoning (`str`, *optional*):
            JSON lines {"tweet": id, "text": ...} for tweets of the training split, which are shown as examples with
            their labels. None: no examples.
        examples (`int`, *optional*, defaults to `4`):
            Examples per question at most.
        tagger (`str`, *optional*):
            Folder of a tagger that was trained on such knowledge: its entities and marginals take the place of the
            answers' and their agreement. None: the answers count.
        search (`str`, *optional*):
            Where the correction agent looks things up: `corpus`, `recorded`, `searxng` or `ddgs`. None: no correction.
        web (`str`, *optional*):
            The corpus, a file of JSON lines or a folder of such; or the address of the SearXNG server.
        extractor (`str`, *optional*, defaults to `"trafilatura"`):
            How pages of the web become text: `trafilatura` or `plain`.
        tau (`float`, *optional*):
            Confidence below which a name is looked up. None: tuned on dev, and kept in the output for other splits.
        cost (`float`, *optional*, defaults to `0.0`):
            F1 that looking all tweets up must gain for a tuned tau to look all up.
        names (`int`, *optional*, defaults to `4`), hits (`int`, *optional*, defaults to `3`), words (`int`,
            *optional*, defaults to `3`):
            Names of a tweet that are looked up at most, pages per name, and words of the tweet beside it in a query.
    """

    data: str = field(default="", metadata={"help": "Folder in the layout of Twitter-GMNER or FMNERG."})
    layout: str = field(default="gmner", metadata={"help": "Layout of the data.", "choices": ["gmner", "fmnerg"]})
    images: str | None = field(default=None, metadata={"help": "Folder of the images. Default: images/ in data."})
    split: str = field(
        default="dev", metadata={"help": "Whose tweets are asked about.", "choices": ["train", "dev", "test"]}
    )
    image_max_pixels: int | None = field(
        default=None, metadata={"help": "Most pixels of an image as the model sees it. Default: as it is."}
    )
    samples: int = field(default=5, metadata={"help": "Answers per tweet, whose agreement is the confidence."})
    reasoning: str | None = field(
        default=None,
        metadata={"help": "JSON lines for training tweets to show as examples. Default: none."},
    )
    examples: int = field(default=4, metadata={"help": "Examples per question at most."})
    tagger: str | None = field(
        default=None, metadata={"help": "Tagger whose marginals are the confidence. Default: none, answers agree."}
    )
    search: str | None = field(
        default=None,
        metadata={
            "help": "Where the correction agent looks things up. Default: no correction.",
            "choices": ["corpus", "recorded", "searxng", "ddgs"],
        },
    )
    web: str | None = field(default=None, metadata={"help": "The corpus, or the address of the SearXNG server."})
    extractor: str = field(
        default="trafilatura",
        metadata={"help": "How pages of the web become text.", "choices": ["trafilatura", "plain"]},
    )
    tau: float | None = field(
        default=None, metadata={"help": "Confidence below which a name is looked up. Default: tuned on dev."}
    )
    cost: float = field(default=0.0, metadata={"help": "F1 that looking all tweets up must gain."})
    names: int = field(default=4, metadata={"help": "Names of a tweet that are looked up at most."})
    hits: int = field(default=3, metadata={"help": "Pages per name."})
    words: int = field(default=3, metadata={"help": "Words of the tweet beside the name in a query."})

    def __post_init__(self):
        super().__post_init__()
        for name in ("samples", "examples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1")
        if self.samples > 1 and not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature}: {self.samples} samples have to differ")
        if self.image_max_pixels is not None and self.image_max_pixels < 1:
            raise ValueError(f"image_max_pixels={self.image_max_pixels}: at least 1")
        if not self.cost >= 0:
            raise ValueError(f"cost={self.cost}: at least 0")
        _ = self.correction(self.tau or 0.0)

    def correction(self, tau: float) -> CorrectionConfig:
        """When and how much is looked up."""
        return CorrectionConfig(tau, self.names, self.hits, self.words)

"""Settings of the tagger's training."""

from dataclasses import dataclass, field

from transformers import TrainingArguments


@dataclass
class TaggerArguments:
    r"""Data and head of the tagger.

    Parameters:
        accelerate_config (`str`, *optional*):
            Name of a configuration in `accelerate_configs/`, or a path, for `setaria train`.
        data (`str`, *optional*):
            Folder in Twitter-GMNER's or FMNERG's layout.
        layout (`str`, *optional*, defaults to `"gmner"`):
            `gmner` or `fmnerg`, with which the tagger learns fine types too.
        knowledge (`str`, *optional*):
            JSON lines of what is known of each tweet of `data`, {"tweet": id, "text": ...}. None: the tagger reads
            tweets alone.
        rows (`str`, *optional*):
            Folder with `<split>.txt` in the form of MAKAR's release, in place of `data`.
        train_split (`str`, *optional*, defaults to `"train"`), eval_split (`str`, *optional*, defaults to `"dev"`):
            Splits to train on and, unless `eval_strategy` is `no`, to evaluate on.
        max_length (`int`, *optional*, defaults to `300`):
            Most pieces of a tweet with its knowledge (released).
        crf (`bool`, *optional*, defaults to `True`):
            Whether transitions between labels are learnt (released).
        word_dropout (`float`, *optional*, defaults to `0.0`):
            Share of the words whose state is zeroed in training.
    """

    accelerate_config: str | None = field(
        default=None,
        metadata={"help": "Accelerate configuration for `setaria train`: a name in accelerate_configs/ or a path."},
    )
    data: str | None = field(default=None, metadata={"help": "Folder in the layout of Twitter-GMNER or FMNERG."})
    layout: str = field(
        default="gmner",
        metadata={"help": "Layout of the data; with fmnerg fine types too.", "choices": ["gmner", "fmnerg"]},
    )
    knowledge: str | None = field(
        default=None, metadata={"help": "JSON lines of what is known of each tweet. Default: none is read."}
    )
    rows: str | None = field(default=None, metadata={"help": "Folder with <split>.txt as released, in place of data."})
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str = field(default="dev", metadata={"help": "Split to evaluate on."})
    max_length: int = field(default=300, metadata={"help": "Most pieces of a tweet with its knowledge."})
    crf: bool = field(default=True, metadata={"help": "Whether transitions between labels are learnt."})
    word_dropout: float = field(default=0.0, metadata={"help": "Share of the words zeroed in training."})

    def __post_init__(self):
        if self.max_length < 3:
            raise ValueError(f"max_length={self.max_length}: at least 3, a piece between two special tokens")
        if not 0 <= self.word_dropout < 1:
            raise ValueError(f"word_dropout={self.word_dropout} is not allowed: from 0 to below 1")


@dataclass
class TaggerTrainingArguments(TrainingArguments):
    r"""Arguments of the trainer, added to [`~transformers.TrainingArguments`].

    Parameters:
        crf_learning_rate (`float`, *optional*, defaults to `0.015`):
            Of the transitions, which are not pretrained (released); same schedule as `learning_rate`.
        model_init_kwargs (`dict`, *optional*):
            Further arguments of `from_pretrained` for the encoder.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Whether code from the encoder's repository may run.
    """

    crf_learning_rate: float = field(default=0.015, metadata={"help": "Learning rate of the transitions."})
    model_init_kwargs: dict | str | None = field(
        default=None, metadata={"help": "Further arguments of from_pretrained for the encoder."}
    )
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Whether code from the encoder's repository may run."}
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.crf_learning_rate >= 0:
            raise ValueError(f"crf_learning_rate={self.crf_learning_rate}: at least 0")

"""The tagger: an encoder, a linear layer on the first piece of each word, and a CRF over the words of the tweet.

Knowledge that follows the tweet is read by the encoder and has no labels. Any encoder of transformers with a token
classification class will do. Source: the NER stage of MAKAR and RiVEG, XLM-R with a CRF in AdaSeq.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedConfig, PreTrainedModel
from transformers.configuration_utils import SubConfigSpec
from transformers.utils import ModelOutput

from setaria.models.crf import LinearChainCRF


class TaggerConfig(PreTrainedConfig):
    """Configuration of a tagger; labels are in `id2label`.

    Attributes:
        encoder: its own configuration.
        crf: whether transitions between labels are learnt; without, each word is a softmax of its own.
        word_dropout: share of the words whose state is zeroed in training.
    """

    model_type = "setaria_tagger"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["emissions", "marginals"]  # the Trainer keeps the paths
    sub_configs_defaults = {"encoder": SubConfigSpec(config_class=AutoConfig, model_type="bert")}

    encoder: dict | PreTrainedConfig | None = None
    crf: bool = True
    word_dropout: float = 0.0

    def __post_init__(self, **kwargs: Any):
        super().__post_init__(**kwargs)
        if not 0 <= self.word_dropout < 1:
            raise ValueError(f"word_dropout={self.word_dropout} is not allowed: from 0 to below 1")


@dataclass
class TaggerOutput(ModelOutput):
    """What the tagger says about the words of a batch.

    Attributes:
        loss: mean over the rows of -log p(labels), in nats; with labels only.
        emissions: `[batch, words, labels]`, float32.
        paths: the most probable labels, `[batch, words]`, -100 where there is no word; not in training.
        marginals: probabilities of each label, `[batch, words, labels]`; not in training.
    """

    loss: Tensor | None = None
    emissions: Tensor | None = None
    paths: Tensor | None = None
    marginals: Tensor | None = None


class Tagger(PreTrainedModel):
    """Labels the words of tweets; loaded and saved as any model of transformers."""

    config: TaggerConfig
    config_class = TaggerConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: TaggerConfig):
        super().__init__(config)
        # a token classification model has its encoder without a pooler, which nothing would train
        self.encoder = AutoModelForTokenClassification.from_config(config.encoder).base_model
        self.classifier = nn.Linear(self.encoder.config.hidden_size, config.num_labels)
        self.crf = LinearChainCRF(config.num_labels, config.crf)
        self.post_init()

    @classmethod
    def on_encoder(
        cls, encoder: str, labels: list[str], crf: bool = True, word_dropout: float = 0.0, **loading: Any
    ) -> "Tagger":
        """A tagger with a new head on a pretrained encoder.

        Args:
            encoder: checkpoint folder or name on the Hub.
            labels: in the order of their numbers.
            loading: further arguments of `from_pretrained`, such as `revision` and `dtype`.

        Raises:
            OSError: if there is no such checkpoint.
        """
        pretrained = AutoModelForTokenClassification.from_pretrained(encoder, **loading).base_model
        config = TaggerConfig(
            encoder=pretrained.config,
            crf=crf,
            word_dropout=word_dropout,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
        tagger = cls(config)
        tagger.encoder = pretrained
        return tagger

    @property
    def labels(self) -> list[str]:
        """Their names, in the order of their numbers."""
        return [self.config.id2label[number] for number in range(self.config.num_labels)]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, first_pieces: Tensor, labels: Tensor | None = None
    ) -> TaggerOutput:
        """Label a batch, see `setaria.models.tagger_inputs`.

        Args:
            input_ids, attention_mask: `[batch, pieces]`.
            first_pieces: place of the first piece of each word, `[batch, words]`, at least one word wide; -1 pads.
            labels: their numbers, `[batch, words]`; what pads is not looked at.
        """
        mask = first_pieces >= 0
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        places = first_pieces.clamp(min=0)[..., None].expand(-1, -1, states.shape[2])
        words = states.gather(1, places)
        if self.training and self.config.word_dropout:
            kept = torch.rand(words.shape[:2], device=words.device) >= self.config.word_dropout
            words = words * kept[..., None]
        emissions = self.classifier(words).float()
        loss = None if labels is None else -self.crf.log_likelihood(emissions, labels, mask).mean()
        if self.training:
            return TaggerOutput(loss, emissions)
        return TaggerOutput(loss, emissions, self.crf.best_paths(emissions, mask), self.crf.marginals(emissions, mask))

"""What `generate` hands to a decoding method."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation import EosTokenCriteria, MaxLengthCriteria
from transformers.generation.streamers import BaseStreamer


@dataclass
class GenerateCall:
    """One call, as `generate` has prepared it.

    Attributes:
        input_ids: `[batch, tokens]`, of the decoder.
        inputs_tensor: what the encoder of an encoder-decoder model has read.
        streamer: gets one token at a time.
        synced_gpus: go on with empty forwards until all processes are done.
    """

    input_ids: torch.Tensor
    logits_processor: LogitsProcessorList
    stopping_criteria: StoppingCriteriaList
    generation_config: GenerationConfig
    model_kwargs: dict[str, Any]
    inputs_tensor: torch.Tensor | None = None
    streamer: BaseStreamer | None = None
    synced_gpus: bool = False

    @property
    def rows(self) -> int:
        return len(self.input_ids)

    @property
    def other_criteria(self) -> StoppingCriteriaList:
        """Stopping criteria besides the end-of-text tokens and the length, which need no look at the whole text."""
        simple = (EosTokenCriteria, MaxLengthCriteria)
        return StoppingCriteriaList(criterion for criterion in self.stopping_criteria if type(criterion) not in simple)

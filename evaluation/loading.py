"""A checkpoint as it is evaluated: model, adapter and tokenizer, with what had to be assumed about them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from setaria.evaluation.config import EvalConfig
from setaria.models.processors import load_processor


WEIGHTS = ("*.safetensors", "*.bin")
TRAINING_ARGS = "training_args.bin"  # which trainers leave beside them


@dataclass
class Checkpoint:
    """A model in evaluation mode and its tokenizer, which pads on the left; `notes` say what was assumed."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    notes: list[str] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Where its inputs go."""
        return self.model.get_input_embeddings().weight.device

    @cached_property
    def processor(self) -> ProcessorMixin:
        """Of images and texts, padding on the left.

        Raises:
            ValueError: for a checkpoint that takes no images.
            OSError: if it has no processor.
        """
        name, config = self.model.name_or_path, self.model.config
        if not _takes_images(config):
            raise ValueError(f"{name}: a {config.model_type} takes no images; a vision-language model is expected")
        return load_processor(name)


def load(name: str, adapter: str | None, config: EvalConfig, device: torch.device) -> Checkpoint:
    """Load a checkpoint on `device`, or as `config.device_map` says.

    Raises:
        ValueError: for a folder without weights, an adapter of another model, and a missing chat template that is
            asked for.
        OSError: for what cannot be loaded.
    """
    _check_weights(name)
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    notes = []
    if config.apply_chat_template and not tokenizer.chat_template:
        raise ValueError(f"{name}: apply_chat_template=True, but its tokenizer has no chat template")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"{name}: its tokenizer has neither a padding nor an end token")
        tokenizer.pad_token = tokenizer.eos_token
        notes.append(f"{name}: no padding token, {tokenizer.eos_token!r} stands in for it")
    quantization = None
    if config.load_in_4bit or config.load_in_8bit:
        quantization = BitsAndBytesConfig(load_in_4bit=config.load_in_4bit, load_in_8bit=config.load_in_8bit)
    takes_images = _takes_images(AutoConfig.from_pretrained(name))
    model = (AutoModelForImageTextToText if takes_images else AutoModelForCausalLM).from_pretrained(
        name, dtype=config.dtype, device_map=config.device_map, quantization_config=quantization
    )
    if adapter is not None:
        model = _with_adapter(model, adapter, config.merge_adapter)
    if config.device_map is None and quantization is None:
        model = model.to(device)
    return Checkpoint(model.eval(), tokenizer, notes)


def weight_files(folder: Path) -> list[Path]:
    """The files of a checkpoint's or an adapter's folder that hold weights."""
    return [file for pattern in WEIGHTS for file in folder.glob(pattern) if file.name != TRAINING_ARGS]


def _takes_images(config: PreTrainedConfig) -> bool:
    return config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def _check_weights(name: str) -> None:
    folder = Path(name)
    if folder.is_dir() and not weight_files(folder):
        raise ValueError(f"{name}: the folder has no weights ({', '.join(WEIGHTS)}); is it a training run's parent?")


def _with_adapter(model: PreTrainedModel, adapter: str, merge: bool):
    try:
        adapted = PeftModel.from_pretrained(model, adapter)
    except (ValueError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"adapter {adapter} does not go with {model.name_or_path}: {reason}") from None
    return adapted.merge_and_unload() if merge else adapted

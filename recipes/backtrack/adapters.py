"""LoRA adapters to go on from, and parts of a model that stay as they are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import AutoModelForImageTextToText, PreTrainedModel, TrainingArguments
from trl import ModelConfig, get_quantization_config


def is_adapter(path: str) -> bool:
    """Whether a folder holds a PEFT adapter and no whole model."""
    return (Path(path) / "adapter_config.json").is_file()


def check_base(adapter: str, model: str) -> None:
    """Refuse an adapter of another model; folders may have moved, so their last names are compared.

    Raises:
        ValueError: naming both models.
    """
    base = json.loads((Path(adapter) / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    if Path(str(base)).name != Path(model).name:
        raise ValueError(
            f"{adapter} is an adapter of {base}, not of {model}; if these are the same model, correct "
            "base_model_name_or_path in its adapter_config.json"
        )


def starting_model(model_args: ModelConfig, training_args: TrainingArguments, adapter: str | None) -> Any:
    """What a trainer starts from: the model's name or, to go on from an adapter, the model with it.

    Raises:
        ValueError: for a folder that is no adapter, or is one of another model.
    """
    name = model_args.model_name_or_path
    if adapter is None:
        return name
    if not is_adapter(adapter):
        raise ValueError(f"adapter={adapter}: is no folder with an adapter_config.json")
    check_base(adapter, name)
    options, training_args.model_init_kwargs = training_args.model_init_kwargs, None
    quantization = get_quantization_config(model_args)
    model = AutoModelForImageTextToText.from_pretrained(name, quantization_config=quantization, **options)
    return PeftModel.from_pretrained(model, adapter, is_trainable=True)


def freeze(model: PreTrainedModel, prefixes: Sequence[str]) -> None:
    """Leave parameters out of training whose names begin with one of `prefixes`, such as `model.visual`.

    Raises:
        ValueError: for a prefix that no parameter has, naming those that there are.
    """
    for prefix in prefixes:
        found = [one for name, one in model.named_parameters() if f"{name}.".startswith(f"{prefix}.")]
        if not found:
            names = sorted({".".join(name.split(".")[:2]) for name, _ in model.named_parameters()})
            raise ValueError(f"freeze: no parameter is in {prefix!r}, only in {', '.join(names)}")
        for parameter in found:
            parameter.requires_grad_(False)

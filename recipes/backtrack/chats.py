"""The models of the roles from checkpoints: one backbone with an adapter per role, or a checkpoint for each."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin
from trl import ModelConfig

from setaria.agents.backtrack.local_chat import LocalChat
from setaria.recipes.backtrack.script_arguments import JudgmentArguments
from setaria.recipes.vision import image_only_processor_for


def load_processor(checkpoint: str, revision: str = "main") -> ProcessorMixin:
    """The processor of a checkpoint, padding on the left."""
    processor = image_only_processor_for(checkpoint, revision) or AutoProcessor.from_pretrained(
        checkpoint, revision=revision
    )
    processor.tokenizer.padding_side = "left"
    return processor


def load_chats(
    model: str,
    adapters: dict[str, str | None],
    processor: ProcessorMixin,
    device: torch.device | str,
    dtype: str = "auto",
    batch: int = 32,
    max_new_tokens: int = 128,
) -> dict[str, LocalChat]:
    """A chat per role.

    Args:
        model: the backbone, loaded once.
        adapters: per role nothing (the backbone answers), a LoRA adapter of the backbone, or a checkpoint of its own.
    """
    backbone: PreTrainedModel | PeftModel = _load(model, device, dtype)
    own: dict[str, PreTrainedModel] = {}
    for role, path in adapters.items():
        if path is None:
            continue
        if not is_adapter(path):
            own[role] = _load(path, device, dtype)
        elif isinstance(backbone, PeftModel):
            backbone.load_adapter(path, adapter_name=role)
        else:
            backbone = PeftModel.from_pretrained(backbone, path, adapter_name=role)
    return {
        role: LocalChat(
            own.get(role, backbone),
            processor,
            adapter=role if path is not None and role not in own else None,
            max_new_tokens=max_new_tokens,
            batch=batch,
        )
        for role, path in adapters.items()
    }


def load_judger(
    arguments: JudgmentArguments, model_args: ModelConfig, processor: ProcessorMixin, device: torch.device
) -> LocalChat | None:
    """The frozen Judger of reinforcement, `None` without one."""
    if arguments.judger is None:
        return None
    backbone = model_args.model_name_or_path if is_adapter(arguments.judger) else arguments.judger
    adapters = {"judger": arguments.judger if is_adapter(arguments.judger) else None}
    return load_chats(backbone, adapters, processor, device, str(model_args.dtype), arguments.judger_batch)["judger"]


def is_adapter(path: str) -> bool:
    """Whether a folder holds a PEFT adapter and no whole model."""
    return (Path(path) / "adapter_config.json").is_file()


def _load(checkpoint: str, device: torch.device | str, dtype: str) -> PreTrainedModel:
    return AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype).to(device).eval()

"""The models of the roles from checkpoints: one backbone with an adapter per role, or a checkpoint for each."""

import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, PreTrainedModel, ProcessorMixin, TrainingArguments
from trl import ModelConfig

from setaria.agents.backtrack.chat import ChatModel
from setaria.agents.backtrack.endpoint import Endpoint
from setaria.agents.backtrack.local_chat import LocalChat
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.models.box_codec import box_codec
from setaria.models.processors import load_processor
from setaria.models.whole_models import whole_models
from setaria.recipes.backtrack.adapters import check_base, is_adapter
from setaria.recipes.backtrack.agent_arguments import AgentArguments
from setaria.recipes.backtrack.script_arguments import JudgmentArguments


def load_chats(
    model: str,
    adapters: dict[str, str | None],
    processor: ProcessorMixin,
    device: torch.device | str,
    dtype: str = "auto",
    batch: int = 32,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    described: bool = False,
) -> dict[str, LocalChat]:
    """A chat per role.

    Args:
        model: the backbone, loaded once.
        adapters: per role nothing (the backbone answers), a LoRA adapter of the backbone, or a checkpoint of its own.

    Raises:
        ValueError: for an adapter of another model.
    """
    backbone: PreTrainedModel | PeftModel = _load(model, device, dtype)
    own: dict[str, PreTrainedModel] = {}
    for role, path in adapters.items():
        if path is None:
            continue
        if not is_adapter(path):
            own[role] = _load(path, device, dtype)
            continue
        check_base(path, model)
        if isinstance(backbone, PeftModel):
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
            temperature=temperature,
            described=described,
        )
        for role, path in adapters.items()
    }


def load_agent(
    arguments: AgentArguments, roles: dict[str, str | None], temperature: float = 0.0
) -> tuple[Prompts, dict[str, ChatModel]]:
    """Prompts, and a chat per role, of models in this process or behind a server.

    Args:
        roles: as `adapters` of `load_chats`; with a server, names of served models.
    """
    checkpoint = arguments.model_name_or_path
    processor = load_processor(checkpoint) if checkpoint else None
    if processor is not None:
        prompts = Prompts.of_processor(arguments.family, processor, described=arguments.described)
    else:
        prompts = Prompts(box_codec(arguments.family), described=arguments.described)
        if prompts.codec.units is None:
            raise ValueError(
                f"family={arguments.family} writes boxes in pixels of the processed image: give model_name_or_path, "
                "whose processor says its size"
            )
    chats: dict[str, ChatModel] = {}
    if arguments.endpoint is not None:
        for role, name in roles.items():
            chats[role] = Endpoint(
                arguments.endpoint,
                name or arguments.endpoint_model or "",
                api_key_env=arguments.endpoint_key_env,
                temperature=temperature,
                max_tokens=arguments.max_new_tokens,
                concurrency=arguments.batch,
                described=arguments.described,
            )
        return prompts, chats
    assert checkpoint is not None and processor is not None
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    chats |= load_chats(
        checkpoint,
        roles,
        processor,
        device,
        arguments.dtype,
        batch=arguments.batch,
        max_new_tokens=arguments.max_new_tokens,
        temperature=temperature,
        described=arguments.described,
    )
    return prompts, chats


def load_judger(
    arguments: JudgmentArguments, model_args: ModelConfig, processor: ProcessorMixin, training_args: TrainingArguments
) -> LocalChat | None:
    """The frozen Judger of reinforcement, whole in every process; `None` without one."""
    if arguments.judger is None:
        return None
    adapter = is_adapter(arguments.judger)
    backbone = model_args.model_name_or_path if adapter else arguments.judger
    adapters = {"judger": arguments.judger if adapter else None}
    with whole_models(training_args):
        chats = load_chats(
            backbone,
            adapters,
            processor,
            training_args.device,
            batch=arguments.judger_batch,
            described=arguments.described,
        )
    return chats["judger"]


def _load(checkpoint: str, device: torch.device | str, dtype: str) -> PreTrainedModel:
    return AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype).to(device).eval()

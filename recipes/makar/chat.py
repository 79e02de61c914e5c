"""The model that answers, as the settings of a script name it: in this process, or behind a server."""

import torch
from transformers import ProcessorMixin

from setaria.agents.backtrack.chat import ReplyModel
from setaria.agents.backtrack.endpoint import Endpoint
from setaria.models.processors import load_processor
from setaria.recipes.backtrack.chats import load_chats
from setaria.recipes.makar.script_arguments import ChatArguments


def load_chat(arguments: ChatArguments, processor: ProcessorMixin | None = None) -> ReplyModel:
    """The model.

    Args:
        processor: of the model in this process; the checkpoint's own if none is given.

    Raises:
        ValueError: for an address, an adapter or a checkpoint that cannot be used.
    """
    if arguments.endpoint is not None:
        return Endpoint(
            arguments.endpoint,
            arguments.endpoint_model or "",
            api_key_env=arguments.endpoint_key_env,
            temperature=arguments.temperature,
            max_tokens=arguments.max_new_tokens,
            concurrency=arguments.batch,
        )
    checkpoint = arguments.model_name_or_path or ""
    chats = load_chats(
        checkpoint,
        {"grounding": arguments.adapter},
        processor or load_processor(checkpoint),
        arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        arguments.dtype,
        batch=arguments.batch,
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
    )
    return chats["grounding"]

"""Frozen models beside the one that is trained, such as judges, loaded whole in every process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import TrainingArguments
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config


FSDP_LOADING = "FSDP_CPU_RAM_EFFICIENT_LOADING"


@contextmanager
def whole_models(training_args: TrainingArguments) -> Iterator[None]:
    """`from_pretrained` neither shards as ZeRO-3 does nor leaves weights to rank 0 as FSDP does.

    The trainer's engine gathers or broadcasts the weights of its own model only, so another one would have none.
    """
    fsdp_loading = os.environ.pop(FSDP_LOADING, None)
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if fsdp_loading is not None:
            os.environ[FSDP_LOADING] = fsdp_loading
        if training_args.deepspeed:
            set_hf_deepspeed_config(training_args.hf_deepspeed_config)
        elif training_args.deepspeed_plugin:
            training_args.deepspeed_plugin.set_deepspeed_weakref()

"""Training arguments of the small runs in labs and demos, on a CPU."""

from typing import Any


def quiet_on_cpu(seed: int) -> dict[str, Any]:
    """Arguments of a run that shows and saves nothing."""
    return {
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "weight_decay": 0.0,
        "seed": seed,
    }

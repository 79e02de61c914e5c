"""Trainers: one method is `<method>_config.py` + `<method>_trainer.py`; names load torch only when they are used."""

from importlib import import_module


_HOME = {
    "JudgmentGRPOConfig": "judgment_grpo_config",
    "JudgmentGRPOTrainer": "judgment_grpo_trainer",
    "OverOptimizationMonitor": "over_optimization_monitor",
    "SPOConfig": "spo_config",
    "SPOTrainer": "spo_trainer",
}

__all__ = ["JudgmentGRPOConfig", "JudgmentGRPOTrainer", "OverOptimizationMonitor", "SPOConfig", "SPOTrainer"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

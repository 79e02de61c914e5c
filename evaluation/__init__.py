"""Evaluation of checkpoints: a grid of settings on tasks, item by item, with a report and comparison of runs."""

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.runner import evaluate


__all__ = ["EvalConfig", "evaluate"]

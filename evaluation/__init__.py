"""Evaluation of checkpoints: items and scores, comparison of runs, and the report."""

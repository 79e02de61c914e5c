"""Speed: how fast prompts are completed, one at a time, and what memory that takes.

Prompts are JSON lines, `{"prompt": ...}`. Each is completed once to warm up, which does not count, and then `rounds`
times; settings take turns, so that a slow spell of the machine meets all of them.

    tokens_per_second   tokens after the first one, by the seconds from it to the last
    first_token         seconds until the first token is there
    peak_memory         most that CUDA's allocator held, less what it held before, such as weights; only on CUDA
    kv_cache            what the KV cache holds at the end, room for more tokens included

A score is the mean over prompts of their medians over rounds: prompts count the same, however long they and their
completions are. Its interval is from rounds drawn again, for all prompts at once: it holds what the machine does,
not which prompts were chosen.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers.generation.streamers import BaseStreamer

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.generating import as_prompt
from setaria.evaluation.hooks import counted_bits, hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task, Value
from setaria.evaluation.task_files import read_json_lines
from setaria.generation import XQuantCache
from setaria.generation.xquant.memory import measure
from setaria.rewards.intervals import RESAMPLES


class Speed(Task):
    """Prompts of JSON lines, round by round."""

    name = "speed"
    metrics: tuple[Metric, ...] = (
        Metric(name, "tokens_per_second", True, "tokens/s"),
        Metric(name, "first_token", False, "s"),
        Metric(name, "peak_memory", False, "MB above the weights, by CUDA's allocator"),
        Metric(name, "kv_cache", False, "MB in the KV cache"),
    )
    alternates = True

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config
        self._warm: set[tuple[str, str]] = set()

    def samples(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Prompts by item, `ROUND-PROMPT`; `limit` is of prompts.

        Raises:
            ValueError: naming file, line and field.
        """
        prompts = [row["prompt"] for row in read_json_lines(self.file, "prompt")[: self.config.limit]]
        rounds = range(self.config.rounds)
        return {f"{round:05}-{number:05}": prompt for round in rounds for number, prompt in enumerate(prompts)}

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, str]]) -> list[Item]:
        """Finished items of some samples."""
        return [self._item(checkpoint, setting, id, prompt) for id, prompt in samples]

    def _item(self, checkpoint: Checkpoint, setting: Setting, id: str, prompt: str) -> Item:
        ids = as_prompt(checkpoint, prompt, self.config.apply_chat_template)
        if (setting.name, prompt) not in self._warm:
            _timed(checkpoint, setting, ids, self.config.max_new_tokens)
            self._warm.add((setting.name, prompt))
        reply, scores, extra = _timed(checkpoint, setting, ids, self.config.max_new_tokens)
        said = checkpoint.tokenizer.decode(reply, skip_special_tokens=True)
        return Item(id, prompt, said, "", scores, "timing", extra)

    def score(self, metric: Metric, items: Sequence[Item], seed: int) -> Value | None:
        """Mean over prompts of medians over rounds, its interval, and the number of timed runs.

        Prompts that lack the metric in a round are left out; a single round has no interval.
        """
        runs: dict[str, list[float]] = {}
        for item in sorted(items, key=lambda item: item.id):
            if metric.name in item.scores:
                runs.setdefault(item.id.partition("-")[2], []).append(item.scores[metric.name])
        rounds = max(map(len, runs.values()), default=0)
        if not rounds:
            return None
        values = np.array([one for one in runs.values() if len(one) == rounds])
        value = float(np.median(values, axis=1).mean())
        if rounds == 1:
            return value, None, None, values.size
        draws = np.random.default_rng(seed).integers(rounds, size=(RESAMPLES, rounds))
        low, high = np.percentile([np.median(values[:, draw], axis=1).mean() for draw in draws], (2.5, 97.5))
        return value, float(low), float(high), values.size


class _TokenClock(BaseStreamer):
    """When `generate` handed over the prompt, and then each token."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing to do."""


def _timed(
    checkpoint: Checkpoint, setting: Setting, prompt: list[int], max_new_tokens: int
) -> tuple[list[int], dict[str, float], dict[str, float]]:
    """The reply, its scores, and what else its item keeps."""
    inputs, clock = torch.tensor([prompt], device=checkpoint.device), _TokenClock()
    gpus = {weight.device for weight in checkpoint.model.parameters() if weight.device.type == "cuda"}
    for gpu in gpus:
        torch.cuda.reset_peak_memory_stats(gpu)
    before = sum(map(torch.cuda.memory_allocated, gpus))
    with hooked(checkpoint.model, setting):
        began = time.perf_counter()
        output = checkpoint.model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=checkpoint.tokenizer.pad_token_id,
            streamer=clock,
            return_dict_in_generate=True,
        )
        seconds = time.perf_counter() - began
    reply = output.sequences[0, len(prompt) :].tolist()
    first, last = clock.times[1], clock.times[-1]
    scores = {"first_token": first - began}
    if len(reply) > 1:
        scores["tokens_per_second"] = (len(reply) - 1) / (last - first)
    if gpus:
        scores["peak_memory"] = (sum(map(torch.cuda.max_memory_allocated, gpus)) - before) / 1e6
    extra = {"tokens": len(reply), "seconds": seconds}
    if (cache := output.past_key_values) is not None:
        scores["kv_cache"] = measure(cache.layers).total / 1e6
        extra |= counted_bits(cache if isinstance(cache, XQuantCache) else None)
    return reply, scores, extra

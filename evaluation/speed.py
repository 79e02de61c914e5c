"""Speed: how fast one prompt at a time is answered, and the memory that this takes.

Every prompt is answered with `max_new_tokens` tokens, its end ignored, once per round. The settings take turns within
a round, so that a machine that slows down slows all of them; each answers once before it is timed. Scores are medians.

    tokens_per_second       after the first token: (tokens - 1) / (end - first token)
    seconds_to_first_token  from the call to the first token: the prompt's forward
    peak_memory             MiB that the allocator held at most during the call, the model's weights among them on an
                            accelerator; on a CPU the profiler counts what the call itself allocates, in a run of its own
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from transformers.generation.streamers import BaseStreamer

from setaria.evaluation.config import EvalConfig
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.replies import as_prompt
from setaria.evaluation.scores import Metric, Score, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_texts


MIB = 1 << 20
RESAMPLES = 2000


class Speed(Task):
    """Prompts of JSON lines (`{"prompt": ...}`)."""

    name = "speed"
    metrics: tuple[Metric, ...] = (
        Metric(name, "tokens_per_second", True, "tokens/s"),
        Metric(name, "seconds_to_first_token", False, "s"),
        Metric(name, "peak_memory", False, "MiB"),
    )
    in_batches = False
    takes_turns = True

    def __init__(self, file: Path, config: EvalConfig):
        if config.max_new_tokens < 2:
            raise ValueError(f"max_new_tokens={config.max_new_tokens}: at least 2, to time what follows the first")
        self.file, self.config = file, config
        self._warm: set[str] = set()

    def samples(self, checkpoint: Checkpoint) -> dict[str, str]:
        """Prompts by round and number.

        Raises:
            ValueError: naming file, line and field.
        """
        rows = read_texts(self.file, "prompt")[: self.config.limit]
        prompts = [as_prompt(checkpoint, [row["prompt"]], self.config.apply_chat_template) for row in rows]
        return {
            f"{turn:03}-{number:05}": prompt
            for turn in range(self.config.rounds)
            for number, prompt in enumerate(prompts)
        }

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, str]]) -> list[Item]:
        """One timed answer per sample, one after the other."""
        return [self._item(checkpoint, setting, *sample) for sample in samples]

    def _item(self, checkpoint: Checkpoint, setting: Setting, id: str, prompt: str) -> Item:
        special = not self.config.apply_chat_template
        ids = checkpoint.tokenizer(prompt, return_tensors="pt", add_special_tokens=special).input_ids
        inputs = {"input_ids": ids.to(checkpoint.device), "attention_mask": torch.ones_like(ids).to(checkpoint.device)}
        clock = Clock()

        def answer() -> torch.Tensor:
            nonlocal clock
            clock = Clock()
            return checkpoint.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=self.config.max_new_tokens,
                eos_token_id=None,
                pad_token_id=checkpoint.tokenizer.pad_token_id,
                streamer=clock,
            )

        with torch.no_grad(), hooked(checkpoint.model, setting):
            if setting.name not in self._warm:
                answer()
                self._warm.add(setting.name)
            scores = {}
            if checkpoint.device.type == "cpu":
                if id.startswith("000-"):
                    scores["peak_memory"] = allocated_on_cpu(answer) / MIB
                text = answer()
            else:
                torch.accelerator.reset_peak_memory_stats(checkpoint.device)
                text = answer()
                scores["peak_memory"] = torch.accelerator.max_memory_allocated(checkpoint.device) / MIB
        scores["seconds_to_first_token"] = clock.first - clock.began
        scores["tokens_per_second"] = (clock.tokens - 1) / (clock.last - clock.first)
        said = checkpoint.tokenizer.decode(text[0, ids.size(1) :], skip_special_tokens=True)
        return Item(id, prompt, said, "", scores, "timing", {"prompt_tokens": ids.size(1), "tokens": clock.tokens})

    def scores(self, setting: Setting, items: Sequence[Item], seed: int) -> list[Score]:
        """Medians over runs, with bootstrap intervals."""
        found = []
        for metric in self.metrics:
            values = [item.scores[metric.name] for item in items if metric.name in item.scores]
            if values:
                place = setting.name, self.name, metric.name
                found.append(Score(*place, *median_interval(values, seed), len(values), "timing"))
        return found


class Clock(BaseStreamer):
    """When the first and the last token came, and how many there were."""

    def __init__(self):
        self.began = self.first = self.last = time.perf_counter()
        self.tokens = -1  # the prompt comes first

    def put(self, value: torch.Tensor) -> None:
        self.last = time.perf_counter()
        if self.tokens < 0:
            self.tokens = 0
            return
        if self.tokens == 0:
            self.first = self.last
        self.tokens += value.numel()

    def end(self) -> None:
        self.last = time.perf_counter()


def allocated_on_cpu(call: Callable[[], object]) -> int:
    """Bytes that PyTorch's CPU allocator gave out at most during `call`, what was there before apart."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(np.cumsum([0, *changes]).max())


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float | None, float | None]:
    """Median and its 95 % bootstrap interval; no interval for a single value."""
    if len(values) == 1:
        return values[0], None, None
    drawn = np.random.default_rng(seed).choice(values, (RESAMPLES, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(np.median(values)), float(low), float(high)

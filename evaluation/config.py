"""What is evaluated: checkpoints, caches and drafters, whose product is the grid, and tasks with their files."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from setaria.evaluation.scores import Setting
from setaria.generation.xquant.config import PRESETS


NONE = "none"
CACHES = (NONE, *PRESETS)
DRAFTERS = (NONE, "trie")
READ_FILES = ("fidelity", "completion", "lossless", "speed", "alpaca_eval", "mt_bench")
TASKS = (*READ_FILES, "needle", "key_value")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class EvalConfig:
    """Everything that decides a result, apart from the code.

    Attributes:
        models: checkpoint folders or names on the Hub.
        tasks: task -> its file, or `None` for those that read none: `needle`, `key_value`, and lm-eval's by name.
        output: folder of the run.
        adapters: LoRA adapters of the only model, evaluated in its place.
        caches: "none" or presets of [`XQuantConfig`].
        drafters: "none", "trie".
        limit: most items of a task.
        max_length: most tokens of a text.
        max_new_tokens: longest completion.
        batch_size: prompts that are completed at once, in each process.
        merge_adapter: merge the adapter's weights into the model's.
        load_in_4bit, load_in_8bit: load with bitsandbytes.
        device_map: accelerate's placement of one model on several devices, such as "auto".
        apply_chat_template: prompts are what a user says.
        include_path: folder with YAML files of lm-eval tasks.
        num_fewshot: examples before each question of lm-eval's tasks; theirs if not given.
        step: tokens per forward where lm-eval's log-likelihoods are read through a quantised cache. More than 1 is
            faster, and sees up to `step - 1` more tokens in full precision.
        recall_lengths: tokens of the prompts of `needle` and `key_value`.
        depths: of the fact in them.
        recall_tokens: longest reply to them.
        rounds: timed runs of each prompt of `speed`.
        judge_url, judge_model, judge_key_env: OpenAI-compatible endpoint that judges answers, its model, and the
            environment variable with its key.
        seed: of bootstrap intervals, made prompts and few-shot examples.
    """

    models: tuple[str, ...]
    tasks: dict[str, Path | None]
    output: Path
    adapters: tuple[str, ...] = ()
    caches: tuple[str, ...] = (NONE,)
    drafters: tuple[str, ...] = (NONE,)
    limit: int | None = None
    max_length: int = 512
    max_new_tokens: int = 128
    batch_size: int = 8
    dtype: str = "auto"
    merge_adapter: bool = False
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    device_map: str | None = None
    apply_chat_template: bool = False
    include_path: Path | None = None
    num_fewshot: int | None = None
    step: int = 1
    recall_lengths: tuple[int, ...] = (128, 256, 448)
    depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    recall_tokens: int = 16
    rounds: int = 3
    judge_url: str | None = None
    judge_model: str | None = None
    judge_key_env: str | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("models", "tasks", "caches", "drafters", "recall_lengths", "depths"):
            if not getattr(self, name):
                raise ValueError(f"{name}: at least one is expected")
        for name, allowed in (("caches", CACHES), ("drafters", DRAFTERS), ("dtype", DTYPES)):
            given = getattr(self, name)
            for value in (given,) if isinstance(given, str) else given:
                _check_choice(name, value, allowed)
        self._check_tasks()
        for name in ("models", "adapters", "caches", "drafters", "recall_lengths", "depths"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name}: one of {', '.join(map(str, getattr(self, name)))} is given twice")
        if self.adapters and len(self.models) > 1:
            raise ValueError(f"adapters: of one model, not of {len(self.models)}")
        if self.load_in_4bit and self.load_in_8bit:
            raise ValueError("load_in_4bit and load_in_8bit exclude each other")
        if self.merge_adapter and (self.load_in_4bit or self.load_in_8bit):
            raise ValueError("merge_adapter=True: weights of 4 or 8 bits would be rounded again; leave it out")
        if (self.judge_url is None) != (self.judge_model is None):
            raise ValueError("judge_url and judge_model: both or none")
        for depth in self.depths:
            if not 0 <= depth <= 1:
                raise ValueError(f"depths={depth}: from 0, the beginning of the prompt, to 1, its end")
        at_least_1 = ("max_new_tokens", "batch_size", "limit", "step", "recall_tokens", "rounds")
        for name, least in (("max_length", 2), ("num_fewshot", 0), *((name, 1) for name in at_least_1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name}={value}: at least {least}")

    def _check_tasks(self) -> None:
        for task, file in self.tasks.items():
            if file is None:
                if task in READ_FILES:
                    raise ValueError(f"tasks: {task!r} is not NAME=FILE, and it reads one")
                continue
            _check_choice("tasks", task, READ_FILES)
            if not file.is_file():
                raise ValueError(f"tasks: {task}: no file {file}")
        others = [task for task in self.tasks if task not in TASKS]
        if others:
            try:
                from setaria.evaluation.harness import check_names
            except ModuleNotFoundError as error:
                raise ValueError(
                    f"tasks: {', '.join(others)}: one of {', '.join(TASKS)} is expected, or a task of lm-eval, which is "
                    f"not installed ({error}): pip install 'setaria[eval]'"
                ) from None
            check_names(others, TASKS, self.include_path)

    @property
    def checkpoints(self) -> list[tuple[str, str | None]]:
        """Models, or the only model with each adapter."""
        return [(self.models[0], adapter) for adapter in self.adapters] or [(model, None) for model in self.models]

    def settings(self, checkpoint: str, adapter: str | None) -> list[Setting]:
        """The grid of one checkpoint. Names hold its folder, and all of its path where another has the same."""
        parts = [Path(adapter or checkpoint) for checkpoint, adapter in self.checkpoints]
        own = Path(adapter or checkpoint)
        name = own.name if [part.name for part in parts].count(own.name) == 1 else str(own)
        grid = []
        for cache, drafter in product(self.caches, self.drafters):
            hooks = [one for one in (cache, drafter) if one != NONE]
            grid.append(Setting(" / ".join([name, *hooks]), checkpoint, adapter, cache, drafter))
        return grid


def _check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        near = difflib.get_close_matches(value, list(allowed), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"{name}={value!r} is not one of {', '.join(allowed)}{hint}")

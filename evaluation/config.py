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
# Our tasks, and whether each needs a file; other names are lm-evaluation-harness's.
OWN_TASKS = {
    "fidelity": True,
    "completion": True,
    "recall": False,
    "speed": True,
    "lossless": True,
    "alpaca_eval": True,
    "mt_bench": True,
    "backtrack": True,
    "makar": True,
}
DTYPES = ("auto", "float32", "bfloat16", "float16")
LEAST = {"max_length": 2, "max_new_tokens": 1, "batch_size": 1, "limit": 1, "num_fewshot": 0, "rounds": 1}


@dataclass(frozen=True)
class EvalConfig:
    """Everything that decides a result, apart from the code.

    Attributes:
        models: checkpoint folders or names on the Hub.
        tasks: task -> its file, or `None` where it needs none; see `tasks`.
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
        include_path: folder with the user's own YAML of lm-evaluation-harness.
        num_fewshot: examples before each question of the harness; `None`: as many as the task says.
        recall_lengths: tokens of the texts of `recall`; `recall_depths`: where in them the answer is, 0 to 1.
        rounds: timed runs of each prompt of `speed`.
        judge_url, judge_model: an OpenAI-compatible endpoint that judges answers of `alpaca_eval` and `mt_bench`.
        judge_key_env: environment variable with the endpoint's key.
        seed: of bootstrap intervals, and of what `recall` generates.
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
    recall_lengths: tuple[int, ...] = (512, 1024, 2048)
    recall_depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    rounds: int = 5
    judge_url: str | None = None
    judge_model: str | None = None
    judge_key_env: str = "OPENAI_API_KEY"
    seed: int = 0

    def __post_init__(self):
        for name in ("models", "tasks", "caches", "drafters"):
            if not getattr(self, name):
                raise ValueError(f"{name}: at least one is expected")
        for name, allowed in (("caches", CACHES), ("drafters", DRAFTERS), ("dtype", DTYPES)):
            given = getattr(self, name)
            for value in (given,) if isinstance(given, str) else given:
                _check_choice(name, value, allowed)
        for name in ("models", "adapters", "caches", "drafters"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name}: one of {', '.join(getattr(self, name))} is given twice")
        for task, file in self.tasks.items():
            _check_task(task, file)
        if self.adapters and len(self.models) > 1:
            raise ValueError(f"adapters: of one model, not of {len(self.models)}")
        if self.load_in_4bit and self.load_in_8bit:
            raise ValueError("load_in_4bit and load_in_8bit exclude each other")
        if self.merge_adapter and (self.load_in_4bit or self.load_in_8bit):
            raise ValueError("merge_adapter=True: weights of 4 or 8 bits would be rounded again; leave it out")
        for name, least in LEAST.items():
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name}={value}: at least {least}")
        if not self.recall_lengths or min(self.recall_lengths) < 64:
            raise ValueError(f"recall_lengths={self.recall_lengths}: at least 64 tokens each")
        if not self.recall_depths or not all(0 <= depth <= 1 for depth in self.recall_depths):
            raise ValueError(f"recall_depths={self.recall_depths}: from 0 to 1 each")
        if (self.judge_url is None) != (self.judge_model is None):
            raise ValueError(f"judge_url={self.judge_url!r}, judge_model={self.judge_model!r}: both or none")
        if self.include_path is not None and not self.include_path.is_dir():
            raise ValueError(f"include_path: no folder {self.include_path}")

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


def _check_task(task: str, file: Path | None) -> None:
    if file is None:
        if OWN_TASKS.get(task):
            raise ValueError(f"tasks: {task} needs a file: {task}=FILE")
        return
    _check_choice("tasks", task, OWN_TASKS)
    if not OWN_TASKS[task]:
        raise ValueError(f"tasks: {task} takes no file")
    if not file.exists():
        raise ValueError(f"tasks: {task}: no file {file}")


def _check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        near = difflib.get_close_matches(value, list(allowed), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"{name}={value!r} is not one of {', '.join(allowed)}{hint}")

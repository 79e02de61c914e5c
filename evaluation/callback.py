"""Evaluates the checkpoints of a training run as they are written, with the tasks and settings of `setaria eval`.

RUN/checkpoint-N/    what `setaria eval` leaves
RUN/metrics.jsonl    one line per checkpoint and setting: {step, setting, cache, drafter, "task/metric": value, ...};
                     {step, note} for a checkpoint that cannot be evaluated
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.logging import get_logger
from accelerate.utils import broadcast_object_list
from peft import PeftConfig
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from setaria.evaluation.claim import claim
from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.config_file import as_config, read_settings
from setaria.evaluation.loading import WEIGHTS, weight_files
from setaria.evaluation.results import Results, write_atomically
from setaria.evaluation.runner import evaluate
from setaria.evaluation.tasks import build_tasks
from setaria.models.whole_models import whole_models


logger = get_logger(__name__)


class EvaluateCheckpoints(TrainerCallback):
    """Callback for any [`~transformers.Trainer`], in one process or many.

    ```python
    trainer.add_callback(EvaluateCheckpoints(trainer, config))
    ```

    Each process loads the checkpoint beside the model that is trained, whose gradients, mode and random numbers stay
    as they are. Values also go to the trainer's log, and so to its `report_to`, as `eval_task/metric`, with the cache
    and drafter between: `eval_kivi-2/trie/fidelity/kl`.

    What cannot be evaluated is noted and training goes on; only an error in the midst of several processes ends it. A
    resumed run first finishes the evaluation of the checkpoint it starts from. The last checkpoint of a run that is
    stopped before `max_steps`, as by SIGTERM, is left to that.

    Args:
        trainer: to which the callback will be added.
        config: what is asked of each checkpoint, which takes the place of its models and adapters; `output` is RUN.

    Raises:
        ValueError: for tasks that are not known, and a `metrics.jsonl` that cannot be read.
    """

    def __init__(self, trainer: Trainer, config: EvalConfig):
        build_tasks(config)
        self.trainer, self.config = trainer, config
        self.file = config.output / "metrics.jsonl"
        self.lines = _read_lines(self.file)

    def on_train_begin(self, args, state, control, **kwargs):
        step = state.global_step
        self.lines = [line for line in self.lines if 0 < line["step"] <= step]
        finished = any(line["step"] == step for line in self.lines if "note" not in line)
        if not finished and self._folder(step).is_dir():
            self._evaluate(step)

    def on_save(self, args, state, control, **kwargs):
        if not control.should_training_stop or state.global_step >= state.max_steps:
            self._evaluate(state.global_step)

    def _folder(self, step: int) -> Path:
        return Path(self.trainer.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{step}"

    def _evaluate(self, step: int) -> None:
        """Evaluate a checkpoint, write its lines, and log."""
        state = PartialState()
        state.wait_for_everyone()  # until the checkpoint is written
        results, problem = None, None
        if state.is_main_process:
            problem = self._problem(step)
        [problem] = broadcast_object_list([problem])
        if problem is None:
            try:
                with whole_models(self.trainer.args), _random_numbers_untouched():
                    results = evaluate(self._config_of(step))
            except (ValueError, OSError, torch.OutOfMemoryError) as error:
                if state.num_processes > 1:  # which wait for this one, and cannot be told
                    raise
                problem = str(error)
        if results is None:
            logger.warning(f"{self._folder(step)} is not evaluated: {problem}")
        new = [{"step": step, "note": problem}] if results is None else _lines_of(step, results)
        self.lines = [line for line in self.lines if line["step"] != step] + new
        if state.is_main_process:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines))
        if results is not None:
            # Not TRL's `log`: it would take the metrics of the training steps since the last one for its own.
            Trainer.log(self.trainer, _logged(results))

    def _problem(self, step: int) -> str | None:
        """What stands against evaluating a checkpoint, as far as it can be said before anything is loaded."""
        folder = self._folder(step)
        try:
            if not weight_files(folder):
                raise ValueError(f"no whole weights ({', '.join(WEIGHTS)}), as of a sharded state")
            config = self._config_of(step)
            config.output.mkdir(parents=True, exist_ok=True)
            claim(config)
        except (ValueError, OSError) as error:
            return str(error)
        return None

    def _config_of(self, step: int) -> EvalConfig:
        folder = self._folder(step)
        output = self.config.output / folder.name
        if not (folder / "adapter_config.json").exists():
            return replace(self.config, models=(str(folder),), adapters=(), output=output)
        base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
        if not base:
            raise ValueError("the adapter does not name its base model, which was made in memory")
        return replace(self.config, models=(base,), adapters=(str(folder),), output=output)


def training_config(file: Path, output_dir: str) -> EvalConfig:
    """What a YAML file asks of the checkpoints of a training run; RUN is `output_dir`/eval if it does not say.

    Raises:
        ValueError: for settings that cannot be used, models and adapters among them.
        OSError: if it cannot be read.
    """
    values = read_settings(file)
    for name in ("models", "adapters"):
        if name in values:
            raise ValueError(f"{file}: {name}: the run's own checkpoints are evaluated, leave it out")
    try:
        return as_config({"output": Path(output_dir) / "eval", **values, "models": output_dir})
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


@contextmanager
def _random_numbers_untouched() -> Iterator[None]:
    """Generators of Python, NumPy and torch on CPU and GPU go on as if nothing had been drawn inside."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _lines_of(step: int, results: Results) -> list[dict[str, Any]]:
    lines = []
    for setting in results.settings:
        values = {f"{one.task}/{one.metric}": one.value for one in results.scores if one.setting == setting.name}
        named = {"step": step, "setting": setting.name, "cache": setting.cache, "drafter": setting.drafter}
        lines.append(named | values)
    return lines


def _logged(results: Results) -> dict[str, float]:
    hooks = {
        setting.name: [one for one in (setting.cache, setting.drafter) if one != NONE] for setting in results.settings
    }
    return {f"eval_{'/'.join([*hooks[one.setting], one.task, one.metric])}": one.value for one in results.scores}


def _read_lines(file: Path) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else (), 1):
        try:
            lines.append({"step": int(json.loads(text)["step"]), **json.loads(text)})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{file}:{number}: no line of an evaluation ({error})") from None
    return lines

"""Tasks of lm-evaluation-harness by their names, and of YAML files in `include_path`.

The harness makes the requests, filters the replies and scores them; the model is its `HFLM` with the setting's hooks.
Requests that generate go through `generate`. Those of log-likelihood never touch a KV cache (path `no_cache`), so under
a quantised one the text is fed through it a few tokens at a time (path `teacher_forced`), as if it was being decoded.
"""

import copy
import difflib
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.hooks import hooked
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.means import mean_interval
from setaria.evaluation.scores import Metric, Score, Setting
from setaria.evaluation.task import Task
from setaria.generation import XQuantCache
from setaria.generation.xquant.teacher_forcing import teacher_forced_logits


class HookedLM(HFLM):
    """The harness's model of a checkpoint in a setting.

    Args:
        step: tokens per forward of log-likelihoods through a quantised cache.
    """

    def __init__(self, checkpoint: Checkpoint, setting: Setting, step: int):
        super().__init__(pretrained=checkpoint.model, tokenizer=checkpoint.tokenizer)
        self.setting, self.step = setting, step

    def _model_generate(self, *args, **kwargs) -> torch.Tensor:
        with hooked(self.model, self.setting):
            return super()._model_generate(*args, **kwargs)

    def _model_call(self, inps: torch.Tensor, attn_mask=None, labels=None) -> torch.Tensor:
        if self.setting.cache == NONE:
            return super()._model_call(inps, attn_mask, labels)
        # Rows are padded on the right, where no token that counts looks.
        through = XQuantCache(self.model.config, self.setting.cache, simulate=True)
        return torch.cat(list(teacher_forced_logits(self.model, inps, through, self.step)), dim=1)


class HarnessTask(Task):
    """One task of the harness; its metrics are named `METRIC`, or `METRIC,FILTER` beside other filters."""

    def __init__(self, name: str, task: Any, config: EvalConfig):
        self.name, self.task, self.config = name, task, config
        if getattr(task, "UNSAFE_CODE", False):
            raise ValueError(
                f"tasks: {name} runs code that the model writes; do that with the harness itself, confined"
            )
        if getattr(task, "MULTIMODAL", False):
            raise ValueError(f"tasks: {name} has images or sound, which are not evaluated here")
        if task.get_config("num_fewshot") != 0 and (config.num_fewshot is not None or not task.config.num_fewshot):
            task.set_config(key="num_fewshot", value=config.num_fewshot or 0)  # 0 in a task's YAML is meant
        filters = [one.name for one in task._filters]
        self.metrics = tuple(
            Metric(name, _metric_name(metric, filter), bool(task.higher_is_better().get(metric, True)))
            for metric in task.aggregation()
            for filter in filters
        )
        self._requests: tuple[Checkpoint, dict[str, list[Instance]]] | None = None

    def samples(self, checkpoint: Checkpoint) -> dict[str, list[Instance]]:
        """The requests of each document, made once per checkpoint."""
        if self._requests is None or self._requests[0] is not checkpoint:
            self._requests = checkpoint, self._documents(checkpoint)
        return self._requests[1]

    def _documents(self, checkpoint: Checkpoint) -> dict[str, list[Instance]]:
        chat = self.config.apply_chat_template
        lm = HookedLM(checkpoint, Setting("requests", ""), 1)
        self.task.set_fewshot_seed(seed=self.config.seed)
        self.task.build_all_requests(
            limit=self.config.limit,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            chat_template=lm.apply_chat_template if chat else None,
            tokenizer_name=lm.tokenizer_name if chat else "",
        )
        documents: dict[str, list[Instance]] = {}
        for instance in sorted(self.task.instances, key=lambda one: (one.doc_id, one.idx)):
            documents.setdefault(f"{instance.doc_id:06}", []).append(instance)
        return documents

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, list[Instance]]]
    ) -> list[Item]:
        """Finished items of some documents: at once, or one by one where drafts over a quantised cache ask for it."""
        generates = samples[0][1][0].request_type == "generate_until"
        if generates and NONE not in (setting.cache, setting.drafter) and len(samples) > 1:
            return [item for sample in samples for item in self.run(checkpoint, setting, [sample])]
        lm = HookedLM(checkpoint, setting, self.config.step)
        lm.batch_size_per_gpu = len(samples)
        documents = [(id, [_fresh(instance) for instance in group]) for id, group in samples]
        self._answer(lm, [instance for _, group in documents for instance in group])
        path = "generation" if generates else "no_cache" if setting.cache == NONE else "teacher_forced"
        return [self._item(id, group, path) for id, group in documents]

    def _answer(self, lm: HookedLM, instances: list[Instance]) -> None:
        """Let the model reply to requests and the task filter the replies."""
        kinds: dict[str, list[Instance]] = {}
        for instance in instances:
            kinds.setdefault(instance.request_type, []).extend([instance] * (instance.repeats or 1))
        for kind, requests in kinds.items():
            for instance, reply in zip(requests, getattr(lm, kind)(requests, disable_tqdm=True), strict=True):
                instance.resps.append(reply)
        for ensemble in self.task._filters:
            ensemble.apply(instances)

    def _item(self, id: str, group: list[Instance], path: str) -> Item:
        doc = group[0].doc
        parts = {
            _metric_name(metric, filter): _plain(value)
            for filter in group[0].filtered_resps
            for metric, value in self.task.process_results(doc, [one.filtered_resps[filter] for one in group]).items()
        }
        scores = {name: float(value) for name, value in parts.items() if isinstance(value, int | float)}
        scores = {name: value for name, value in scores.items() if math.isfinite(value)}
        target = self.task.doc_to_target(doc)
        if isinstance(target, int) and len(group) > 1:
            target = group[target].args[-1] if target < len(group) else target
        extra = {"metrics": json.dumps(parts)}  # as text, since a log-likelihood may be infinite
        return Item(id, str(group[0].args[0]), _said(group), str(target), scores, path, extra)

    def scores(self, setting: Setting, items: Sequence[Item], seed: int) -> list[Score]:
        """Aggregated by the harness's own functions; intervals for means only. What is not finite is left out."""
        documents = [json.loads(item.extra["metrics"]) for item in items]
        found = []
        for metric in self.metrics:
            parts = [document[metric.name] for document in documents if metric.name in document]
            aggregate = self.task.aggregation()[metric.name.partition(",")[0]]
            value = float(aggregate(parts)) if parts else math.nan
            if math.isfinite(value):
                low = high = None
                if aggregate is mean:
                    _, low, high = mean_interval(parts, seed=seed)
                place = setting.name, self.name, metric.name
                found.append(Score(*place, value, low, high, len(parts), items[0].path))
        return found


def harness_tasks(name: str, config: EvalConfig) -> list[HarnessTask]:
    """A task, or all tasks of a group or tag."""
    loaded = _manager((name,), config.include_path).load([name])["tasks"]
    return [HarnessTask(one, task, config) for one, task in loaded.items()]


def check_names(names: Sequence[str], own: Sequence[str], include_path: Path | None) -> None:
    """Raise `ValueError`, naming the nearest, for a name that is neither one of ours nor known to the harness."""
    if include_path is not None and not include_path.is_dir():
        raise ValueError(f"include_path={include_path}: no such folder")
    known = _manager(tuple(names), include_path).task_index
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, [*own, *known], n=3)
            hint = f" (did you mean {', '.join(near)}?)" if near else ""
            raise ValueError(f"tasks: {name!r} is neither one of {', '.join(own)} nor a task of lm-eval{hint}")


def _manager(names: Sequence[str], include_path: Path | None) -> TaskManager:
    """Of the given folder alone if it has all the names, since the harness's own index takes many seconds."""
    if include_path is not None:
        own = _index(include_path, False)
        if set(names) <= set(own.all_subtasks):
            return own
    return _index(include_path, True)


@cache
def _index(include_path: Path | None, include_defaults: bool) -> TaskManager:
    return TaskManager(include_path=include_path, include_defaults=include_defaults)


def _metric_name(metric: str, filter: str) -> str:
    return metric if filter == "none" else f"{metric},{filter}"


def _fresh(instance: Instance) -> Instance:
    """Without the replies of other settings."""
    instance = copy.copy(instance)
    instance.resps, instance.filtered_resps = [], {}
    return instance


def _said(group: list[Instance]) -> str:
    """The first filtered reply, or the likeliest choice."""
    first = next(iter(group[0].filtered_resps.values()))
    if group[0].request_type == "generate_until":
        return first if isinstance(first, str) else json.dumps(first, default=str, ensure_ascii=False)
    choices = [one for one in group if one.request_type == "loglikelihood" and one.args[0] == group[0].args[0]]
    if len(choices) > 1:
        return str(max(choices, key=lambda one: next(iter(one.filtered_resps.values()))[0]).args[1])
    return ""


def _plain(value: Any) -> Any:
    """As JSON holds it: tuples become lists and NumPy's numbers Python's."""
    return json.loads(json.dumps(value, default=lambda one: one.item() if hasattr(one, "item") else str(one)))

"""Tasks of lm-evaluation-harness: its prompts, filters and metrics, with a setting's cache and drafter in the model.

Items are documents. Without hooks the values are the harness's own, named as it names them
(`exact_match,strict-match`); where a name stands for several tasks, theirs go before it (`mmlu_anatomy/acc,none`).
Lengths and stop sequences are the task's: `max_length` and `max_new_tokens` do not count here.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from lm_eval.api.group import Group
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import Task as LmEvalTask
from lm_eval.models.huggingface import HFLM

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.harness_loading import load_tasks, quiet, reseed_fewshot, seed_all
from setaria.evaluation.harness_model import HarnessModel
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.means import mean_interval
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task, Value


MEANS = (mean, np.mean)  # aggregations that get an interval


class HarnessTask(Task):
    """A task, a group or a pattern (`longbench_*`) of the harness.

    Uses the private `_filters` and `_instances` of the harness's tasks. Items keep the model's responses; scores are
    made from those of all items at once, as some aggregations need.

    Raises:
        ValueError: see `load_tasks`.
    """

    def __init__(self, name: str, config: EvalConfig):
        self.name, self.config = name, config
        self._tasks, self._groups = load_tasks(name, config)
        self.metrics = self._stated_metrics()
        self._documents: dict[str, list[Instance]] = {}
        self._aggregated: tuple[Sequence[Item], dict[str, Value]] = ([], {})

    def samples(self, checkpoint: Checkpoint) -> dict[str, list[Instance]]:
        """Requests by document, all that the harness would make; the first `limit` documents of each task."""
        chat = self.config.apply_chat_template
        self._documents = {}
        with quiet():
            seed_all()
            model = HFLM(pretrained=checkpoint.model, tokenizer=checkpoint.tokenizer)
            for name, task in self._tasks.items():
                reseed_fewshot(task)
                task.build_all_requests(
                    limit=self.config.limit,
                    rank=0,
                    world_size=1,
                    apply_chat_template=chat,
                    fewshot_as_multiturn=chat,
                    chat_template=model.apply_chat_template if chat else None,
                )
                for instance in task.instances:
                    self._documents.setdefault(f"{self._prefix(name)}{instance.doc_id:05}", []).append(instance)
        return self._documents

    def run(
        self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, list[Instance]]]
    ) -> list[Item]:
        """Finished items of some documents; where a task samples, each batch starts from the harness's seed.

        Raises:
            ValueError: for what the harness's model asserts, such as room for the tokens that a task generates.
        """
        documents = {id: [_answered(one, []) for one in instances] for id, instances in samples}
        asked: dict[str, list[Instance]] = defaultdict(list)
        for instances in documents.values():
            for instance in instances:
                asked[instance.request_type] += [instance] * instance.repeats
        with quiet():
            seed_all()
            model = HarnessModel(checkpoint, setting, batch_size=len(samples))
            try:
                for request_type, instances in asked.items():
                    answers = getattr(model, request_type)(instances, disable_tqdm=True)
                    for instance, answer in zip(instances, answers, strict=True):
                        instance.resps.append(answer)
            except AssertionError as error:
                raise ValueError(f"tasks={self.name!r}: {error}") from error
            return [self._item(id, instances, setting, model.bits) for id, instances in documents.items()]

    def finish(self, setting: Setting, items: Sequence[Item]) -> list[Item]:
        """All items; metrics that the task did not state but gave are added."""
        known = {metric.name for metric in self.metrics}
        given = dict.fromkeys(name for item in items for name in item.scores if name not in known)
        self.metrics += tuple(Metric(self.name, name, True) for name in given)
        return list(items)

    def score(self, metric: Metric, items: Sequence[Item], seed: int) -> Value | None:
        """The harness's value, with our interval for means and for a group's means."""
        if self._aggregated[0] is not items:
            with quiet():
                self._aggregated = items, self._aggregate(items, seed)
        return self._aggregated[1].get(metric.name)

    def _prefix(self, name: str) -> str:
        return "" if name == self.name else f"{name}/"

    def _stated_metrics(self) -> tuple[Metric, ...]:
        """What the tasks say that they measure, groups first."""
        better: dict[str, dict[str, bool]] = {}
        for name, task in self._tasks.items():
            directions = task.higher_is_better()
            better[name] = {
                f"{metric},{one.name}": directions.get(metric) is not False
                for metric in task.aggregation()
                for one in task._filters
            }
        totals = {name: {"sample_len": 1, **dict.fromkeys(keys, 1.0)} for name, keys in better.items()}
        stated: dict[str, bool] = {}
        for group in self._groups.values():
            of_group = {key: up for task in group.get_all_tasks() for key, up in better[task.task_name].items()}
            with quiet():
                keys = group.aggregate(totals).get("sample_count", {})
            stated |= {f"{self._prefix(group.name)}{key}": of_group[key] for key in keys}
        stated |= {f"{self._prefix(name)}{key}": up for name, keys in better.items() for key, up in keys.items()}
        return tuple(Metric(self.name, name, up) for name, up in stated.items())

    def _item(self, id: str, instances: list[Instance], setting: Setting, bits: dict[str, float]) -> Item:
        name = instances[0].task_name
        task = self._tasks[name]
        [values] = _values(task, [instances])
        scores = {
            f"{self._prefix(name)}{key}": number
            for key, value in values.items()
            if _aggregation(task, key) in MEANS and (number := _number(value)) is not None
        }
        path = "no_cache" if setting.cache == NONE else "teacher_forced"
        if any(one.request_type == "generate_until" for one in instances):
            path = "generation"
        prediction, target = _said(instances), _wanted(task, instances)
        extra = {"task": name, "responses": [one.resps for one in instances], **bits}
        return Item(id, str(instances[0].args[0]), prediction, target, scores, path, extra)

    def _aggregate(self, items: Sequence[Item], seed: int) -> dict[str, Value]:
        """Values of all tasks and groups by the names of their metrics; those that are no finite numbers are left
        out."""
        values: dict[str, dict[str, list[Any]]] = {}
        totals: dict[str, dict[str, Any]] = {}
        found: dict[str, Value] = {}
        for name, task in self._tasks.items():
            documents = [self._answered(item) for item in items if item.extra["task"] == name]
            if not documents:
                continue
            values[name] = defaultdict(list)
            for of_document in _values(task, documents):
                for key, value in of_document.items():
                    values[name][key].append(value)
            totals[name] = {"sample_len": max(map(len, values[name].values()), default=0)}
            for key, given in values[name].items():
                aggregate = _aggregation(task, key)
                total = totals[name][key] = aggregate(given)
                low, high = mean_interval(given, seed=seed)[1:] if aggregate in MEANS else (None, None)
                found[self._prefix(name) + key] = total, low, high, len(given)
        for group in self._groups.values():
            of_group = group.aggregate(totals)
            for key, count in of_group.get("sample_count", {}).items():
                low, high = _group_interval(group, key, values, seed)
                found[self._prefix(group.name) + key] = of_group[key], low, high, count
        return {
            name: (number, low, high, count)
            for name, (value, low, high, count) in found.items()
            if (number := _number(value)) is not None
        }

    def _answered(self, item: Item) -> list[Instance]:
        responses = [
            [tuple(one) if isinstance(one, list) else one for one in given] for given in item.extra["responses"]
        ]
        return [_answered(*pair) for pair in zip(self._documents[item.id], responses, strict=True)]


def _answered(instance: Instance, responses: list[Any]) -> Instance:
    return replace(instance, resps=responses, filtered_resps={})


def _values(task: LmEvalTask, documents: Sequence[list[Instance]]) -> list[dict[str, Any]]:
    """Values of each document by `metric,filter`, as the harness's `evaluate` makes them."""
    task._instances = [instance for instances in documents for instance in instances]
    task.apply_filters()
    return [
        {
            f"{metric},{name}": value
            for name in instances[0].filtered_resps
            for metric, value in task.process_results(
                instances[0].doc, [one.filtered_resps[name] for one in instances]
            ).items()
        }
        for instances in documents
    ]


def _aggregation(task: LmEvalTask, key: str) -> Callable[[list[Any]], Any]:
    return task.aggregation().get(key.rpartition(",")[0], mean)


def _group_interval(
    group: Group, key: str, values: dict[str, dict[str, list[Any]]], seed: int
) -> tuple[float | None, float | None]:
    """Interval of a group's mean over the items of its tasks; none if a task's value is no mean."""
    tasks = [task for task in group.get_all_tasks() if key in values.get(task.task_name, ())]
    if any(_aggregation(task, key) not in MEANS for task in tasks):
        return None, None
    metric = key.rpartition(",")[0]
    by_size = next(one.weight_by_size for one in group.aggregate_metric_list or () if one.metric == metric)
    parts = [values[task.task_name][key] for task in tasks]
    weights = [1.0 if by_size else 1 / len(part) for part in parts for _ in part]
    return mean_interval([value for part in parts for value in part], weights, seed)[1:]


def _number(value: Any) -> float | None:
    """A finite number, or `None`."""
    if isinstance(value, int | float | np.number | np.bool_) and math.isfinite(value):
        return float(value)
    return None


def _said(instances: Sequence[Instance]) -> str:
    """What the model generated, or its choice; nothing where a likelihood is all there is."""
    first = instances[0]
    if first.request_type == "generate_until":
        return first.resps[0]
    if len(instances) == 1:
        return ""
    choices = [one for one in instances if one.args[0]] or instances  # without context: for mutual information
    return _choice(max(choices, key=lambda one: one.resps[0][0]), first)


def _wanted(task: LmEvalTask, instances: Sequence[Instance]) -> str:
    target = task.doc_to_target(instances[0].doc)
    if task.OUTPUT_TYPE == "multiple_choice" and isinstance(target, int) and 0 <= target < len(instances):
        return _choice(instances[target], instances[0])
    return str(target)


def _choice(instance: Instance, first: Instance) -> str:
    """A choice as text: the continuation, or all of it where choices differ in what is before."""
    context, continuation = instance.args[:2]
    return (continuation if context == first.args[0] else context + continuation).strip()

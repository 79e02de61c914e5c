"""Tasks for lm-evaluation-harness from local files: one of each kind of request, and a group."""

import json
from pathlib import Path

import yaml


WORDS = ["the", "fox", "saw", "a", "hen", "and", "it", "ran", "to", "the", "red", "barn", "by", "the", "old", "mill"]
TEXTS = [" ".join(WORDS[start:] + WORDS * 2 + WORDS[:start]) for start in range(4)]  # more than 128 bytes
UNUSABLE = {"st_unsafe": {"unsafe_code": True}, "st_image": {"doc_to_image": "question"}, "st_missing": {}}


def write_tasks(folder: Path) -> Path:
    """A folder for `include_path`: st_generate, st_rolling, st_binary, st_group with st_many and st_few, tasks that
    cannot be used, and one that generates more than the tiny model's 2048 tokens."""
    folder.mkdir()
    answers = [{"question": text, "answer": "KqrK"[place]} for place, text in enumerate(TEXTS)]
    generating = {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "generation_kwargs": {"until": ["\n", "O"], "max_gen_toks": 24, "do_sample": False},
        "metric_list": [_metric("exact_match", "mean"), _metric("chrf", "chrf")],
    }
    filters = [_filter("strict-match", "([A-Z])"), _filter("flexible-extract", "([a-z])")]
    _write(folder, "st_generate", answers, **generating, filter_list=filters, num_fewshot=1, fewshot_split="test")
    for name, unusable in UNUSABLE.items():
        _write(folder, name, answers, **generating, **unusable)
    (folder / "st_missing.jsonl").unlink()
    _write(folder, "st_endless", answers, **generating | {"generation_kwargs": {"until": [], "max_gen_toks": 4000}})
    perplexities = [_metric(f"{unit}_perplexity", "weighted_perplexity", False) for unit in ("word", "byte")]
    _write(
        folder,
        "st_rolling",
        [{"text": text} for text in TEXTS],
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="text",
        metric_list=[*perplexities, _metric("bits_per_byte", "bits_per_byte", False)],
    )
    choosing = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}.",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
    }
    choices = [
        {"question": text, "choices": [text[:4], text[4:16]], "gold": int(place == 1)}
        for place, text in enumerate(TEXTS)
    ]
    means = [_metric("acc", "mean"), _metric("acc_norm", "mean")]
    _write(folder, "st_many", choices, **choosing, metric_list=means)
    _write(
        folder, "st_few", choices[:2], **choosing, metric_list=[*means, _metric("brier_score", "brier_score", False)]
    )
    _write(folder, "st_binary", choices, **choosing, metric_list=[*means, _metric("f1", "f1")])
    group = {
        "group": "st_group",
        "task": ["st_many", "st_few"],
        "aggregate_metric_list": [
            {"metric": "acc", "aggregation": "mean", "weight_by_size": True},
            {"metric": "acc_norm", "aggregation": "mean", "weight_by_size": False},
        ],
    }
    (folder / "st_group.yaml").write_text(yaml.safe_dump(group))
    return folder


def _metric(name: str, aggregation: str, higher_is_better: bool = True) -> dict:
    return {"metric": name, "aggregation": aggregation, "higher_is_better": higher_is_better}


def _filter(name: str, pattern: str) -> dict:
    steps = [{"function": "regex", "regex_pattern": pattern, "group_select": 0}, {"function": "take_first"}]
    return {"name": name, "filter": steps}


def _write(folder: Path, name: str, rows: list[dict], **task) -> None:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}}, "test_split": "test"}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, **data, **task}))

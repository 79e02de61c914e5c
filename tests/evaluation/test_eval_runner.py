"""The grid runs for real: numbers equal an independent loop, hooks are in place, and what is finished stays so."""

import json
import shutil
from dataclasses import replace
from functools import wraps

import pytest
import torch
from eval_inputs import TEXT, config
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, LlamaForCausalLM

from setaria.evaluation import evaluate
from setaria.evaluation.completion import Completion
from setaria.evaluation.fidelity import Fidelity
from setaria.evaluation.items import items_file, read_items
from setaria.evaluation.rounds import halving
from setaria.generation import XQuantCache


@pytest.fixture(scope="module")
def run(tiny_checkpoint, tmp_path_factory):
    """A finished run of 2 caches x 2 drafters, and its configuration."""
    folder = tmp_path_factory.mktemp("eval")
    done = config(tiny_checkpoint, folder, caches=("none", "kivi-2"), drafters=("none", "trie"))
    return evaluate(done), done


def items(done, setting, task):
    return read_items(items_file(done.output, setting, task)).items


def test_every_setting_has_every_score(run, tiny_checkpoint):
    results, done = run
    name = tiny_checkpoint.name
    assert [setting.name for setting in results.settings] == [
        name,
        f"{name} / trie",
        f"{name} / kivi-2",
        f"{name} / kivi-2 / trie",
    ]
    assert len(results.scores) == 4 * 5
    assert {file.name for file in done.output.iterdir()} == {
        "items",
        "made_with.json",
        "model_card.md",
        "report.html",
        "results.csv",
        "results.json",
    }


def test_teacher_forced_numbers_equal_an_independent_loop(run, tiny_checkpoint):
    _, done = run
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(tiny_checkpoint)(TEXT, return_tensors="pt").input_ids
    exact, found = [], []
    for cache, rows in ((DynamicCache(config=model.config), exact), (XQuantCache(model.config, "kivi-2"), found)):
        for place in range(ids.size(1) - 1):
            with torch.no_grad():
                logits = model(ids[:, place : place + 1], past_key_values=cache, use_cache=True).logits
            rows.append(torch.log_softmax(logits[0, 0].double(), -1))
    nll = kl = same = 0.0
    for p, q, target in zip(exact, found, ids[0, 1:], strict=True):
        nll -= float(q[target]) / len(exact)
        kl += float((p.exp() * (p - q)).sum()) / len(exact)
        same += float(p.argmax() == q.argmax()) / len(exact)
    item = items(done, f"{tiny_checkpoint.name} / kivi-2", "fidelity")[0]
    assert item.scores == {
        "nats_per_token": pytest.approx(nll, abs=1e-9),
        "kl": pytest.approx(kl, abs=1e-9),
        "top1": pytest.approx(same),
    }
    assert item.path == "teacher_forced" and item.weight == ids.size(1) - 1
    assert item.scores["kl"] > 1e-6  # the text is longer than what stays exact


def test_full_precision_agrees_with_itself(run, tiny_checkpoint):
    _, done = run
    for item in items(done, tiny_checkpoint.name, "fidelity"):
        assert item.scores["kl"] == pytest.approx(0, abs=1e-12) and item.scores["top1"] == 1.0


def test_the_trie_changes_nothing_but_time(run, tiny_checkpoint):
    _, done = run
    for cache in ("", " / kivi-2"):
        for task in ("fidelity", "completion"):
            plain, drafted = (
                items(done, f"{tiny_checkpoint.name}{cache}{drafter}", task) for drafter in ("", " / trie")
            )
            assert [(one.id, one.prediction, one.scores) for one in plain] == [
                (one.id, one.prediction, one.scores) for one in drafted
            ]


def test_drafts_over_a_quantised_cache_are_made_one_by_one(tiny_checkpoint, tmp_path, monkeypatch):
    """In batches they are not exact: rows leave unused slots, which shift the groups of the quantisation."""
    rows = []

    @wraps(LlamaForCausalLM.generate)
    def generate(self, *args, **kwargs):
        rows.append(len(kwargs["input_ids"]))
        return original(self, *args, **kwargs)

    original = LlamaForCausalLM.generate
    monkeypatch.setattr(LlamaForCausalLM, "generate", generate)
    done = config(tiny_checkpoint, tmp_path, caches=("none", "kivi-2"), drafters=("none", "trie"), max_new_tokens=2)
    evaluate(replace(done, tasks={"completion": done.tasks["completion"]}))
    assert rows == [5, 5, 5, 1, 1, 1, 1, 1]  # drafts are the last setting of each cache


def test_completions_are_generates(run, tiny_checkpoint):
    _, done = run
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)
    for item in items(done, tiny_checkpoint.name, "completion"):
        inputs = tokenizer(item.prompt, return_tensors="pt", return_token_type_ids=False)
        text = model.generate(**inputs, do_sample=False, max_new_tokens=24)[0, inputs.input_ids.size(1) :]
        assert item.prediction == tokenizer.decode(text, skip_special_tokens=True)


def test_hooks_are_in_place(tiny_checkpoint, tmp_path, monkeypatch):
    seen = []

    def generate(self, checkpoint, setting, samples):
        from setaria.evaluation.hooks import hooked

        plain = checkpoint.model.generate, checkpoint.model._prepare_cache_for_generation
        with hooked(checkpoint.model, setting):
            now = checkpoint.model.generate, checkpoint.model._prepare_cache_for_generation
            seen.append((setting.cache, setting.drafter, now[0] != plain[0], now[1] != plain[1]))
        return original(self, checkpoint, setting, samples)

    original = Completion.run
    monkeypatch.setattr(Completion, "run", generate)
    evaluate(config(tiny_checkpoint, tmp_path, caches=("none", "safe"), drafters=("none", "trie"), limit=1))
    assert seen == [
        ("none", "none", False, False),
        ("none", "trie", True, False),
        ("safe", "none", False, True),
        ("safe", "trie", True, True),
    ]


def test_what_is_finished_is_not_done_again(tiny_checkpoint, tmp_path, monkeypatch):
    """Killed after 2 items, with half a line of the third."""
    done = config(tiny_checkpoint, tmp_path)
    whole = evaluate(done)
    file = items_file(done.output, tiny_checkpoint.name, "fidelity")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    (done.output / "results.json").write_bytes(b'{"schema": "setaria.ev')
    asked = []

    def run(self, checkpoint, setting, samples):
        asked.extend(id for id, _ in samples)
        return original(self, checkpoint, setting, samples)

    original = Fidelity.run
    monkeypatch.setattr(Fidelity, "run", run)
    again = evaluate(done)
    assert asked == ["00002"]
    assert again.scores == whole.scores
    assert [note.endswith("cut short while it was written; the item is done again") for note in again.notes] == [True]


def test_more_caches_are_added_to_a_run(tiny_checkpoint, tmp_path):
    evaluate(config(tiny_checkpoint, tmp_path, limit=1))
    results = evaluate(config(tiny_checkpoint, tmp_path, caches=("none", "safe"), limit=2))
    assert [score.items for score in results.scores if score.metric == "kl"] == [2, 2]


@pytest.mark.parametrize("other", ["settings", "file", "checkpoint"])
def test_items_of_something_else_are_not_taken_for_finished(other, tiny_checkpoint, tmp_path):
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    evaluate(config(checkpoint, tmp_path, limit=1))
    again = config(checkpoint, tmp_path, limit=1, max_new_tokens=9 if other == "settings" else 24)
    named = "another max_new_tokens"
    if other == "file":
        (tmp_path / "prompts.jsonl").write_text('{"prompt": "other"}\n')
        named = "another file of completion"
    if other == "checkpoint":
        (checkpoint / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes() + b" ")
        named = "another checkpoint model"
    with pytest.raises(ValueError, match=named):
        evaluate(again)


def test_a_batch_that_does_not_fit_is_halved(tiny_checkpoint, tmp_path, monkeypatch):
    sizes = []

    def run(self, checkpoint, setting, samples):
        sizes.append(len(samples))
        if len(samples) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, checkpoint, setting, samples)

    original = Completion.run
    monkeypatch.setattr(Completion, "run", run)
    results = evaluate(config(tiny_checkpoint, tmp_path, batch_size=4))
    assert sizes == [4, 2, 2, 1]
    assert results.notes == (f"{tiny_checkpoint.name}, completion: out of memory, batches of 2",)


def test_memory_that_does_not_hold_a_single_item(monkeypatch):
    def run(samples):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        halving(run, [("a", 1), ("b", 2)], 2)


def test_results_are_of_the_stated_schema(run):
    _, done = run
    data = json.loads((done.output / "results.json").read_text())
    assert data["schema"] == "setaria.eval/1"
    assert data["config"]["caches"] == ["none", "kivi-2"]

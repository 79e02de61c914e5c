"""Settings are timed in turn, numbers are those of items, and a resumed run keeps its rounds."""

from dataclasses import replace
from functools import wraps
from statistics import mean, median

import pytest
import torch
from eval_inputs import config
from transformers import LlamaForCausalLM

from setaria.evaluation import evaluate
from setaria.evaluation.compare import compare
from setaria.evaluation.items import Item, items_file, read_items
from setaria.evaluation.speed import Speed


KV_BYTES = 2 * 2 * 2 * 4 * 4  # per token: keys and values, layers, heads, width, float32
CALLED = ("tokens_per_second", "first_token", *["peak_memory"] * torch.cuda.is_available(), "kv_cache")


def speed(checkpoint, folder, **settings):
    """A configuration of speed alone, over the prompts of completion."""
    given = {"rounds": 3, "limit": 2, "max_new_tokens": 8}
    done = config(checkpoint, folder, **given | settings)
    return replace(done, tasks={"speed": done.tasks["completion"]})


def items(done, setting):
    return read_items(items_file(done.output, setting, "speed")).items


@pytest.fixture(scope="module")
def run(tiny_checkpoint, tmp_path_factory):
    """A finished run of 2 caches x 2 drafters, the order of its timed runs, and how often the model generated."""
    asked, calls = [], []

    def timed(self, checkpoint, setting, samples):
        asked.extend((id, setting.cache, setting.drafter) for id, _ in samples)
        return original(self, checkpoint, setting, samples)

    @wraps(LlamaForCausalLM.generate)
    def generate(self, *args, **kwargs):
        calls.append(kwargs["max_new_tokens"])
        return plain(self, *args, **kwargs)

    original, plain = Speed.run, LlamaForCausalLM.generate
    done = speed(
        tiny_checkpoint, tmp_path_factory.mktemp("speed"), caches=("none", "kivi-2"), drafters=("none", "trie")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Speed, "run", timed)
        patch.setattr(LlamaForCausalLM, "generate", generate)
        return evaluate(done), done, asked, calls


def test_settings_take_turns(run):
    """4 settings x 2 prompts x (a warm-up and 3 rounds)."""
    _, _, asked, calls = run
    assert asked == [
        (f"{round:05}-{prompt:05}", cache, drafter)
        for round in range(3)
        for prompt in range(2)
        for cache in ("none", "kivi-2")
        for drafter in ("none", "trie")
    ]
    assert calls == [8] * 4 * 2 * 4


def test_scores_are_of_items(run):
    """The mean over 2 prompts of their medians over 3 rounds."""
    results, done, *_ = run
    assert [(one.name, one.higher_is_better, one.unit) for one in results.metrics if one.name != "peak_memory"] == [
        ("tokens_per_second", True, "tokens/s"),
        ("first_token", False, "s"),
        ("kv_cache", False, "MB in the KV cache"),
    ]
    assert len(results.scores) == 4 * len(CALLED)
    for score in results.scores:
        found = items(done, score.setting)
        medians = [median(one.scores[score.metric] for one in found if one.id.endswith(f"{n}")) for n in range(2)]
        assert score.value == pytest.approx(mean(medians))
        assert score.low <= score.value <= score.high
        assert (score.items, score.path) == (6, "timing")


def test_what_an_item_has(run, tiny_checkpoint):
    """`generate` returns a little after the last token; the cache lacks the last token of a text."""
    _, done, *_ = run
    for item in items(done, tiny_checkpoint.name):
        assert tuple(item.scores) == CALLED[1:2] + CALLED[:1] + CALLED[2:]
        tokens, seconds, first = item.extra["tokens"], item.extra["seconds"], item.scores["first_token"]
        assert tokens == 8 and 0 < first < seconds
        assert item.scores["tokens_per_second"] >= 7 / (seconds - first)
        assert item.scores["kv_cache"] == (len(item.prompt) + 7) * KV_BYTES / 1e6
    for plain, quantised in zip(
        items(done, tiny_checkpoint.name), items(done, f"{tiny_checkpoint.name} / kivi-2"), strict=True
    ):
        assert quantised.scores["kv_cache"] < plain.scores["kv_cache"]


def timed(values):
    """Items with those seconds, `[prompts][rounds]`."""
    return [
        Item(f"{round:05}-{prompt:05}", "", "", "", {"first_token": value}, "timing")
        for prompt, rounds in enumerate(values)
        for round, value in enumerate(rounds)
    ]


def test_the_score_by_hand(tiny_checkpoint, tmp_path):
    """Medians 2 and 20. In the 3 rounds drawn again both prompts have the same median round, of which each comes in
    more than 2.5 % of the draws: (1 + 10) / 2, (2 + 20) / 2 or (9 + 30) / 2."""
    task = Speed(tmp_path, speed(tiny_checkpoint, tmp_path))
    metric = task.metrics[1]
    assert task.score(metric, timed([[1, 9, 2], [10, 30, 20]]), 0) == (11.0, 5.5, 19.5, 6)
    assert task.score(metric, timed([[3], [5]]), 0) == (4.0, None, None, 2)
    assert task.score(metric, timed([[3, 3], [5]]), 0) == (3.0, 3.0, 3.0, 2)  # the second prompt lacks a round
    assert task.score(task.metrics[0], timed([[3], [5]]), 0) is None


def test_a_single_token_has_no_rate(tiny_checkpoint, tmp_path):
    done = speed(tiny_checkpoint, tmp_path, max_new_tokens=1, rounds=1, limit=1)
    results = evaluate(done)
    assert {score.metric for score in results.scores} == {*CALLED} - {"tokens_per_second"}
    assert all(score.low is None for score in results.scores)


def test_a_resumed_run_keeps_its_rounds(tiny_checkpoint, tmp_path, monkeypatch):
    """Killed in the second round, in the middle of a line; what is left warms up again."""
    done = speed(tiny_checkpoint, tmp_path)
    evaluate(done)
    file = items_file(done.output, tiny_checkpoint.name, "speed")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    asked = []

    def run(self, checkpoint, setting, samples):
        asked.extend(id for id, _ in samples)
        return original(self, checkpoint, setting, samples)

    original = Speed.run
    monkeypatch.setattr(Speed, "run", run)
    results = evaluate(done)
    assert asked == ["00001-00001", "00002-00000", "00002-00001"]
    assert file.read_bytes().startswith(b"".join(lines[:3]))
    assert {score.items for score in results.scores} == {6}


def test_runs_are_compared_by_intervals(run):
    _, done, *_ = run
    changes = compare(done.output, done.output).changes
    assert len(changes) == 4 * len(CALLED)
    assert {(change.items, change.change, change.verdict) for change in changes} == {(0, 0.0, "unclear")}

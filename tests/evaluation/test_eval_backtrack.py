"""Episodes as a task: numbers and traces are those of the recipe that plays them alone, and finished ones stay."""

import hashlib
import json
import shutil

import pytest
from eval_inputs import config

from setaria.agents.backtrack.metrics import METRICS, measure
from setaria.agents.backtrack.traces import read_traces
from setaria.cli.main import main as setaria
from setaria.evaluation import backtrack, evaluate
from setaria.evaluation.items import items_file, read_items
from setaria.recipes.backtrack import evaluate as recipe
from setaria.recipes.backtrack import tiny_model


TASKS = 6


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """One app with a few tasks."""
    world = tmp_path_factory.mktemp("world") / "apps"
    assert setaria(["build", "backtrack", "apps", "--output", str(world), "--apps", "1", "--held_out", "1"]) == 0
    tasks = world / "held_out" / "tasks.jsonl"
    tasks.write_text("".join(tasks.read_text().splitlines(keepends=True)[:TASKS]))
    return world / "held_out"


@pytest.fixture(scope="module")
def checkpoint(split, tmp_path_factory):
    """Small and untrained."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.main(["--world", str(split), "--output", str(folder)])
    return folder


def played(split, checkpoint, folder, **settings):
    folder.mkdir(exist_ok=True)
    return config(checkpoint, folder, **{"tasks": {"backtrack": split}, "max_new_tokens": 8} | settings)


class Walker:
    """In place of a model: takes one of the listed actions, another one at each step, and believes half of them."""

    def __init__(self):
        self.asked = 0

    def generate(self, conversations):
        return [self._action(conversation[-1]["content"][-1]["text"]) for conversation in conversations]

    def yes_probability(self, conversations):
        return [_digest(conversation[-1]["content"][-1]["text"]) % 2 for conversation in conversations]

    def _action(self, text):
        self.asked += 1
        *_, listed = text.partition("\nActions:\n")
        actions = listed.splitlines()[:-1]
        return actions[_digest(text) % len(actions)] if len(actions) > 1 else "complete(success)"


def _digest(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


@pytest.fixture
def walker(monkeypatch):
    walker = Walker()
    monkeypatch.setattr(backtrack, "vision_chat", lambda *asked: walker)
    return walker


def test_a_model_plays_as_in_the_recipe(split, checkpoint, tmp_path):
    results = evaluate(played(split, checkpoint, tmp_path, caches=("none", "xquant-1.4"), drafters=("none", "trie")))
    flags = {"model_name_or_path": checkpoint, "world": split, "output": tmp_path / "alone", "batch": 8}
    flags |= {"max_new_tokens": 8, "family": "qwen2_vl", "dtype": "float32"}
    recipe.main([part for name, value in flags.items() for part in (f"--{name}", str(value))])
    alone = json.loads((tmp_path / "alone" / "metrics.json").read_text())["metrics"]
    found = {
        one.metric: {"value": one.value, "low": one.low, "high": one.high}
        for one in results.scores
        if one.setting == checkpoint.name
    }
    assert {name for name, score in alone.items() if score["value"] is not None} == set(found)
    for name, score in found.items():
        if name != "seconds":
            assert score == alone[name], name
    folder = tmp_path / "run" / "backtrack"
    said = {}
    for name in (checkpoint.name, f"{checkpoint.name}-trie", f"{checkpoint.name}-xquant-1.4"):
        (said[name],) = [_replies(one) for one in [list(read_traces(folder / name))]]
    assert said[checkpoint.name] == said[f"{checkpoint.name}-trie"] == _replies(list(read_traces(tmp_path / "alone")))
    assert all(replies for replies in said[checkpoint.name].values())


def _replies(episodes):
    return {
        one["episode"]: [attempt["reply"] for step in one["steps"] for attempt in step["attempts"]] for one in episodes
    }


def test_numbers_are_those_of_the_traces(split, checkpoint, walker, tmp_path):
    done = played(split, checkpoint, tmp_path, batch_size=4, seed=3)
    results = evaluate(done)
    trace = tmp_path / "run" / "backtrack" / checkpoint.name
    episodes = list(read_traces(trace))
    assert len(episodes) == TASKS and sum(len(one["steps"]) for one in episodes) > 2 * TASKS
    expected = {name: score for name, score in measure(episodes, seed=3).items() if score.value == score.value}
    found = {one.metric: (one.value, one.low, one.high) for one in results.scores}
    assert found == {name: (score.value, score.low, score.high) for name, score in expected.items()}
    assert {"success", "step iou", "detection precision", "broken", "reflections"} <= set(found)
    items = read_items(items_file(done.output, checkpoint.name, "backtrack")).items
    for item, episode in zip(items, episodes, strict=True):
        assert item.extra["episode"] == episode and item.prompt == episode["instruction"]
        assert item.target.splitlines()[-1].startswith("complete")
        assert len(item.target.splitlines()) == episode["task"]["gold_steps"]
    directions = {metric.name: metric.higher_is_better for metric in results.metrics}
    assert not directions["broken"] and not directions["seconds"] and directions["success"]
    with_precision = sum("detection precision" in item.scores for item in items)
    (score,) = [one for one in results.scores if one.metric == "detection precision"]
    assert 0 < score.items == with_precision < TASKS or with_precision == TASKS
    assert setaria(["trace", "view", str(trace), "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image") > 0 and episodes[0]["instruction"] in page


def test_finished_episodes_are_not_played_again(split, checkpoint, walker, tmp_path):
    done = played(split, checkpoint, tmp_path, batch_size=2)
    whole = evaluate(done)
    asked, walker.asked = walker.asked, 0
    file = items_file(done.output, checkpoint.name, "backtrack")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    (done.output / "backtrack" / checkpoint.name / "episodes.jsonl").unlink()
    again = evaluate(done)
    assert 0 < walker.asked < asked
    assert _without_seconds(again) == _without_seconds(whole)
    assert len(list(read_traces(done.output / "backtrack" / checkpoint.name))) == TASKS


def _without_seconds(results):
    return [one for one in results.scores if one.metric != "seconds"]


def test_what_cannot_be_played_is_named(split, checkpoint, tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match=f"{tiny_checkpoint}: a llama takes no images"):
        evaluate(played(split, tiny_checkpoint, tmp_path / "text"))
    copy = shutil.copytree(split, tmp_path / "split")
    tasks = (split / "tasks.jsonl").read_text()
    for name, text, named in (
        ("none", "", "holds no task"),
        ("twice", tasks + tasks, "a task is there twice"),
        ("broken", "{", "no task"),
    ):
        (copy / "tasks.jsonl").write_text(text)
        with pytest.raises(ValueError, match=f"tasks.jsonl.*{named}"):
            evaluate(played(copy, checkpoint, tmp_path / name))


def test_every_metric_has_a_direction():
    assert set(backtrack.LESS_IS_BETTER) < set(METRICS) and set(backtrack.UNITS) < set(METRICS)

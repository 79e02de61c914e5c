"""Files of tasks: written, read back, and what is said about a line that is no task."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mobile3m_trees import ROOT, Shop

from setaria.datasets_builders.gui.mobile3m import read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.tasks import GoldStep, Task, read_split, read_tasks, shortest_paths, write_tasks
from setaria.rewards.gui.actions import Click, Complete, Input, Scroll


STEPS = (
    GoldStep("a0", Click((0.0, 0.0, 9.0, 9.5), "Next"), "a0_1"),
    GoldStep("a0_1", Input((0.0, 0.0, 9.0, 9.0), "姓名", 'a "b"\n\u2028c'), "a0_1_2"),
    GoldStep("a0_1_2", Scroll((0.0, 0.0, 9.0, 9.0), "up"), "a0_3"),
    GoldStep("a0_3", Complete(), "a0_3"),
)
TASKS = [
    Task("a-0", "a", "Open it.", "a0", "a0_3", STEPS),
    Task("a-1", "a", "line\nbreaks\r\n\u2028\u2029\x85\x0b\x0c\x1c 北京", "a0", "a0", ()),
]


def test_round_trip(tmp_path):
    file = tmp_path / "tasks.jsonl"
    write_tasks(TASKS, file)
    assert read_tasks(file) == TASKS
    assert file.read_bytes().count(b"\n") == 2
    write_tasks(iter([]), file)
    assert read_tasks(file) == []


def test_one_line(tmp_path):
    file = tmp_path / "tasks.jsonl"
    write_tasks([Task("a-0", "a", "Öffne.", "a0", "a0_1", STEPS[:1])], file)
    assert file.read_text("utf-8") == (
        '{"id": "a-0", "app": "a", "instruction": "Öffne.", "start": "a0", "goal": "a0_1", "steps": [{"page": "a0", '
        '"action": {"type": "click", "box": [0.0, 0.0, 9.0, 9.5], "text": "Next"}, "after": "a0_1"}]}\n'
    )


@given(st.lists(st.text(), min_size=5, max_size=5))
def test_no_text_breaks_a_line(tmp_path_factory, texts):
    file = tmp_path_factory.getbasetemp() / "tasks.jsonl"
    tasks = [Task(*texts, ()), Task(*reversed(texts), ())]
    write_tasks(tasks, file)
    assert read_tasks(file) == tasks


def changed(**fields):
    task = {"id": "a-1", "app": "a", "instruction": "Go.", "start": "a0", "goal": "a0_1"}
    step = {"page": "a0", "action": {"type": "click", "box": [0, 0, 9, 9], "text": "Next"}, "after": "a0_1"}
    step |= fields.pop("step", {})
    merged = task | {"steps": [{key: value for key, value in step.items() if value is not ...}]} | fields
    return json.dumps({key: value for key, value in merged.items() if value is not ...}).encode()


NO_TASKS = {
    "empty line": (b"", "no task"),
    "no json": (b"{'id': 1}", "no task"),
    "cut off": (b'{"id": "a-1", "steps": [', "no task"),
    "no text": (b'{"id": "\xff"}', "no task .*utf-8"),
    "deep": (b"[" * 100_000, "no task .*recursion"),
    "long number": (b"1" * 5000, "no task"),
    "list": (b"[1]", "no task"),
    "number": (b"1", "no task"),
    "null": (b"null", "no task"),
    "no steps": (changed(steps=...), "'steps' is missing"),
    "no goal": (changed(goal=...), "no task .*'goal'"),
    "superfluous": (changed(level="hard"), "no task .*'level'"),
    "number as id": (changed(id=5), "id is 5, no text"),
    "start in a list": (changed(start=["a0"]), r"start is \['a0'\], no text"),
    "steps in words": (changed(steps="none"), "no task"),
    "null steps": (changed(steps=None), "no task"),
    "step in words": (changed(steps=["click"]), "no task"),
    "step without a page": (changed(step={"page": ...}), "'page' is missing"),
    "step without an action": (changed(step={"action": ...}), "'action' is missing"),
    "step without an outcome": (changed(step={"after": ...}), "'after' is missing"),
    "step to nowhere": (changed(step={"after": None}), "after of step 0 is None, no text"),
    "unknown action": (changed(step={"action": {"type": "tap"}}), "unknown action 'tap'"),
    "action in words": (changed(step={"action": "click(...)"}), "expected a mapping"),
    "action without a box": (changed(step={"action": {"type": "click"}}), "no task .*'box'"),
    "inverted box": (changed(step={"action": {"type": "click", "box": [9, 0, 0, 9]}}), "inverted"),
}


@pytest.mark.parametrize(("line", "message"), NO_TASKS.values(), ids=NO_TASKS)
def test_errors_name_file_and_line(tmp_path, line, message):
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(changed() + b"\n" + line + b"\n" + changed() + b"\n")
    with pytest.raises(ValueError, match=rf"tasks\.jsonl:2: .*{message}"):
        read_tasks(file)


def test_the_unchanged_line_is_a_task(tmp_path):
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(changed())  # without a newline at the end
    assert [task.id for task in read_tasks(file)] == ["a-1"]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    graph = read_app_graph(write_app_graph(Shop(), folder, port=8100))
    goal, steps = list(shortest_paths(graph, graph.root).items())[1]
    write_tasks([Task("t", graph.app, "Go.", graph.root, goal, steps)], folder / "tasks.jsonl")
    return folder


def test_a_split_is_its_graphs_and_tasks(split):
    graphs, tasks = read_split(split)
    assert list(graphs) == ["店铺2.0"] and graphs["店铺2.0"].root == ROOT
    assert [(task.id, len(task.steps)) for task in tasks] == [("t", 1)]


WRONG = {
    "app": ({"app": "b"}, "t: there is no graph of the app 'b'"),
    "start": ({"start": "b0"}, "t: b0 is no unique page in the graph of 店铺2.0"),
    "goal": ({"goal": "../x"}, r"t: \.\./x is no unique page"),
    "goal that is another page": ({"goal": f"{ROOT}_2"}, f"t: {ROOT}_2 is no unique page"),
    "page of a step": ({"steps": (GoldStep("b0", Complete(), ROOT),)}, "t: b0 is no unique page"),
    "outcome of a step": ({"steps": (GoldStep(ROOT, Complete(), "b0"),)}, "t: b0 is no unique page"),
}


@pytest.mark.parametrize(("fields", "message"), WRONG.values(), ids=WRONG)
def test_tasks_about_what_is_not_there(split, tmp_path, fields, message):
    folder = shutil.copytree(split, tmp_path / "split")
    graph = read_app_graph(next(folder.glob("*_graph_*")))
    assert graph.unique_of[f"{ROOT}_2"] == ROOT  # a click without effect
    (task,) = read_tasks(folder / "tasks.jsonl")
    write_tasks([Task(**{**vars(task), **fields})], folder / "tasks.jsonl")
    with pytest.raises(ValueError, match=rf"tasks\.jsonl: {message}"):
        read_split(folder)


def test_a_split_without_apps_and_with_one_twice(split, tmp_path):
    with pytest.raises(ValueError, match="holds no app in Mobile3M's layout"):
        read_split(tmp_path)
    folder = shutil.copytree(split, tmp_path / "split")
    write_app_graph(Shop(), folder, port=8101)
    with pytest.raises(ValueError, match=r"graph_8101: 店铺2\.0_graph_8100 is a graph of 店铺2\.0 too"):
        read_split(folder)

"""Two runs compared: literal changes, what is paired with what, and that regressions come first."""

import re
from dataclasses import replace
from io import StringIO

import pytest
from eval_runs import CACHES, SETTINGS, example_run
from rich.console import Console

from setaria.evaluation.compare import compare
from setaria.evaluation.items import Item, ItemFile, items_file
from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Score, Setting


MATCH = Metric("sums", "exact_match", True)
NATS = Metric("nll", "nats", False)
SPEED = Metric("speed", "tokens_per_second", True)


BASE = (Setting("base", "models/a"),)


def write_run(folder, values, settings=BASE, metric=MATCH, scores=(), **changes):
    """A run whose items have these values of the metric, the same in every setting."""
    for setting in settings:
        file = ItemFile(items_file(folder, setting.name, metric.task))
        for name, value in values.items():
            fields = {"prompt": "", "prediction": str(value), "target": "", "scores": {metric.name: value}}
            file.add(Item(name, path="generation", **{**fields, **changes}))
    Results(settings, (metric, SPEED), scores).write(folder)
    return folder


@pytest.fixture
def two(tmp_path):
    return tmp_path / "before", tmp_path / "after"


def test_paired_changes(two):
    """Ten common items: 0 to 4 go from 1 to 0, 5 from 0 to 1, others stay: mean .5 + .4 = .9 to .5."""
    before = write_run(two[0], {str(place): float(place != 5) for place in range(10)} | {"x": 0.0})
    after = write_run(two[1], {str(place): float(place >= 5) for place in range(10)} | {"y": 1.0, "z": 1.0})
    comparison = compare(before, after)
    (change,) = comparison.changes
    assert (change.before, change.after) == pytest.approx((0.9, 0.5))
    assert change.change == pytest.approx(-0.4)
    assert (change.items, change.lost, change.gained) == (10, 5, 1)
    assert change.low < -0.4 < change.high
    # The interval of ten differences of -1 (five), 1 (one) and 0 (four): deviation .66, so about -.4 +- .41.
    assert change.low == pytest.approx(-0.8, abs=0.11) and change.high == pytest.approx(0.0, abs=0.11)
    (note,) = comparison.notes
    assert note.endswith("base/sums.jsonl: 3 items are in one run only and are left out")


@pytest.mark.parametrize(
    ("metric", "step", "verdict", "lost"),
    [(MATCH, -0.5, "worse", 20), (MATCH, 0.5, "better", 0), (NATS, 0.5, "worse", 20), (NATS, -0.5, "better", 0)],
)
def test_the_direction_of_the_metric_decides(two, metric, step, verdict, lost):
    values = {f"{place:02}": place / 7 for place in range(20)}
    before = write_run(two[0], values, metric=metric)
    after = write_run(two[1], {name: value + step for name, value in values.items()}, metric=metric)
    (change,) = compare(before, after).changes
    assert (change.verdict, change.lost, change.gained) == (verdict, lost, 20 - lost)
    assert (change.change, change.low, change.high) == pytest.approx((step, step, step))


def test_pairing_sees_what_separate_intervals_do_not(two):
    """Items differ by 10 between each other and by .1 between runs: only in pairs the change is seen."""
    values = {f"{place:02}": 10.0 * place for place in range(20)}
    before = write_run(two[0], values)
    after = write_run(two[1], {name: value - 0.1 + 0.01 * int(name) / 20 for name, value in values.items()})
    (change,) = compare(before, after).changes
    assert change.verdict == "worse" and change.high < 0


def test_same_and_unclear(two):
    values = {str(place): float(place % 2) for place in range(10)}
    before = write_run(two[0], values)
    assert [change.verdict for change in compare(before, before).changes] == ["same"]
    after = write_run(two[1], values | {"0": 1.0, "1": 0.0})  # one better, one worse
    assert [change.verdict for change in compare(before, after).changes] == ["unclear"]
    assert compare(before, after) == compare(before, after)


def test_a_single_item_proves_nothing(two):
    (change,) = compare(write_run(two[0], {"a": 1.0}), write_run(two[1], {"a": 0.0})).changes
    assert (change.verdict, change.low, change.high, change.lost) == ("unclear", None, None, 1)


def test_weights_count(two):
    """Weights 3 and 1: (3 * 1 + 1 * 0) / 4 before, (3 * 0 + 1 * 1) / 4 after."""
    for folder, values in zip(two, ({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}), strict=True):
        write_run(folder, {"a": values["a"]}, extra={"weight": 3})
        write_run(folder, {"b": values["b"]})
    (change,) = compare(*two).changes
    assert (change.before, change.after, change.change) == (0.75, 0.25, -0.5)


def test_items_with_another_target_are_left_out(two):
    before = write_run(two[0], {"a": 1.0, "b": 1.0})
    write_run(two[1], {"a": 0.0}, target="changed")
    after = write_run(two[1], {"b": 1.0})
    comparison = compare(before, after)
    assert [change.items for change in comparison.changes] == [1]
    assert comparison.notes[0].endswith("1 items have another target than before and are left out")


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((40, 45), "worse"), ((40, 55), "unclear"), ((90, 99), "better"), ((None, None), "unclear")],
)
def test_timings_by_their_intervals(two, interval, verdict):
    for folder, value, low, high in ((two[0], 60, 50, 70), (two[1], 60, *interval)):
        score = Score("base", "speed", "tokens_per_second", value, low, high, 7, "timing")
        write_run(folder, {}, scores=(score,))
    (change,) = compare(*two).changes
    assert (change.verdict, change.items, change.low) == (verdict, 0, None)


def test_settings_are_paired_by_name_and_then_by_hooks(two):
    old = [Setting(f"{name}", "a", cache=cache) for name, cache in (("one", "x"), ("two", "y"), ("three", "z"))]
    new = [Setting(name, "b", cache=cache) for name, cache in (("one", "y"), ("zwei", "y"), ("five", "w"))]
    comparison = compare(write_run(two[0], {"a": 1.0, "b": 1.0}, old), write_run(two[1], {"a": 1.0, "b": 1.0}, new))
    assert [(change.setting, change.other) for change in comparison.changes] == [("one", "one"), ("two", "zwei")]
    assert comparison.notes == ("only the first run has the setting three", "only the second run has the setting five")
    single = compare(write_run(two[0] / "s", {"a": 1.0}, old[:1]), write_run(two[1] / "s", {"a": 1.0}, new[2:]))
    assert [(change.setting, change.other) for change in single.changes] == [("one", "five")]


def test_nothing_in_common(two):
    old, new = [Setting(name, "a", cache=name) for name in "xy"], [Setting(name, "a", cache=name) for name in "vw"]
    write_run(two[0], {"a": 1.0}, old)
    with pytest.raises(ValueError, match=r"no setting in common: .* has x, y; .* has v, w"):
        compare(two[0], write_run(two[1], {"a": 1.0}, new))
    Results(tuple(old), (), ()).write(two[1])
    with pytest.raises(ValueError, match="no metric in common"):
        compare(*two)


def test_a_line_cut_short_is_named_and_a_broken_one_is_an_error(two):
    before, after = write_run(two[0], {"a": 1.0, "b": 1.0}), write_run(two[1], {"a": 1.0, "b": 1.0})
    file = items_file(after, "base", "sums")
    text = file.read_text()
    file.write_text(text[:-5])
    assert "sums.jsonl:2: cut short" in compare(before, after).notes[0]
    file.write_text(text.replace('"id": "a"', '"id": 1'))
    with pytest.raises(ValueError, match=r"sums\.jsonl:1: id=1"):
        compare(before, after)


def test_regressions_come_first(tmp_path, monkeypatch):
    """xquant-1.4 as harmful as xquant-2 and the other way round: each has worse, better and same metrics."""
    example_run(tmp_path / "before", items=40, settings=SETTINGS[2:])
    swapped = {**CACHES, "xquant-2": (2.21, *CACHES["xquant-1.4"][1:]), "xquant-1.4": (1.42, *CACHES["xquant-2"][1:])}
    monkeypatch.setattr("eval_runs.CACHES", swapped)
    example_run(tmp_path / "after", items=40, settings=SETTINGS[2:])
    comparison = compare(tmp_path / "before", tmp_path / "after")
    order = [change.verdict for change in comparison.changes]
    assert order == sorted(order, key=["worse", "unclear", "better", "same"].index)
    worse = {(change.setting, change.metric.task) for change in comparison.regressions}
    # The change of sums is not seen on 40 items.
    assert worse == {(f"stories / xquant-2 / {end}", task) for end in ("none", "trie") for task in ("needle", "nll")}
    assert comparison.regressions[0].metric.name == "recall"  # loses most in proportion
    # xquant-4 did not change: 2 drafters x 4 metrics of items.
    assert order.count("same") == 8


def test_tables(two):
    values = {f"{place:02}": 1.0 for place in range(20)}
    evil = Setting("[red]a[/red] | <b>", "models/a")
    before = write_run(two[0], values, (evil,))
    after = write_run(two[1], dict.fromkeys(values, 0.25), (replace(evil, checkpoint="models/b"),))
    comparison = compare(before, after)
    lines = comparison.as_markdown().splitlines()
    assert lines[0] == "1 worse, 0 unclear, 0 better, 0 same"
    assert lines[4] == (
        "| worse | \\[red\\]a\\[/red\\] \\| &lt;b&gt; | sums | exact\\_match ↑ | 1.000 | 0.250 | -0.750 "
        "| -0.750 to -0.750 | 20 | 20 / 0 |"
    )
    text = StringIO()
    Console(file=text, width=200).print(comparison.as_table())
    assert "[red]a[/red] | <b>" in text.getvalue()
    assert re.search(r"worse .* 1\.000 .* 0\.250 .* 20 / 0", text.getvalue())

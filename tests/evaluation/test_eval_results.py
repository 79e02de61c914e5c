"""Results: what they refuse, what they write, and what is said about a broken file."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from eval_runs import EVIL, example_run
from rich.console import Console

from setaria.evaluation.console_table import results_table
from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Score, Setting
from setaria.evaluation.wording import as_cell, as_number


BASE = Setting("base", "models/a")
QUANT = Setting("base / xquant-2", "models/a", cache="xquant-2", true_bits=2.21)
MATCH = Metric("sums", "exact_match", True)
NATS = Metric("nll", "nats_per_token", False, "nats")
SCORES = (
    Score("base", "sums", "exact_match", 0.5, 0.4, 0.6, 100, "generation"),
    Score("base / xquant-2", "sums", "exact_match", 0.25, None, None, 100, "generation"),
    Score("base", "nll", "nats_per_token", 2.0, 1.9, 2.1, 40, "teacher_forced"),
)
RESULTS = Results((BASE, QUANT), (MATCH, NATS), SCORES, notes=("nll: not for\nxquant-2",), versions={"torch": "2.13"})


def test_results_come_back(tmp_path):
    example = example_run(tmp_path / "run", items=6)
    assert Results.read(tmp_path / "run") == example
    RESULTS.write(tmp_path)
    assert Results.read(tmp_path) == RESULTS
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["schema"] == "setaria.eval/1" and next(iter(data)) == "schema"
    assert data["scores"][1] == {
        "setting": "base / xquant-2",
        "task": "sums",
        "metric": "exact_match",
        "value": 0.25,
        "low": None,
        "high": None,
        "items": 100,
        "path": "generation",
    }


def test_scores_and_the_best_of_them():
    assert RESULTS.score(BASE, NATS) == SCORES[2] and RESULTS.score(QUANT, NATS) is None
    assert RESULTS.best(MATCH) == {"base"}
    assert RESULTS.best(NATS) == set()  # only one was measured
    lower = replace(RESULTS, scores=(*SCORES, replace(SCORES[2], setting=QUANT.name, value=1.5, low=None, high=None)))
    assert lower.best(NATS) == {QUANT.name}
    assert RESULTS.tasks == ("sums", "nll")


def test_csv(tmp_path):
    RESULTS.write(tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert rows[1] == {
        "setting": "base / xquant-2",
        "checkpoint": "models/a",
        "adapter": "",
        "cache": "xquant-2",
        "drafter": "none",
        "true_bits": "2.21",
        "task": "sums",
        "metric": "exact_match",
        "unit": "",
        "higher_is_better": "True",
        "value": "0.25",
        "low": "",
        "high": "",
        "items": "100",
        "path": "generation",
    }


def test_model_card(tmp_path):
    RESULTS.write(tmp_path)
    assert (tmp_path / "model_card.md").read_text() == (
        "## Evaluation\n\n"
        "| setting | true bits | sums<br>exact\\_match ↑ | nll<br>nats\\_per\\_token ↓ |\n"
        "|---|---:|---:|---:|\n"
        "| base |  | **0.500** [0.400, 0.600] | 2.000 [1.900, 2.100] |\n"
        "| base / xquant-2 | 2.210 | 0.250 |  |\n\n"
        "↑ higher is better, ↓ lower is better; the best is bold. In brackets: 95 % bootstrap intervals.\n\n"
        "Units: nats\\_per\\_token: nats.\n\n"
        "- nll: not for xquant-2\n\n"
        "Measured  with torch 2.13.\n"
    )


def test_text_from_outside_stays_in_its_cell(tmp_path):
    evil = f"a | b\n# c `d` [e](http://f) {EVIL}"
    Results((Setting(evil, evil),), (), (), notes=(evil,)).write(tmp_path)
    card = (tmp_path / "model_card.md").read_text()
    assert "<script" not in card and "<img" not in card and "\n#" not in card[1:]
    assert as_cell("a|b\n\tc*") == "a\\|b c\\*"
    assert len(card.splitlines()[4].replace("\\|", "").split("|")) == 4


def test_numbers():
    values = (0, 0.5123, 0.00012345, 1.5, 12.345, 123.45, 1234.5, -0.25, 1e6, 0.001)
    expected = ["0", "0.512", "1.2e-04", "1.500", "12.35", "123.5", "1,234", "-0.250", "1,000,000", "0.001"]
    assert [as_number(value) for value in values] == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Setting("", "a"), "name='': a text of 1 to 200 characters"),
        (lambda: Setting("x" * 201, "a"), "name="),
        (lambda: Setting("a", "a", true_bits=0), "true_bits=0: a number above 0 or None"),
        (lambda: Setting("a", None), "checkpoint=None: a text"),
        (lambda: Metric("sums", "m", 1), "higher_is_better=1: true or false"),
        (lambda: replace(SCORES[0], value=float("nan")), "value=nan: a finite number"),
        (lambda: replace(SCORES[0], low=None), "both or none"),
        (lambda: replace(SCORES[0], low=0.7), "in order"),
        (lambda: replace(SCORES[0], items=0), "items=0: at least 1"),
        (lambda: replace(SCORES[0], path="guess"), "path='guess': one of generation"),
        (lambda: replace(RESULTS, settings=(BASE,)), "setting 'base / xquant-2' is not among"),
        (lambda: replace(RESULTS, metrics=(MATCH,)), "nll / nats_per_token is not among"),
        (lambda: replace(RESULTS, scores=(*SCORES, SCORES[0])), "is there twice"),
        (
            lambda: replace(RESULTS, settings=(*RESULTS.settings, Setting("BASE", "b"))),
            "settings: 'base' is there twice",
        ),
        (lambda: replace(RESULTS, metrics=(*RESULTS.metrics, Metric("Sums", "m", True))), "tasks: 'sums'"),
        (lambda: replace(RESULTS, config=[]), r"config=\[\]: a mapping"),
        (lambda: replace(RESULTS, notes=(3,)), "3 in notes"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "cut short or no JSON .* started again writes it from its items"),
        (lambda text: "", "cut short"),
        (lambda text: "[" * 100_000, "cut short or no JSON"),
        (lambda text: "[]", "schema None"),
        (lambda text: text.replace("eval/1", "eval/9"), "schema 'setaria.eval/9', not 'setaria.eval/1'"),
        (lambda text: text.replace('"unit"', '"unti"'), r"metrics\[0\]: \['unti'\] is not known"),
        (lambda text: text.replace('"notes"', '"nots"'), r"results: \['nots'\] is not known"),
        (lambda text: text.replace("2.21", "-1"), r"settings\[1\]: true_bits=-1"),
        (lambda text: text.replace("0.25", "NaN"), r"scores\[1\]: value=nan"),
        (lambda text: text.replace('"value": 0.25,', ""), r"scores\[1\]: .*missing"),
        (lambda text: text.replace('"task": "nll"', '"task": ["nll"]'), r"metrics\[1\]: task=\['nll'\]"),
    ],
)
def test_a_broken_file_is_named(tmp_path, change, message):
    RESULTS.write(tmp_path)
    file = tmp_path / "results.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=rf"results\.json: {message}"):
        Results.read(tmp_path)


def test_a_file_that_is_too_large_or_missing(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        Results.read(tmp_path)
    RESULTS.write(tmp_path)
    monkeypatch.setattr("setaria.evaluation.results.MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"results\.json: larger than 100 bytes"):
        Results.read(tmp_path)


def test_a_crash_leaves_the_old_file(tmp_path, monkeypatch):
    RESULTS.write(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(before) == {"results.json", "results.csv", "model_card.md"}

    def crash(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="no space"):
        replace(RESULTS, created="2030-01-01").write(tmp_path)
    assert {file.name: file.read_bytes() for file in Path(tmp_path).iterdir()} == before


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    for config in ({"set": {1}}, {"value": float("nan")}):
        with pytest.raises(ValueError, match="results are no plain JSON"):
            replace(RESULTS, config=config).write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_table_for_a_terminal(capsys):
    settings = (Setting("base", "base", true_bits=16.0), Setting("base / [b]", "base"))
    metrics = (Metric("fidelity", "kl", False), Metric("fidelity", "top1", True))
    scores = (
        Score("base", "fidelity", "kl", 0.0, None, None, 1, "teacher_forced"),
        Score("base / [b]", "fidelity", "kl", 0.5, 0.4, 0.6, 2, "teacher_forced"),
        Score("base", "fidelity", "top1", 0.25, None, None, 1, "teacher_forced"),
    )
    Console(width=80).print(results_table(Results(settings, metrics, scores)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row] == [
        ["fidelity", "kl ↓", "0", "0.500"],
        ["", "top1 ↑", "0.250", ""],
        ["", "true bits", "16.00", ""],
    ]

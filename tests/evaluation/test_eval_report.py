"""The report of a made-up run: what it states, what it escapes and what it leaves out."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from eval_runs import EVIL, LONG, SETTINGS, example_run

from setaria.evaluation.items import items_file
from setaria.evaluation.report import write_report
from setaria.evaluation.report_samples import clipped
from setaria.evaluation.report_settings import groups_of, looks_of
from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Score, Setting


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "example"
    example_run(folder, items=30, evil=True)
    return folder


@pytest.fixture(scope="module")
def page(run) -> str:
    return write_report(run).file.read_text()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def plain(html: str) -> str:
    """The words of a part of the page."""
    return " ".join(re.sub(r"<[^>]*>", " ", html.replace("<wbr>", "").replace("&nbsp;", " ")).split())


def test_the_table(page):
    table = re.search(r'<table id="summary">.*?</table>', page, re.DOTALL)[0]
    heads = [plain(head) for head in re.findall(r"<th scope=\"col\".*?</th>", table, re.DOTALL)]
    assert heads[:4] == ["setting", "cache true bits ↓", "sums exact_match ↑", "needle recall ↑"]
    rows = [plain(row) for row in re.findall(r"<tr data-setting.*?</tr>", table, re.DOTALL)]
    assert len(rows) == 8
    assert rows[2].startswith("xquant-4 4.22 ") and re.search("55.00 52.80 . 57.20", rows[2])
    # sums is the same with xquant-4, here; the full cache is best in four of quality, with the trie in two of speed.
    assert [len(re.findall(r'class="best"', row)) for row in table.split("<tr data-setting")[1:]] == [
        4, 6, 1, 1, 0, 0, 1, 1,
    ]  # fmt: skip


def test_the_headline(page):
    figures = re.search(r'<div class="figures">.*?</div>\s*</div>', page, re.DOTALL)[0]
    titles = [plain(one) for one in re.findall(r"<div>(.*?)<b>", figures, re.DOTALL)]
    assert titles == [
        "Best sums: exact_match",
        "Fewest bits within the interval of the best",
        "Best speed: tokens_per_second",
    ]
    assert "99.43 tokens/s trie" in plain(figures)  # 61 * 1.63
    items = 8 * 3 * 30
    assert f"8 settings on 5 tasks, {items} finished items · 2026-01-02 03:04 UTC" in plain(page)


def test_notes_paths_and_configuration(page):
    text = plain(page)
    assert "needle: batch halved from 16 to 8." in text
    assert "nll · nats_per_token ↓ nats · 30 items teacher-forced" in text
    assert "sums · exact_match ↑ 30 items generated" in text
    assert "speed · tokens_per_second ↑ tokens/s · 7 runs" in text
    assert "xquant-2 / trie stories / xquant-2 / trie models/stories260K none xquant-2 trie" in text
    assert "torch 2.13.0" in text and "cores: 2" in text and "&#34;seed&#34;: 0" in page


def test_text_from_outside_is_escaped(page):
    assert page.count("<script") == 2 and "<img" not in page
    assert "document.title = 'owned'" not in page  # in the data, quotes and angles are written as \u0027 and \u003c
    samples = data_of(page)["samples"]
    assert samples[0]["items"][0]["prompt"] == EVIL
    assert samples[0]["items"][1]["prompt"] == clipped(LONG)
    assert "default-src 'none'" in page
    assert re.findall(r"https?://[^\"]*", page) == ["http://www.w3.org/2000/svg"]  # a name, not an address


def test_names_from_outside_are_escaped(tmp_path):
    setting, metric = Setting(EVIL, EVIL, EVIL, EVIL, EVIL), Metric(EVIL, EVIL, True, EVIL)
    score = Score(EVIL, EVIL, EVIL, 1.0, 0.5, 1.5, 3, "generation")
    Results(
        (setting, replace(setting, name="other", cache="\ud800")),
        (metric,),
        (score,),
        (EVIL, LONG),
        {EVIL: EVIL},
        {EVIL: EVIL},
        {EVIL: EVIL},
        EVIL,
    ).write(tmp_path)
    page = write_report(tmp_path).file.read_text()
    assert page.count("<script") == 2 and "<img" not in page
    assert "… 9001 more characters …" in page  # of the note, 666 + 333 of 10,000 are shown
    assert data_of(page)["settings"][0]["name"] == EVIL


def test_bars_hold_zero(tmp_path):
    """Values -1 to 3 on an axis of 4: zero at 25 %, -1 from 0 to 25 %, 3 from 25 to 100 %."""
    settings = Setting("a", "a"), Setting("b", "b")
    scores = Score("a", "t", "m", -1, None, None, 5, "no_cache"), Score("b", "t", "m", 2, 1, 3, 6, "generation")
    Results(settings, (Metric("t", "m", True),), scores).write(tmp_path)
    page = write_report(tmp_path).file.read_text()
    assert re.findall(r'<i style="([^"]*)"', page) == ["left: 0.000%; width: 25.000%", "left: 25.000%; width: 50.000%"]
    assert re.findall(r'<u style="([^"]*)"', page) == ["left: 50.000%; width: 50.000%"]
    assert "t · m ↑ 5 to 6 items without a cache generated" in plain(page)


def test_samples_are_limited_and_the_rest_is_counted(run):
    written = write_report(run, run / "few.html", most_samples=5)
    sums, needle = data_of(written.file.read_text())["samples"]  # nll has no texts
    assert (sums["total"], sums["first"], written.samples) == (30, 3, 10)
    assert [item["id"] for item in sums["items"][:3]] == ["0000", "0001", "0002"]
    wrong = [sum(scores == [0.0] for scores in item["scores"]) for item in needle["items"][3:]]
    assert len(wrong) == 2 and all(0 < count < 8 for count in wrong)  # the settings differ on them
    assert write_report(run, run / "few.html", most_samples=0).samples == 0
    with pytest.raises(ValueError, match="most_samples=-1: 0 or more"):
        write_report(run, most_samples=-1)


def test_samples_keep_to_their_bytes(run):
    whole = write_report(run, run / "whole.html")
    small = write_report(run, run / "small.html", most_bytes=20_000)
    assert small.samples < whole.samples == 48 and small.size < whole.size
    tasks = data_of(small.file.read_text())["samples"]
    assert sum(len(json.dumps(item)) for task in tasks for item in task["items"]) <= 20_000
    assert all(task["first"] <= len(task["items"]) for task in tasks)


def test_a_text_that_settings_share_is_kept_once(page):
    item = data_of(page)["samples"][0]["items"][4]
    assert len(item["texts"]) < 4 and len(item["said"]) == 8
    assert item["said"][0] == item["said"][1]  # the trie loses nothing


def test_clipping():
    """3 + 1 of ten characters are shown: two thirds of 6 from the begin and a third from the end."""
    assert clipped("0123456789", 6) == "0123 … 4 more characters … 89"
    assert clipped("0123456789", 10) == "0123456789"


def test_a_setting_without_items_and_a_cut_line(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    items_file(copy, SETTINGS[0].name, "sums").unlink()
    cut = items_file(copy, SETTINGS[1].name, "sums")
    cut.write_text(cut.read_text()[:-10])
    page = write_report(copy).file.read_text()
    assert "sums.jsonl:30: cut short while it was written; the item is left out" in page
    assert data_of(page)["samples"][0]["items"][0]["said"][:2] == [None, 0]
    cut.write_text("{}\n")
    with pytest.raises(ValueError, match=r"sums\.jsonl:1: no item"):
        write_report(copy)


def test_an_empty_run(tmp_path):
    Results((), (), ()).write(tmp_path)
    page = write_report(tmp_path).file.read_text()
    assert "Evaluation of 0 settings on 0 tasks" in plain(page) and 'id="samples"' not in page
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "absent")


def test_looks():
    looks = looks_of(SETTINGS)
    assert [look.label for look in looks[:4]] == ["plain", "trie", "xquant-4", "xquant-4 / trie"]
    assert [(look.color, look.shape) for look in looks] == [(c, s) for c in range(4) for s in range(2)]
    assert [(group.name, len(group.values)) for group in groups_of(SETTINGS)] == [("cache", 4), ("drafter", 2)]
    adapters = [Setting(name, "models/base", f"runs/{name}/final") for name in ("spo", "dpo")]
    assert [look.label for look in looks_of(adapters)] == ["models/base + spo/final", "models/base + dpo/final"]
    steps = [Setting(f"step {step}", f"runs/spo/checkpoint-{step}") for step in (100, 200)]
    assert [look.label for look in looks_of(steps)] == ["checkpoint-100", "checkpoint-200"]
    alike = [Setting(name, "models/base") for name in ("first", "second")]
    assert [look.label for look in looks_of(alike)] == ["first", "second"]
    long = [Setting(name, "a", cache=name) for name in ("x" * 40 + "1", "x" * 40 + "2")]
    assert looks_of(long)[1].label == "x" * 16 + "…" + "x" * 14 + "2"
    many = looks_of([Setting(str(place), f"models/{place}") for place in range(20)])
    assert {look.color for look in many} == set(range(8))

"""Files of items: nothing finished is lost, what a kill cut short is named, and damage is an error."""

import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.evaluation.items import Item, ItemFile, items_file, read_items, slug
from setaria.evaluation.means import mean_interval, mean_score


def item(name: str = "a", **changes) -> Item:
    values = {"prompt": "2 + 2?", "prediction": "4", "target": "4", "scores": {"exact_match": 1.0}}
    return Item(name, **{**values, "path": "generation", **changes})


def test_items_come_back_sorted(tmp_path):
    file = ItemFile(tmp_path / "items" / "sums.jsonl")
    written = [item("c"), item("a", extra={"depth": 0.5, "nested": [1, None]}), item("b", prediction="half \ud800")]
    for one in written:
        file.add(one)
    read = read_items(file.file)
    assert read.items == [written[1], written[2], written[0]] and read.cut is None
    assert list(file.finished()) == ["a", "b", "c"]


@given(st.text(), st.text())
def test_any_text_comes_back(prompt, prediction):
    file = ItemFile(RUN / "texts.jsonl")
    name = str(len(file.finished()))
    file.add(item(name, prompt=prompt, prediction=prediction))
    assert file.finished()[name] == item(name, prompt=prompt, prediction=prediction)


@pytest.fixture(autouse=True, scope="module")
def _run(tmp_path_factory):
    global RUN
    RUN = tmp_path_factory.mktemp("run")


def test_a_line_is_cut_anywhere(tmp_path):
    file = ItemFile(tmp_path / "sums.jsonl")
    file.add(item("a", prompt="größer"))
    whole = file.file.stat().st_size
    file.add(item("b", prompt="größer"))
    text = file.file.read_bytes()
    for end in range(whole + 1, len(text)):
        file.file.write_bytes(text[:end])
        read = read_items(file.file)
        assert [one.id for one in read.items] == ["a"]
        assert read.cut == f"{file.file}:2: cut short while it was written; the item is left out"
        again = ItemFile(file.file)
        assert again.dropped == f"{file.file}:2: cut short while it was written; the item is done again"
        assert file.file.read_bytes() == text[:whole]
        again.add(item("b", prompt="größer"))
        assert file.file.read_bytes() == text and ItemFile(file.file).dropped is None


def test_a_killed_writer_loses_no_finished_item(tmp_path):
    """A process writes items and says which are finished, until it is killed."""
    script = (
        "import itertools, sys; from pathlib import Path\n"
        "from setaria.evaluation.items import Item, ItemFile\n"
        "file = ItemFile(Path(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    file.add(Item(str(number), 'p' * 5000, 'q', 't', {'m': 1.0}, 'generation'))\n"
        "    print(number, flush=True)\n"
    )
    path = tmp_path / "sums.jsonl"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        told = [int(process.stdout.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        told += [int(line) for line in process.stdout]
    finished = ItemFile(path).finished()
    assert told == list(range(len(told))) and {str(number) for number in told} <= set(finished)
    assert len(finished) <= len(told) + 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no item|Expecting value"),
        ("null", "no item: an object with extra, id, path"),
        ('{"id": "x"', "Expecting"),
        ('{"id": "x"}', "no item"),
        ("[" * 100_000, "recursion"),
        (json.dumps({**vars(item("z")), "more": 1}), "no item"),
        (json.dumps({**vars(item("z")), "scores": {"m": "1"}}), r"scores\['m'\]='1': a finite number"),
        (json.dumps({**vars(item("z")), "scores": {"m": float("nan")}}), r"scores\['m'\]=nan"),
        (json.dumps({**vars(item("z")), "path": "guessed"}), "path='guessed': one of generation, teacher_forced"),
        (json.dumps({**vars(item("z")), "id": 3}), "id=3: a text is expected"),
        (json.dumps({**vars(item("z")), "extra": {"weight": 0}}), r"extra\['weight'\]=0: a number above 0"),
        (json.dumps(vars(item("a"))), "the id 'a' is there twice"),
        ("\x00\x00\x00", "Expecting value"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f"{one}\n" for one in (json.dumps(vars(item("a"))), line, json.dumps(vars(item("c"))))))
    with pytest.raises(ValueError, match=rf"sums\.jsonl:2: .*({message})"):
        read_items(file)


def test_a_line_that_is_too_long_is_refused(tmp_path, monkeypatch):
    file = ItemFile(tmp_path / "sums.jsonl")
    file.add(item("a", prompt="p" * 300))
    monkeypatch.setattr("setaria.evaluation.items.MOST_LINE_BYTES", 200)
    with pytest.raises(ValueError, match="item 'b': longer than 200 bytes"):
        file.add(item("b", prompt="p" * 300))
    with pytest.raises(ValueError, match=r"sums\.jsonl:1: longer than 200 bytes"):
        read_items(file.file)


def test_what_json_cannot_hold_is_refused_before_it_is_written(tmp_path):
    file = ItemFile(tmp_path / "sums.jsonl")
    for extra in ({"set": {1}}, {"value": float("inf")}):
        with pytest.raises(ValueError, match="item 'a': "):
            file.add(item(extra=extra))
    assert not file.file.exists()


def test_slugs():
    assert slug("base / xquant-1.4 / trie") == "base-xquant-1.4-trie"
    assert slug("Modell größe 3") == "modell-größe-3"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("///") != slug("..") and len(slug("///")) == 8
    long = [slug("checkpoint " * 20 + end) for end in ("a", "b")]
    assert long[0] != long[1] and max(map(len, long)) <= 60


@given(st.text(min_size=1))
def test_an_item_file_stays_in_the_run(name):
    file = items_file(RUN, name, name)
    assert file.parent.parent == RUN / "items" and file.resolve().is_relative_to(RUN.resolve())
    assert not file.parent.name.startswith(".")


def test_means():
    """0, 0, 1, 1: mean .5; a bootstrap sample of four has mean 0 or 1 in 1 of 16 draws each, so the ends are 0 and 1.
    Weighted 3 : 1, 0 and 1 have mean 1 / 4."""
    assert mean_interval([0, 0, 1, 1]) == (0.5, 0.0, 1.0)
    assert mean_interval([0.0, 1.0], [3, 1])[0] == 0.25
    assert mean_interval([0.7]) == (0.7, None, None)
    assert mean_interval([2.0, 2.0, 2.0], [1, 5, 9]) == pytest.approx((2, 2, 2))
    with pytest.raises(ValueError, match="nothing to draw from"):
        mean_interval([])
    with pytest.raises(ValueError, match="1 weights of 2 values"):
        mean_interval([1, 2], [1])
    with pytest.raises(ValueError, match="above 0"):
        mean_interval([1, 2], [1, 0])


def test_the_order_of_items_does_not_matter():
    items = [item(str(place), scores={"m": float(place % 3)}, extra={"weight": 1 + place}) for place in range(30)]
    assert mean_score(items, "m") == mean_score(items[::-1], "m") == mean_score(items[7:] + items[:7], "m")
    # 0, 1, 2 in turn, with weights 1 .. 30: (2 + 5 + .. + 29 + 2 * (3 + 6 + .. + 30)) / 465 = (155 + 330) / 465
    assert mean_score(items, "m")[0] == pytest.approx(485 / 465) and mean_score(items, "m")[3] == 30
    with pytest.raises(ValueError, match="metric='n': none of 30 items has it"):
        mean_score(items, "n")

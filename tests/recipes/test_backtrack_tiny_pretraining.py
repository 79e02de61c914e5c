import json
from collections import Counter

import pytest
from PIL import Image
from transformers import AutoModelForImageTextToText

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import JUDGE, Prompts
from setaria.datasets_builders.worlds.app_tasks import write_world
from setaria.recipes.backtrack import tiny_base, tiny_model
from setaria.recipes.backtrack.tiny_pretraining import judging_rows, locating_rows, presence_rows, ticking_rows


def screen(number, *names):
    nodes = "".join(
        f'<android.widget.Button class="android.widget.Button" package="a" text="{name}" clickable="true" '
        f'scrollable="false" displayed="true" bounds="[0,{50 * place}][100,{50 * place + 40}]"/>'
        for place, name in enumerate(names)
    )
    return Page(f"a{number}", Image.new("RGB", (100, 200)), f"<hierarchy>{nodes}</hierarchy>")


# Each of A to F is on 6 or more pages, and so familiar; X and Y are on one each.
PAGES = [
    *(screen(number, "A", "B", "C", "D") for number in range(6)),
    *(screen(number, "E", "F", "A") for number in range(10, 16)),
    screen(20, "X", "A"),
    screen(21, "Y", "E"),
]
NAMES = {page.id: {element.name for element in page.elements} for page in PAGES}


def question(row):
    return row["prompt"][0]["content"][-1]["text"]


def answer(row):
    return row["completion"][0]["content"][0]["text"]


def test_what_is_located_is_in_the_list_once():
    for row in locating_rows(PAGES, 50, Prompts(), seed=1):
        lines = question(row).splitlines()
        wanted = lines[0].removeprefix("Task: Find ").removesuffix(".")
        assert [line for line in lines if f"<ref>{wanted}</ref>" in line] == [answer(row)]
        assert not row["images"]


def test_ticks_tell_what_is_on_the_last_page():
    rows = list(ticking_rows(PAGES, 60, Prompts(), seed=1))
    for row in rows:
        ticks = dict(line.split(" ") for line in answer(row).splitlines())
        there = {name for name, tick in ticks.items() if tick == "Yes"}
        assert there == set(ticks) & NAMES[row["page"]]
        assert not {"X", "Y"} & set(ticks)
        assert list(ticks) == sorted(ticks)
    # a0: A B C D are there, all four are asked for; E and F are not
    assert answer(next(row for row in rows if row["page"] == "a0")) == "A Yes\nB Yes\nC Yes\nD Yes\nE No\nF No"
    assert Counter(len(row["images"]) for row in rows) == {1: 30, 2: 30}


def test_presence_is_half_yes_and_about_the_last_page():
    rows = list(presence_rows(PAGES, 80, Prompts(), seed=1))
    for row in rows:
        name = question(row).removeprefix("Is it on the last screen?\nTask: Find ").removesuffix(".")
        assert answer(row) == ("Yes" if name in NAMES[row["page"]] else "No")
    assert Counter(map(answer, rows)) == {"Yes": 40, "No": 40}
    assert Counter((answer(row), len(row["images"])) for row in rows) == dict.fromkeys(
        [("Yes", 1), ("Yes", 2), ("No", 1), ("No", 2)], 20
    )


def test_a_judging_row_asks_about_the_page_after_the_action():
    rows = list(judging_rows(PAGES, 40, Prompts(), seed=1))
    for row in rows:
        *_, last = question(row).splitlines()
        name = last.removeprefix("Task: Find ").removesuffix(".")
        assert answer(row) == ("Yes" if name in NAMES[row["page"]] else "No")
        assert JUDGE in question(row) and len(row["images"]) == 2
    assert Counter(map(answer, rows)) == {"Yes": 20, "No": 20}


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """Split of one app of another seed, for which the base was not trained."""
    world = tmp_path_factory.mktemp("world")
    write_world(world, 0, 1, seed=3)
    return world / "held_out"


def test_pretraining_makes_a_model_that_differs(unseen, tmp_path):
    untrained, output = tmp_path / "untrained", tmp_path / "base"
    tiny_model.main(["--world", str(unseen), "--output", str(untrained)])
    names = ["--model", str(untrained), "--world", str(unseen), "--output", str(output)]
    tiny_base.main([*names, "--rows", "ticking=12", "presence=12", "judging=12", "--steps", "2"])
    before, after = (
        AutoModelForImageTextToText.from_pretrained(folder).state_dict() for folder in (untrained, output)
    )
    assert all((before[name] != after[name]).any() for name in before if name.endswith("weight"))
    assert json.loads((output / "trainer_state.json").read_text())["global_step"] == 2


@pytest.mark.parametrize("rows", ["reading=3", "ticking", "ticking=-1", "ticking=many"])
def test_rows_of_no_kind_are_refused(rows, capsys):
    with pytest.raises(SystemExit):
        tiny_base.main(["--model", "m", "--world", "w", "--output", "o", "--steps", "1", "--rows", rows])
    assert "KIND=COUNT" in capsys.readouterr().err

from collections import Counter

from PIL import Image

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import BAR, DESCRIBE, Prompts
from setaria.datasets_builders.worlds.apps import TOPICS, VISIBLE_TOPICS, generate_app
from setaria.recipes.backtrack.tiny_pretraining import (
    ROWS_PER_APP,
    judging_rows,
    locating_rows,
    reading_rows,
)


def screen(number, *names):
    nodes = "".join(
        f'<android.widget.Button class="android.widget.Button" package="a" text="{name}" clickable="true" '
        f'scrollable="false" displayed="true" bounds="[0,{50 * place}][100,{50 * place + 40}]"/>'
        for place, name in enumerate(names)
    )
    return Page(f"a{number}", Image.new("RGB", (100, 200)), f"<hierarchy>{nodes}</hierarchy>")


PAGES = [screen(number, *names) for number, names in enumerate(("ABCD", "EFA", "XA", "YE"))]


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


def test_a_judging_row_describes_the_second_screen():
    apps = [generate_app(number) for number in range(40, 60)]
    verdicts = Counter()
    for row in judging_rows(apps, Prompts(described=True), seed=1):
        names, task, verdict = answer(row).split("\n")
        topic = next(word for word in task.replace(BAR, "").removesuffix(".").split() if word in TOPICS)
        assert (topic in names.split(BAR)) == (topic + BAR in task) == (verdict == "Yes")
        assert question(row).endswith(f"Task: {task.replace(BAR, '')}")
        assert DESCRIBE in question(row) and len(row["images"]) == 2
        verdicts[verdict] += 1
    assert sum(verdicts.values()) == 20 * ROWS_PER_APP
    assert 20 <= verdicts["Yes"] <= 40  # at most a half: a home screen shows no topic


def test_a_reading_row_names_what_is_on_a_screen():
    app = generate_app(7)
    row = next(row for row in reading_rows([app], Prompts(), seed=2) if "section" in row["page"])
    section = next(name for name in app.layout if f"'{name}'" in row["page"])
    assert answer(row) == "".join(name + BAR for name in (section, "Back", *app.layout[section][:VISIBLE_TOPICS]))

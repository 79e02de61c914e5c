import re
from collections import Counter

from PIL import Image

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.worlds.apps import TOPICS, VISIBLE_TOPICS, generate_app
from setaria.recipes.backtrack.tiny_pretraining import comparing_rows, locating_rows, reading_rows


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


def test_a_comparing_row_tells_which_name_the_task_is_about():
    rows = list(comparing_rows(40, seed=1))
    for row in rows:
        names, _, task = question(row).split("\n")
        numbers = dict(re.findall(r"(\w+)(\(\d+\))", names))
        topic = next(word for word in task.removesuffix(".").split() if word in TOPICS)
        told, verdict = answer(row).split("\n")
        assert verdict == ("Yes" if topic in numbers else "No")
        assert told == task.removeprefix("Task: ").replace(topic, topic + numbers.get(topic, ""))
    assert Counter(answer(row).split("\n")[1] for row in rows) == {"Yes": 20, "No": 20}


def test_a_reading_row_describes_a_screen():
    app = generate_app(7)
    rows = list(reading_rows([app], Prompts(described=True), seed=2))
    assert [len(row["images"]) for row in rows] == [1, 1, 1]
    for row in rows[:2]:
        section = next(name for name in app.layout if f"'{name}'" in row["page"])
        shown = [section, "Back", *app.layout[section][:VISIBLE_TOPICS]]
        names, task, verdict = answer(row).split("\n")
        assert names == " ".join(f"{name}({number})" for number, name in enumerate(shown, 1))
        topic = next(word for word in re.findall(r"\w+", question(row).split("Task: ")[1]) if word in TOPICS)
        assert verdict == ("Yes" if topic in shown else "No")
        assert (f"{topic}({shown.index(topic) + 1})" if topic in shown else f"{topic}.") in task

"""The apps world: seeded, held-out apps apart, every task can be done, and every way to go wrong is in the graphs."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
from PIL import ImageFont

from setaria.datasets_builders.gui.elements import read_elements
from setaria.datasets_builders.gui.mobile3m import app_folders, read_app_graph
from setaria.datasets_builders.gui.pages import Page, line_overlap, pixel_difference, same_page
from setaria.datasets_builders.gui.tasks import distances, read_tasks
from setaria.datasets_builders.worlds.app_screens import FONTS, KINDS, PRIMARIES
from setaria.datasets_builders.worlds.app_tasks import (
    OPEN,
    OPEN_IN,
    SEARCH,
    TURN_ON,
    TURN_ON_IN,
    app_tasks,
    write_world,
)
from setaria.datasets_builders.worlds.apps import SECTIONS, SIZES, TOPICS, USUAL, VISIBLE_TOPICS, generate_app
from setaria.rewards.boxes import area, iou
from setaria.rewards.gui.actions import Click, Input, Scroll, format_action


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One app to train on and one held out, both of 360 x 640."""
    root = tmp_path_factory.mktemp("apps")
    write_world(root, apps=1, held_out_apps=1, seed=0)
    return root


@pytest.fixture(scope="module")
def graph(world):
    (folder,) = app_folders(world / "train")
    return read_app_graph(folder)


@pytest.fixture(scope="module")
def tasks(world):
    return read_tasks(world / "train" / "tasks.jsonl")


@pytest.fixture(scope="module")
def app():
    return generate_app(0)


@pytest.fixture(scope="module")
def some_apps():
    return [generate_app(seed, held_out) for seed in range(500) for held_out in (False, True)]


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_one_seed_gives_the_same_bytes_whatever_the_hashes(world, tmp_path):
    code = (
        "from pathlib import Path; from setaria.datasets_builders.worlds.app_tasks import write_world;"
        f"write_world(Path({str(tmp_path)!r}), apps=1, held_out_apps=0, seed=0)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "7"}, check=True)
    assert contents(tmp_path / "train") == contents(world / "train")
    assert contents(tmp_path / "held_out") == {"tasks.jsonl": b""}


def test_apps_are_seeded():
    assert [generate_app(seed) for seed in range(20)] == [generate_app(seed) for seed in range(20)]
    assert generate_app(3) != generate_app(4)
    assert generate_app(3, held_out=True) != generate_app(3)


def test_held_out_apps_are_others(some_apps):
    train, held_out = some_apps[::2], some_apps[1::2]
    assert len({app.name for app in some_apps}) == len(some_apps) == 1000

    def layouts(apps):
        return {str(sorted((section, sorted(topics)) for section, topics in app.layout.items())) for app in apps}

    assert len(layouts(train)) == len(layouts(held_out)) == 500
    assert layouts(train).isdisjoint(layouts(held_out))


def test_both_splits_are_written(world, graph):
    (folder,) = app_folders(world / "held_out")
    held_out = read_app_graph(folder)
    assert held_out.app != graph.app
    assert {task.app for task in read_tasks(world / "held_out" / "tasks.jsonl")} == {held_out.app}
    assert held_out.page(held_out.root).size == graph.page(graph.root).size == (360, 640)


def test_every_app_has_four_filled_sections_and_fourteen_topics(some_apps):
    for app in some_apps:
        topics = [topic for topics in app.layout.values() for topic in topics]
        assert len(app.layout) == 4 and all(app.layout.values())
        assert len(topics) == len(set(topics)) == 14
        assert set(app.texts) < set(topics) and len(app.texts) == 2


def test_share_of_topics_in_their_usual_section(some_apps):
    """.6 are put there, a quarter of the other .4 gets there by chance: .7. One in 14 x 4 / 6 = 9.3 such topics
    of 1000 apps deviates by .46 / sqrt(9333) = .005."""
    assert USUAL == 0.6
    found = [
        TOPICS[topic][1] == section
        for app in some_apps
        for section, topics in app.layout.items()
        for topic in topics
        if TOPICS[topic][1] in app.layout
    ]
    assert len(found) == pytest.approx(1000 * 14 * 4 / 6, rel=0.05)
    assert sum(found) / len(found) == pytest.approx(0.7, abs=0.02)


def test_every_section_is_usual_for_four_topics():
    assert Counter(section for _, section in TOPICS.values()) == dict.fromkeys(SECTIONS, 4)


def test_looks_vary(some_apps):
    assert {app.size for app in some_apps} == set(SIZES)
    small = sum(app.size == SIZES[0] for app in some_apps)
    assert small / len(some_apps) == pytest.approx(0.8, abs=0.05)
    assert {app.theme.primary for app in some_apps} == set(PRIMARIES)
    for looks in zip(*((app.theme.dark, app.theme.rules, app.grid) for app in some_apps), strict=True):
        assert 0.2 < sum(looks) / len(looks) < 0.6
    assert {app.theme.round for app in some_apps} == {4, 12, 24}
    assert sum(len(topics) > VISIBLE_TOPICS for app in some_apps for topics in app.layout.values()) > 800


def states(app):
    topics = [topic for topics in app.layout.values() for topic in topics]
    yield app.start
    yield ("advertisement",)
    yield from (("section", section, scrolled) for section in app.layout for scrolled in (False, True))
    yield from (("results", topic) for topic in app.texts)
    for topic in topics:
        yield from (("topic", topic, ""), ("topic", topic, app.texts[0]), ("dialog", topic), ("done", topic))


def test_everything_is_on_the_screen_and_nothing_covers_another(some_apps):
    for app in some_apps[:40]:
        width, height = app.size
        for state in states(app):
            screen = read_elements(app.screen(state).xml)
            assert all(0 <= one.box[0] < one.box[2] <= width for one in screen), state
            assert all(0 <= one.box[1] < one.box[3] <= height for one in screen), state
            leaves = [one for one in screen if not one.scrollable]
            assert all(iou(one.box, other.box) == 0 for one, other in combinations(leaves, 2)), state
            named = [one.name for one in leaves if one.clickable]
            assert len(named) == len(set(named)), state


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("grid", [False, True], ids=["list", "grid"])
def test_what_the_hierarchy_says_is_drawn(some_apps, size, grid):
    app = next(app for app in some_apps if (app.size, app.grid) == (size, grid))
    section = max(app.layout, key=lambda section: len(app.layout[section]))
    topic = app.layout[section][0]
    for state in (app.start, ("section", section, True), ("topic", topic, ""), ("dialog", topic), ("advertisement",)):
        screen = app.screen(state)
        assert screen.image.size == size
        for one in read_elements(screen.xml):
            if not one.scrollable:
                colours = screen.image.crop(tuple(map(int, one.box))).getcolors(1 << 20)
                assert len(colours) > 5, (state, one.name)  # letters have smooth edges
    assert app.screen(app.start).image.tobytes() != app.screen(("advertisement",)).image.tobytes()


def test_a_grid_has_two_columns(some_apps):
    app = next(app for app in some_apps if app.grid and app.size == (360, 640))
    boxes = {one.name: one.box for one in read_elements(app.screen(app.start).xml)}
    assert [boxes[section] for section in app.layout] == [
        (8, 156, 176, 260),
        (184, 156, 352, 260),
        (8, 268, 176, 372),
        (184, 268, 352, 372),
    ]
    section = next(iter(app.layout))
    entries = [one.box for one in read_elements(app.screen(("section", section, False)).xml) if one.name in TOPICS]
    assert {(box[0], box[2]) for box in entries} == {(0, 360)}


def test_the_font_has_every_glyph():
    font = ImageFont.truetype(str(FONTS / "DejaVuSans.ttf"), 40)
    missing = bytes(font.getmask("\uffff"))
    glyphs = [*SECTIONS.values(), *(glyph for glyph, _ in TOPICS.values()), "✔", "✪", "←", "⊕"]
    assert len({bytes(font.getmask(glyph)) for glyph in glyphs} - {missing}) == len(glyphs)


def test_every_kind_of_widget_is_used(some_apps):
    used = {widget.kind for state in states(some_apps[0]) for widget in some_apps[0].screen(state).widgets}
    assert used == set(KINDS)


def state_after(app, steps):
    state = app.start
    for step in steps:
        state = app.act(state, step.action)
    return state


def test_gold_steps_reach_the_goal(app, graph, tasks):
    """On the graph, and in the app itself, by no longer a way than the shortest."""
    assert len(tasks) == 12 * 2 + 2  # each topic is opened and turned on, two are searched for
    for task in tasks:
        assert (task.app, task.start) == (graph.app, graph.root)
        here = task.start
        for step in task.steps:
            assert step.page == here
            here = graph.outcome(here, graph.action_id(graph.page(here), step.action))
            assert step.after == here
        assert here == task.goal
        assert len(task.steps) == distances(graph, task.goal)[task.start] > 0
        screen = app.screen(state_after(app, task.steps))
        assert same_page(Page("", screen.image, screen.xml), graph.page(task.goal))


def test_goals_are_what_the_instructions_say(app, tasks):
    topics = {topic: section for section, topics in app.layout.items() for topic in topics}
    for task in tasks:
        kind, topic, *_ = state_after(app, task.steps)
        forms = {"topic": (*OPEN, *OPEN_IN), "done": (*TURN_ON, *TURN_ON_IN), "results": SEARCH}[kind]
        assert task.instruction in [form.format(topic=topic, section=topics[topic]) for form in forms]
        assert (kind == "results") is (topic in app.texts)
    assert len({task.goal for task in tasks}) == len({task.id for task in tasks}) == len(tasks)
    assert sorted({len(task.steps) for task in tasks}) == [1, 2, 3, 4, 5]  # a search; scrolled and turned on


def test_each_task_has_one_shortest_way(graph, tasks):
    after: dict[str, list[str]] = {}
    for (page, _), outcome in graph.edges.items():
        after.setdefault(page, []).append(graph.unique_of[outcome])
    for task in tasks:
        left = distances(graph, task.goal)
        for step in task.steps:
            nearer = [page for page in after[step.page] if left.get(page, 99) < left[step.page]]
            assert nearer == [step.after]


def test_wording_does_not_tell_the_place(app, graph, tasks):
    """An app of another name, here in capitals, words the same tasks in another way."""
    others = app_tasks(replace(app, name=app.name.upper()), graph, seed=0)
    assert [task.goal for task in others] == [task.goal for task in tasks]
    equal = sum(one.instruction == other.instruction for one, other in zip(tasks, others, strict=True))
    assert equal < len(tasks) / 2  # by chance a third: 2 of 2 searches, 1/6 of 12 to open, 1/4 of 12 to turn on
    assert app_tasks(app, graph, seed=0) == tasks
    assert app_tasks(app, graph, seed=1) != tasks


def test_half_of_the_instructions_name_the_section(app, graph):
    """240 tasks of ten seeds deviate by .5 / sqrt(240) = .03."""
    worded = [task.instruction for seed in range(10) for task in app_tasks(app, graph, seed)]
    named = [" in " in instruction for instruction in worded if not instruction.startswith("Search")]
    assert len(named) == 240
    assert sum(named) / len(named) == pytest.approx(0.5, abs=0.1)


def found(graph, page, action):
    number = graph.action_id(graph.page(page), action)
    assert number is not None
    return number


def named(graph, page, name, kind=Click):
    """The action on the element of that name, as the page offers it."""
    return next(one for one in graph.page(page).actions if isinstance(one, kind) and one.text == name)


def visit(graph, *names):
    """The page after some clicks from the home screen."""
    here = graph.root
    for name in names:
        here = graph.outcome(here, found(graph, here, named(graph, here, name)))
    return here


def test_actions_that_fail(graph):
    sync = found(graph, graph.root, named(graph, graph.root, "Sync"))
    assert sync in graph.invalid[graph.root]
    assert graph.outcome(graph.root, sync) is None
    assert not graph.effective(graph.root, sync)


def test_actions_without_effect(app, graph):
    section = next(section for section, topics in app.layout.items() if len(topics) > VISIBLE_TOPICS)
    topic = visit(graph, section, app.layout[section][0])
    listing = visit(graph, section)
    sideways = next(one for one in graph.page(listing).actions if one == Scroll(one.box, "left"))
    for page, action in ((topic, named(graph, topic, "Share")), (listing, sideways)):
        number = found(graph, page, action)
        assert number in graph.valid[page]
        assert graph.outcome(page, number) == page
        assert not graph.effective(page, number)


def test_inputs_that_barely_change_the_page(app, graph):
    """A note is new text in one of six lines: another page in the app, the same by the rule."""
    section, (topic, *_) = next(iter(app.layout.items()))
    page = visit(graph, section, topic)
    typed = Input(named(graph, page, "Note").box, "Note", app.texts[0])
    number = found(graph, page, typed)
    assert graph.outcome(page, number) == page
    raw = graph.edges[page, number]
    before, after = graph.page(page), graph.page(raw)
    assert app.texts[0] in after.xml and app.texts[0] not in before.xml
    assert 0.5 < line_overlap(before, after) < 1
    assert 0 < pixel_difference(before, after) < 0.3


def test_a_search_is_an_input_that_matters(app, graph):
    box = named(graph, graph.root, "Search").box
    results = {graph.outcome(graph.root, found(graph, graph.root, Input(box, "Search", text))) for text in app.texts}
    assert len(results - {graph.root}) == 2
    assert graph.action_id(graph.page(graph.root), Input(box, "Search", "never typed")) is None


def test_actions_to_a_wrong_page(graph, tasks):
    """On the page before each goal, another action leads to a page that is farther from it."""
    for task in tasks:
        left, last = distances(graph, task.goal), task.steps[-1].page
        outcomes = {graph.outcome(last, number) for number in graph.valid[last]}
        assert any(left.get(page, 0) > left[last] for page in outcomes - {last})


def test_a_dead_end(graph, tasks):
    advert = visit(graph, "Get Premium")
    assert {element.package for element in graph.page(advert).elements} == {"com.superstar"}
    assert graph.valid[advert] == []
    assert not any(page == advert for page, _ in graph.edges)
    assert all(advert not in distances(graph, task.goal) for task in tasks)


def test_scrolling_shows_the_other_topics_and_back(app, graph):
    section = next(section for section, topics in app.layout.items() if len(topics) > VISIBLE_TOPICS)
    listing = visit(graph, section)
    (up,) = [one for one in graph.page(listing).actions if isinstance(one, Scroll) and one.direction == "up"]
    rest = graph.outcome(listing, found(graph, listing, up))
    names = [[one.name for one in graph.page(page).elements if one.name in TOPICS] for page in (listing, rest)]
    assert names == [app.layout[section][:VISIBLE_TOPICS], app.layout[section][VISIBLE_TOPICS:]]
    assert graph.outcome(rest, found(graph, rest, Scroll(up.box, "down"))) == listing


def test_back_goes_to_the_section_and_home(app, graph):
    section, (topic, *_) = next(iter(app.layout.items()))
    assert visit(graph, section, topic, "Back") == visit(graph, section)
    assert visit(graph, section, topic, "Back", "Back") == graph.root
    assert visit(graph, section, topic, "Turn on", "No") == visit(graph, section, topic)
    assert visit(graph, section, topic, "Turn on", "Yes", "Back") == visit(graph, section)


def test_actions_are_short_for_small_models(graph):
    texts = [format_action(action) for name in graph.unique_pages for action in graph.page(name).actions]
    assert max(map(len, texts)) < 80
    assert all(area(one.box) for name in graph.unique_pages for one in graph.page(name).elements)

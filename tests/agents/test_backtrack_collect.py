"""A generator's replies become judgment, reflection and grounding rows: which, how many, and what they hold."""

import pytest
from mobile3m_trees import ROOT, TYPED, Shop
from PIL import Image

from setaria.agents.backtrack.collect import CollectConfig, collected_rows, generator_rows, naming_rows
from setaria.agents.backtrack.moments import moments
from setaria.datasets_builders.gui.drawing import draw_action
from setaria.datasets_builders.gui.mobile3m import read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.gui.tasks import Task, shortest_paths
from setaria.models.box_codec import CODECS
from setaria.rewards.gui.actions import Click, Complete, Input


LIST, FAR = f"{ROOT}_0", f"{ROOT}_1"
PROMPTS = Prompts()
SCREEN = Page("screen", Image.new("RGB", (40, 60)))
THERE = Click((0.0, 0.0, 40.0, 9.0), "a > b, </p> 'c'")
SEARCH = Input((0.0, 50.0, 40.0, 60.0), "Search", TYPED)
HI, STUCK = Click((0.0, 1.0, 40.0, 10.0), 'say "hi"'), Click((0.0, 2.0, 40.0, 11.0), "Stuck")
BROKEN, ADVERT = Click((0.0, 3.0, 40.0, 12.0), "Broken"), Click((0.0, 4.0, 40.0, 13.0), "Advert")
WHITE, RED, BLUE, GREEN = (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 128, 0)  # home, list, far, advertisement


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return read_app_graph(write_app_graph(Shop(), tmp_path_factory.mktemp("mobile3m")))


@pytest.fixture(scope="module")
def found(graph):
    """A task of one click from home to the list: at home, and at its end."""
    task = Task("list", graph.app, "Open the list.", ROOT, LIST, shortest_paths(graph, ROOT)[LIST])
    return list(moments([task], {graph.app: graph}))


def said(action):
    return action if isinstance(action, str) else PROMPTS.write(action, SCREEN)


def told(action):
    return f"click {action.text}"


def collected(found, *samples, **config):
    """Rows of a generator that answers the conversations of all steps by one list after another."""
    left = iter(samples)
    settings = CollectConfig(samples=len(samples), **config)
    return list(collected_rows(found, lambda asked: [said(reply) for reply in next(left)], PROMPTS, settings))


def text(row):
    return row["prompt"][0]["content"][-1]["text"]


def completion(row):
    return row["completion"][0]["content"][0]["text"]


def colours(row):
    return [image.getpixel((20, 40)) for image in row["images"]]


def judgments(rows):
    """What was judged and how: the action's line, the two screens, Yes or No."""
    judged = [row for row in rows if row["role"] == "judger"]
    return [(text(row).split("\nAction: ")[1].splitlines()[0], *colours(row), completion(row)) for row in judged]


def tried(row):
    listed = text(row).split("These did not help:\n")[1].split("\nActions:")[0]
    return listed.splitlines()


def test_rows_of_one_sample(graph, found):
    """At home a wrong action, at the list the end: two judgments, and by default one reflection."""
    rows = collected(found, [HI, Complete()], reflect_right=0.0)
    assert [row["role"] for row in rows] == ["judger", "reflector", "judger"]
    assert judgments(rows) == [(said(HI), WHITE, BLUE, "No"), ("complete()", RED, RED, "Yes")]
    reflection = rows[1]
    assert (tried(reflection), colours(reflection), completion(reflection)) == ([told(HI)], [WHITE, BLUE], said(THERE))
    assert [{name: row[name] for name in ("app", "task", "page")} for row in rows] == [
        *[{"app": graph.app, "task": "list", "page": ROOT}] * 2,
        {"app": graph.app, "task": "list", "page": LIST},
    ]
    assert f"Task: Open the list.\nDone:\n{said(THERE)}\n" in text(rows[2])
    assert row_dataset(rows).column_names == ["role", "prompt", "completion", "images", "app", "task", "page"]


def test_equivalent_pages_count(found):
    """The search leads to the list too; nothing else does."""
    rows = collected(found[:1], [THERE], [SEARCH], [HI], [STUCK], [BROKEN], [ADVERT])
    after = [RED, RED, BLUE, WHITE, WHITE, GREEN]
    assert judgments(rows) == [
        (said(action), WHITE, colour, "Yes" if colour == RED else "No")
        for action, colour in zip((THERE, SEARCH, HI, STUCK, BROKEN, ADVERT), after, strict=True)
    ]


def test_the_end_before_the_goal_and_as_impossible(found):
    rows = collected(found, [Complete(), Complete(False)], reflect_wrong=0.0)
    assert judgments(rows) == [("complete()", WHITE, WHITE, "No"), ("complete(impossible)", RED, RED, "No")]


@pytest.mark.parametrize("rubbish", ["", "I would click on Save.", "click(<box>[1,2]</box>)", "x" * 5000])
def test_rubbish_makes_no_row(found, rubbish):
    assert collected(found, [rubbish, rubbish]) == []
    assert len(collected(found, [rubbish, HI])) == 2


def test_samples_of_one_action_make_one_row(found):
    rows = collected(found[:1], [HI], [HI], ["rubbish"], [STUCK], [HI])
    assert [row["role"] for row in rows] == ["judger", "judger", "reflector", "reflector"]


def test_all_wrong_and_a_fifth_of_the_right_actions(found):
    """1000 moments: of 1000 wrong actions each, of 1000 right ones 200 with a deviation of 12.6."""
    many = found[:1] * 1000
    rows = collected(many, [THERE] * 1000, [HI] * 1000)
    reflections = [tried(row) for row in rows if row["role"] == "reflector"]
    assert reflections.count([told(HI)]) == 1000
    assert 160 < reflections.count([told(THERE)]) < 240
    assert len(judgments(rows)) == 2000
    assert CollectConfig().reflect_wrong == 1.0 and CollectConfig().reflect_right == 0.2


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 1)])
def test_other_shares(found, share, count):
    for action, name in ((THERE, "reflect_right"), (HI, "reflect_wrong")):
        rows = collected(found[:1], [action], **{name: share, "seed": 3})
        assert sum(row["role"] == "reflector" for row in rows) == count


def test_attempts_add_up_until_they_are_cut(found):
    """A right action is shown alone, wrong ones with the wrong ones before; the page is that after the last."""
    samples = [[HI], [STUCK], [THERE], [ADVERT], [BROKEN]]
    rows = [row for row in collected(found[:1], *samples, reflect_right=1.0) if row["role"] == "reflector"]
    hi, stuck, there, advert, broken = (told(action) for (action,) in samples)
    assert [tried(row) for row in rows] == [
        [hi],
        [hi, stuck],
        [there],
        [hi, stuck, advert],
        [stuck, advert, broken],
    ]
    assert [colours(row) for row in rows] == [[WHITE, after] for after in (BLUE, WHITE, RED, GREEN, WHITE)]
    assert {completion(row) for row in rows} == {said(THERE)}
    rows = [row for row in collected(found[:1], *samples, tried=1) if row["role"] == "reflector"]
    assert [tried(row) for row in rows if tried(row) != [there]] == [[hi], [stuck], [advert], [broken]]


def test_explored_candidates_are_tried_after_the_replies(found):
    """`complete` and all clicks and scrolls of the page, inputs not; what was said already is not tried again."""
    home = found[:1]
    rows = collected(home, [HI], explored=100)
    candidates = [said(action) for action in [Complete(), *home[0].page.actions] if not isinstance(action, Input)]
    judged = [line for line, *_ in judgments(rows)]
    assert judged[0] == said(HI)
    assert sorted(judged) == sorted({*candidates, said(HI)})
    reflections = [row for row in rows if row["role"] == "reflector"]
    assert all(told(HI) in tried(row) for row in reflections[:3])  # at most three are shown
    few = [line for line, *_ in judgments(collected(home, [HI], explored=1, seed=5))]
    assert len(few) in (1, 2) and few[0] == said(HI)


def test_simulated_outcomes_are_drawn(found):
    """The labels are still those of the real outcomes."""
    rows = collected(found[:1], [HI], [THERE], simulated=True, reflect_right=1.0)
    assert [completion(row) for row in rows if row["role"] == "judger"] == ["No", "Yes"]
    drawn = {action: draw_action(found[0].page, action).image.tobytes() for action in (HI, THERE)}
    assert [row["images"][1].tobytes() for row in rows] == [drawn[HI], drawn[THERE]] * 2
    assert all(row["images"][0].tobytes() == found[0].page.image.tobytes() for row in rows)


def test_gold_judgments(found):
    """Each gold action becomes a judgment once, and no reflection of its own."""
    rows = collected(found, [HI, "rubbish"], gold_judgments=1.0)
    assert judgments(rows) == [
        (said(HI), WHITE, BLUE, "No"),
        (said(THERE), WHITE, RED, "Yes"),
        ("complete()", RED, RED, "Yes"),
    ]
    assert [row["role"] for row in rows].count("reflector") == 1
    assert len(judgments(collected(found[:1], [THERE], gold_judgments=1.0))) == 1
    half = collected(found[:1] * 400, ["rubbish"] * 400, gold_judgments=0.5)
    assert 160 < len(half) < 240


def test_a_gold_action_that_was_also_predicted_is_judged_once_for_all_its_rounding(found):
    """A model that sees half of the pixels writes (0, 3, 40, 12) as (0, 2, 20, 6), which is read as (0, 4, 40, 12)."""
    prompts = Prompts(CODECS["qwen2_5_vl"], processed_size=lambda _: (20, 30))
    moment = found[0]
    written = prompts.write(moment.action, moment.page)
    rounded = prompts.read(written, moment.page)
    assert moment.action.box == (0, 0, 40, 9) and rounded.box == (0, 0, 40, 8)
    config = CollectConfig(gold_judgments=1.0, reflect_right=0.0)
    (row,) = collected_rows([moment], lambda asked: [written], prompts, config)
    assert (completion(row), colours(row)) == ("Yes", [WHITE, RED])


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 1), (0.5, 4), (0.9, 36)])
def test_the_share_of_naming_rows(found, share, count):
    """Beside four other rows 4 s / (1 - s) make a share of s; 1.33 is 1 row."""
    rows = collected(found, [HI, HI], naming_share=share)
    naming = [row for row in rows if row["role"] == "naming"]
    assert len(rows) - len(naming) == 4 and rows[4:] == naming
    assert len(naming) == count


def test_naming_rows(graph):
    """One page, or the second of two; the answer is what can be read on the last."""
    rows = list(naming_rows([graph], 60, PROMPTS, seed=0))
    names = {
        WHITE: "a > b, </p> 'c'(1) say \"hi\"(2) Stuck(3) Broken(4) Advert(5) Search(6)",
        **{RED: "Back(1) Far(2)", BLUE: "Back(1)", GREEN: "Back(1)"},
    }
    assert [len(row["images"]) for row in rows] == [1, 2] * 30
    assert [completion(row) for row in rows] == [names[colours(row)[-1]] for row in rows]
    assert {colours(row)[-1] for row in rows} == {colours(row)[0] for row in rows} == set(names)
    assert all(text(row) == "Name what can be used on the last screen." for row in rows)
    places = {row["page"] for row in rows}
    assert places == set(graph.unique_pages) and {row["app"] for row in rows} == {graph.app}
    again = [(row["page"], colours(row)) for row in naming_rows([graph], 60, PROMPTS, seed=0)]
    assert again == [(row["page"], colours(row)) for row in rows]
    assert again != [(row["page"], colours(row)) for row in naming_rows([graph], 60, PROMPTS, seed=1)]


def test_generator_rows(found):
    rows = list(generator_rows(found, PROMPTS))
    assert [(row["role"], completion(row), colours(row)) for row in rows] == [
        ("generator", said(THERE), [WHITE]),
        ("generator", "complete()", [RED]),
    ]
    assert [text(row).endswith("\nNext action?") for row in rows] == [True, True]


def test_the_same_seed_makes_the_same_rows(found):
    config = {"reflect_right": 0.5, "gold_judgments": 0.5, "naming_share": 0.5}
    many, predicted = found * 20, [THERE, Complete()] * 20
    first, again, other = (
        [(text(row), completion(row)) for row in collected(many, predicted, **config, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_the_generator_is_asked_about_all_steps_once_per_sample(found):
    asked = []

    def predict(conversations):
        asked.append(conversations)
        return ["rubbish"] * 2

    assert list(collected_rows(found, predict, PROMPTS, CollectConfig(samples=3))) == []
    assert [len(conversations) for conversations in asked] == [2, 2, 2]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_other_than_one_reply_per_step(found, count):
    with pytest.raises(ValueError, match="zip"):
        collected(found, [THERE, Complete()], [THERE] * count)


def test_nothing_to_collect_from():
    assert collected([], [], naming_share=0.5) == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        *((name, (-0.1, 1.1)) for name in ("reflect_wrong", "reflect_right", "gold_judgments")),
        ("naming_share", (-0.1, 1.0)),
        ("samples", (0,)),
        ("explored", (-1,)),
        ("tried", (0,)),
    ],
)
def test_settings_that_are_none(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"{field}={value}"):
            CollectConfig(**{field: value})

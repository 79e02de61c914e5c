"""Drawn apps: where states lead, and which actions help."""

import pytest

from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.worlds.apps import TOPICS, generate_app
from setaria.recipes.backtrack.lab_drawn import DrawnApp, judging_rows, reflecting_rows
from setaria.rewards.gui.actions import Complete


PROMPTS = Prompts(described=True)
APPS = [generate_app(5_000_000 + number) for number in range(12)]


@pytest.fixture
def drawn():
    return DrawnApp(APPS[0])


def texts(row):
    return row["prompt"][0]["content"][-1]["text"], row["completion"][0]["content"][0]["text"]


def test_ways_lead_where_they_say(drawn):
    for state, way in drawn.ways.items():
        reached = drawn.app.start
        for action in way:
            assert action in drawn.actions(reached)
            reached = drawn.after(reached, action)
        assert reached == state


def test_every_topic_is_two_clicks_away_or_three_with_a_scroll(drawn):
    for section, topics in drawn.app.layout.items():
        for place, topic in enumerate(topics):
            scrolled = place >= 4 and topic not in drawn.app.searchable  # a search that finds it takes two as well
            assert len(drawn.ways["topic", topic, ""]) == (3 if scrolled else 2)
            assert drawn.distances(("topic", topic, ""))["section", section, place >= 4] == 1


def test_the_advertisement_leads_nowhere(drawn):
    topic = next(iter(drawn.app.layout.values()))[0]
    assert ("advertisement",) in drawn.ways
    assert ("advertisement",) not in drawn.distances(("topic", topic, ""))


def test_what_cannot_be_done_and_the_end_change_nothing(drawn):
    (sync,) = (action for action in drawn.actions(drawn.app.start) if getattr(action, "text", "") == "Sync")
    assert drawn.after(drawn.app.start, sync) == drawn.after(drawn.app.start, Complete()) == drawn.app.start


def test_rows_are_judgments_of_both_kinds():
    rows = list(judging_rows(APPS, PROMPTS, simulated=False, seed=0))
    assert len(rows) == 36 and all(row["role"] == "judger" and len(row["images"]) == 2 for row in rows)
    verdicts = [texts(row)[1].splitlines()[-1] for row in rows]
    assert 9 <= verdicts.count("Yes") <= 27 and set(verdicts) == {"Yes", "No"}
    assert [texts(row) for row in judging_rows(APPS, PROMPTS, simulated=False, seed=0)] == [texts(row) for row in rows]


def test_verdicts():
    """A click on the topic to be opened or turned on is right; the end is wrong where nothing was done."""
    on_topic, at_once = set(), set()
    for seed in range(8):
        for row in judging_rows(APPS, PROMPTS, simulated=False, seed=seed):
            question, answer = texts(row)
            task, _, done = question.splitlines()[:3]
            action = question.split("\nAction: ")[1].splitlines()[0]
            verdict = answer.splitlines()[-1]
            (topic,) = (topic for topic in TOPICS if topic in task)
            if action.startswith(f"click(<ref>{topic}</ref>") and "Search" not in task:
                on_topic.add(verdict)
            if action == "complete()" and done == "nothing":
                at_once.add(verdict)
    assert (on_topic, at_once) == ({"Yes"}, {"No"})


def test_simulated_outcomes_are_drawn_on_the_page():
    actual, simulated = (list(judging_rows(APPS, PROMPTS, one, seed=0)) for one in (False, True))
    assert [texts(row)[0] for row in actual] == [texts(row)[0] for row in simulated]
    assert [texts(row)[1][-3:] for row in actual] == [texts(row)[1][-3:] for row in simulated]
    assert any(one["images"][1] != other["images"][1] for one, other in zip(actual, simulated, strict=True))


def test_reflections():
    """No attempt is the answer, which is a candidate that is left, or the end; both rows are about the same."""
    rows = list(reflecting_rows(APPS, PROMPTS, seed=0))
    assert len(rows) == 24 and {row["role"] for row in rows} == {"reflector"}
    for actual, simulated in zip(rows[::2], rows[1::2], strict=True):
        question, answer = texts(actual)
        assert texts(simulated) == (question, answer)
        tried = question.split("These did not help:\n")[1].split("\nActions:")[0].splitlines()
        assert 1 <= len(tried) <= 3 and answer not in tried
        left = question.split("\nActions:\n")[1].splitlines()[:-1]
        assert answer == "complete()" or answer.startswith("input(") or answer in left
    assert any(one["images"][1] != other["images"][1] for one, other in zip(rows[::2], rows[1::2], strict=True))

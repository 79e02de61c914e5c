"""A walked graph as an environment, and what is right for a task in it."""

import pytest
from mobile3m_trees import ROOT, TYPED, Shop, change

from setaria.agents.backtrack.environment import Outcome
from setaria.agents.backtrack.gold import GraphGold
from setaria.agents.backtrack.page_graph import PageGraph
from setaria.datasets_builders.gui.mobile3m import read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.tasks import GoldStep, Task, shortest_paths
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Press, Scroll, Wait


LIST, FAR, ADVERT = f"{ROOT}_0", f"{ROOT}_1", f"{ROOT}_4"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_app_graph(Shop(), tmp_path_factory.mktemp("mobile3m"))


@pytest.fixture(scope="module")
def graph(tree):
    return read_app_graph(tree)


def button(graph, page, text):
    return next(action for action in graph.page(page).actions if isinstance(action, Click) and action.text == text)


def test_a_walk_there_and_back(graph):
    environment = PageGraph(graph)
    assert environment.observe().id == environment.snapshot() == ROOT
    outcome = environment.execute(button(graph, ROOT, "a > b, </p> 'c'"))
    assert (outcome.page.id, outcome.valid, outcome.changed, outcome.reason) == (LIST, True, True, "")
    token = environment.snapshot()
    assert environment.execute(button(graph, LIST, "Far")).page.id == environment.observe().id == FAR
    assert environment.restore(token) is True
    assert environment.observe().id == LIST
    outcome = environment.execute(button(graph, LIST, "Back"))
    assert (outcome.page.id, outcome.changed) == (ROOT, True)  # another capture of it, the same unique page
    assert environment.restore(token) and environment.snapshot() == token


def test_it_starts_where_it_is_told_to(graph):
    assert PageGraph(graph, FAR).observe().id == FAR
    outcome = PageGraph(graph, FAR).execute(button(graph, FAR, "Back"))
    assert outcome.page.id == ROOT


FIELD, LISTED = (0.0, 50.0, 40.0, 60.0), (1.0, 10.0, 40.0, 47.0)
STUCK = Click((0.0, 2.0, 40.0, 11.0), "Stuck")
BROKEN, ALONE = (0.0, 3.0, 40.0, 12.0), (0.0, 30.0, 9.0, 34.0)


@pytest.mark.parametrize(
    ("action", "page", "valid", "reason"),
    [
        (STUCK, ROOT, True, ""),
        (Scroll(LISTED, "up"), ROOT, True, ""),
        (Input(FIELD, "Search", "x"), ROOT, True, ""),
        (Input(FIELD, "Search", TYPED), LIST, True, ""),
        (Input(FIELD, "Search", "y"), ROOT, None, "no walk tried this action here"),
        (LongPress(BROKEN, "Broken"), ROOT, None, "no walk tried this action here"),
        (Press("back"), ROOT, None, "no walk tried this action here"),
        (Click(BROKEN, "Broken"), ROOT, False, "its execution failed"),
        (Click(ALONE, "Send"), ROOT, False, "no such element on the page"),
        (Click((40.0, 0.0, 50.0, 9.0), "Broken"), ROOT, False, "the middle of (40.0, 0.0, 50.0, 9.0) is outside"),
    ],
)
def test_valid_invalid_and_untried(graph, action, page, valid, reason):
    environment = PageGraph(graph)
    outcome = environment.execute(action)
    assert (outcome.page.id, outcome.valid, outcome.changed) == (page, valid, page != ROOT)
    assert outcome.reason.startswith(reason) and bool(outcome.reason) == bool(reason)
    assert environment.observe().id == page


def test_a_page_of_another_package_was_not_expanded(graph):
    outcome = PageGraph(graph, ADVERT).execute(button(graph, ADVERT, "Back"))
    assert (outcome.page.id, outcome.valid, outcome.changed) == (ADVERT, None, False)


def test_a_valid_action_whose_edge_is_missing_is_unknown(tmp_path):
    """Action 1, the second button at home, is listed as valid but joins no pages."""
    folder = write_app_graph(Shop(), tmp_path)
    change(folder, "all_triple", lambda table: table["data"].remove([ROOT, 1, f"{ROOT}_1"]))
    graph = read_app_graph(folder)
    outcome = PageGraph(graph).execute(button(graph, ROOT, 'say "hi"'))
    assert (outcome.page.id, outcome.valid, outcome.changed, outcome.reason) == (ROOT, None, False, "no edge")


def test_a_start_that_is_no_page(graph):
    with pytest.raises(ValueError, match="'moon0' is no page of this app"):
        PageGraph(graph, "moon0").observe()


@pytest.fixture(scope="module")
def gold(graph):
    """Of a task from home to the far page, one click away."""
    return GraphGold(graph, Task("t", graph.app, "Go far.", ROOT, FAR, shortest_paths(graph, ROOT)[FAR]))


def test_right_actions(graph, gold):
    """On the way the task's own, elsewhere one that comes closer, at the goal the end, nothing in a dead end."""
    assert gold.action(graph.page(ROOT)) == button(graph, ROOT, 'say "hi"')
    assert gold.action(graph.page(LIST)) == button(graph, LIST, "Far")  # "Back" leads home, as far from there
    assert gold.action(graph.page(FAR)) == Complete()
    assert gold.action(graph.page(ADVERT)) is None


@pytest.mark.parametrize("page", [ROOT, LIST, FAR])
def test_the_right_action_matches(graph, gold, page):
    shown = graph.page(page)
    action = gold.action(shown)
    outcome = Outcome(shown, True, False) if page == FAR else PageGraph(graph, page).execute(action)
    assert gold.matches(shown, action, outcome)


def test_equivalent_actions_match(graph):
    """The list is reached by a button and by a search: other raw pages, the same unique one."""
    gold = GraphGold(graph, Task("t", graph.app, "List.", ROOT, LIST, shortest_paths(graph, ROOT)[LIST]))
    for action in (button(graph, ROOT, "a > b, </p> 'c'"), Input(FIELD, "Search", TYPED)):
        assert gold.matches(graph.page(ROOT), action, PageGraph(graph).execute(action))


@pytest.mark.parametrize("action", [STUCK, Click(BROKEN, "Broken"), Press("back"), Input(FIELD, "Search", "x")])
def test_what_comes_no_closer_does_not_match(graph, gold, action):
    assert not gold.matches(graph.page(ROOT), action, PageGraph(graph).execute(action))


def test_leaving_the_app_does_not_match(graph, gold):
    action = button(graph, ROOT, "Advert")
    assert not gold.matches(graph.page(ROOT), action, PageGraph(graph).execute(action))
    stayed = Outcome(graph.page(ADVERT), None, False)
    assert not gold.matches(graph.page(ADVERT), Press("back"), stayed)


@pytest.mark.parametrize(
    ("page", "action", "right"),
    [(FAR, Complete(), True), (FAR, Complete(False), False), (ROOT, Complete(), False), (FAR, Wait(), False)],
)
def test_the_end(graph, gold, page, action, right):
    shown = graph.page(page)
    assert gold.matches(shown, action, Outcome(shown, True, False)) is right
    assert gold.reached(shown) is (page == FAR)


def test_a_step_of_a_detour_matches_though_it_comes_no_closer(graph):
    """Home is one click from the far page; the task's own way leads over the list, which is one click away too."""
    there, on = button(graph, ROOT, "a > b, </p> 'c'"), button(graph, LIST, "Far")
    steps = (GoldStep(ROOT, there, LIST), GoldStep(LIST, on, FAR))
    gold = GraphGold(graph, Task("t", graph.app, "Go far.", ROOT, FAR, steps))
    assert gold.action(graph.page(ROOT)) == there
    for action in (there, Input(FIELD, "Search", TYPED), button(graph, ROOT, 'say "hi"')):
        assert gold.matches(graph.page(ROOT), action, PageGraph(graph).execute(action))
    back = button(graph, LIST, "Back")
    assert not gold.matches(graph.page(LIST), back, PageGraph(graph, LIST).execute(back))

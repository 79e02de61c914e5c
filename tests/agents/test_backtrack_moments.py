"""Gold steps as an agent meets them, and what becomes of the replies of a rollout there."""

import pytest
from mobile3m_trees import ROOT, TYPED, Shop

from setaria.agents.backtrack.moments import AttemptsAtMoments, moments
from setaria.datasets_builders.gui.mobile3m import read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.tasks import GoldStep, Task, shortest_paths
from setaria.rewards.gui.actions import Click, Complete, Input, Press, Wait
from setaria.rewards.judgment import JudgmentRewards


LIST, FAR = f"{ROOT}_0", f"{ROOT}_1"
PROMPTS = Prompts()
THERE = Click((0.0, 0.0, 40.0, 9.0), "a > b, </p> 'c'")
SEARCH = Input((0.0, 50.0, 40.0, 60.0), "Search", TYPED)
STUCK, BROKEN = Click((0.0, 2.0, 40.0, 11.0), "Stuck"), Click((0.0, 3.0, 40.0, 12.0), "Broken")
ADVERT = Click((0.0, 4.0, 40.0, 13.0), "Advert")
ON = Click((0.0, 1.0, 40.0, 10.0), "Far")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return read_app_graph(write_app_graph(Shop(), tmp_path_factory.mktemp("mobile3m")))


@pytest.fixture(scope="module")
def found(graph):
    """A task of one click, and one of two."""
    detour = (GoldStep(ROOT, THERE, LIST), GoldStep(LIST, ON, FAR))
    tasks = [
        Task("list", graph.app, "Open the list.", ROOT, LIST, shortest_paths(graph, ROOT)[LIST]),
        Task("far", graph.app, "Go far by the list.", ROOT, FAR, detour),
    ]
    return list(moments(tasks, {graph.app: graph}))


def test_every_gold_step_and_the_end(found):
    assert [(one.task.id, one.page.id, one.done, one.action) for one in found] == [
        ("list", ROOT, (), THERE),
        ("list", LIST, (THERE,), Complete()),
        ("far", ROOT, (), THERE),
        ("far", LIST, (THERE,), ON),
        ("far", FAR, (THERE, ON), Complete()),
    ]


def test_the_gold_action_is_right_at_each(found):
    for moment in found:
        assert moment.gold.matches(moment.page, moment.action, moment.execute(moment.action))


def test_an_execution_leaves_no_trace(found):
    """Each starts from the moment's page; waiting and the end do nothing."""
    moment = found[0]
    assert [moment.execute(THERE).page.id for _ in range(2)] == [LIST, LIST]
    for action in (Wait(), Complete(), Complete(False)):
        outcome = moment.execute(action)
        assert (outcome.page, outcome.valid, outcome.changed) == (moment.page, True, False)


def test_a_task_of_an_app_without_graph(graph):
    with pytest.raises(KeyError, match="moon"):
        list(moments([Task("t", "moon", "Go.", "moon0", "moon0", ())], {graph.app: graph}))


class Judge:
    """P(Yes) in order; `asked` keeps the conversations of each batch."""

    def __init__(self, *chances):
        self.chances, self.asked = list(chances), []

    def yes_probability(self, conversations):
        self.asked.append(conversations)
        return self.chances


def at(moment, *replies):
    rows = [{"task": moment.task.id, "page": moment.page.id, "prompt": []}] * len(replies)
    return [reply if isinstance(reply, str) else PROMPTS.write(reply, moment.page) for reply in replies], rows


def told(attempted):
    return [(one.right, one.verified, one.bad) for one in attempted]


def test_what_becomes_of_replies(found):
    """Only what the Verifier lets pass is judged: the right ones, the advertisement, and waiting."""
    judge = Judge(0.75, 1.0, 0.0, 0.25)
    attempts = AttemptsAtMoments(found, PROMPTS, judge)
    replies, rows = at(found[0], THERE, "rubbish", SEARCH, STUCK, BROKEN, ADVERT, Press("back"), Wait(), "")
    assert told(attempts(replies, rows)) == [
        (True, True, 0.25),
        (False, False, None),
        (True, True, 0.0),
        (False, False, None),
        (False, False, None),
        (False, True, 1.0),
        (False, False, None),
        (False, True, 0.75),
        (False, False, None),
    ]
    (asked,) = judge.asked
    images = [[part["image"] for part in one[0]["content"] if part["type"] == "image"] for one in asked]
    assert [image[1].getpixel((0, 0)) for image in images] == [
        *[(255, 0, 0)] * 2,  # the list is red
        *((0, 128, 0), (255, 255, 255)),
    ]
    texts = [one[0]["content"][-1]["text"] for one in asked]
    assert [
        PROMPTS.write(action, found[0].page) in text
        for action, text in zip((THERE, SEARCH, ADVERT, Wait()), texts, strict=True)
    ] == [True] * 4


def test_rows_of_several_moments(found):
    """The same reply is right at one moment and wrong at another; done actions are in the judger's question."""
    judge = Judge(0.5, 0.5, 0.5)
    rows = [row for number in (0, 1, 4) for row in at(found[number], "complete()")[1]]
    attempted = AttemptsAtMoments(found, PROMPTS, judge)(["complete()"] * 3, rows)
    assert told(attempted) == [(False, True, 0.5), (True, True, 0.5), (True, True, 0.5)]
    texts = [one[0]["content"][-1]["text"] for one in judge.asked[0]]
    assert "Go far by the list." in texts[2]
    assert f"Done:\n{PROMPTS.write(THERE, found[4].page)}\n{PROMPTS.write(ON, found[4].page)}\n" in texts[2]


def test_without_a_judger_or_anything_to_judge(found):
    replies, rows = at(found[0], THERE, STUCK)
    assert told(AttemptsAtMoments(found, PROMPTS, None)(replies, rows)) == [(True, True, None), (False, False, None)]
    judge = Judge()
    assert told(AttemptsAtMoments(found, PROMPTS, judge)(replies[1:], rows[1:])) == [(False, False, None)]
    assert judge.asked == []
    assert AttemptsAtMoments(found, PROMPTS, judge)([], []) == []


def test_rows_that_name_no_moment(found):
    attempts = AttemptsAtMoments(found, PROMPTS, None)
    for row in ({"task": "moon", "page": ROOT}, {"task": "list", "page": FAR}):
        with pytest.raises(ValueError, match=f"no task '{row['task']}' with a step on page '{row['page']}'"):
            attempts(["complete()"], [row])


@pytest.mark.parametrize("chances", [(), (0.5,), (0.5,) * 3])
def test_other_than_one_judgment_per_question(found, chances):
    replies, rows = at(found[0], THERE, SEARCH)
    with pytest.raises(ValueError, match="zip"):
        AttemptsAtMoments(found, PROMPTS, Judge(*chances))(replies, rows)


def test_as_rewards(found):
    """1 or 0, -(1 - p_v), and -P(No), which is nothing where the judger was not asked."""
    rewards = JudgmentRewards(AttemptsAtMoments(found, PROMPTS, Judge(0.75, 0.125)))
    replies, rows = at(found[0], THERE, STUCK, ADVERT)
    columns = {name: [row[name] for row in rows] for name in ("task", "page")}
    prompts = [row["prompt"] for row in rows]
    values = [reward(prompts=prompts, completions=replies, **columns) for reward in rewards.functions]
    assert values == [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [-0.25, None, -0.875]]

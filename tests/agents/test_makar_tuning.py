"""The threshold by correction at every tau that differs, and where one correction of everything goes wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makar_chats import ScriptedChat, text

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.confidence import entity
from setaria.agents.makar.corpus_search import CorpusSearch
from setaria.agents.makar.correction import CorrectionAgent, CorrectionConfig
from setaria.agents.makar.correction_prompts import CorrectionPrompts
from setaria.agents.makar.knowledge import Knowledge
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts, Unlabelled
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.search import WebPage
from setaria.agents.makar.tuning import EVERYTHING, Point, thresholds, tune_correction
from setaria.datasets_builders.mner.layouts import GMNER
from setaria.rewards.grounded_entities import GoldEntity


TOKENS = ("Brno", "and", "Vexmol")
GOLD = (GoldEntity(0, 1, "Brno", "LOC"), GoldEntity(2, 3, "Vexmol", "ORG"))
BRNO = Candidate(0, 1, "Brno", "LOC", boundary=1.0, type_confidence=0.9)  # right, and the web knows a namesake alone
VEXMOL = Candidate(2, 3, "Vexmol", "LOC", boundary=1.0, type_confidence=0.3)  # wrong, and the web is right
WEB = CorpusSearch(
    [
        WebPage("Brno", "https://pages.example/brno", "Brno is a singer."),
        WebPage("Vexmol", "https://pages.example/vexmol", "Vexmol is a bank."),
    ]
)


def model(asked):
    """Believes the web."""
    if "What do the pages say" in asked:
        return "a singer" if '"Brno"' in asked else "a bank"
    brno = "PER" if "> a singer" in asked else "LOC"
    vexmol = "ORG" if "> a bank" in asked else "LOC"
    return f"Named entities:\n1. Brno ({brno})\n2. Vexmol ({vexmol})\nReasoning: x"


def known(name, *candidates):
    return Unlabelled(name, TOKENS, Path("none.jpg")), Knowledge(name, candidates, tuple(map(entity, candidates)), "x")


@pytest.fixture
def agent(tmp_path):
    chat = RecordingChat(ScriptedChat(model), "m", tmp_path / "replies.jsonl")
    prompts = CorrectionPrompts(KnowledgePrompts(GMNER))
    return CorrectionAgent(chat, prompts, WEB, WEB, CorrectionConfig(0.0, words=0))


PAIRS = [known("1", BRNO, VEXMOL)]


def test_every_tau_that_differs(agent):
    """Of 2 entities 1 is right without search, 2 with the one in doubt looked up, 1 with both."""
    tuned = tune_correction(agent, PAIRS, [GOLD])
    assert tuned.points == (Point(0.0, 0.5, 0.0), Point(0.6, 1.0, 1.0), Point(EVERYTHING, 0.5, 1.0))
    assert tuned.best == tuned.points[1]
    # each name is summarised once, and the tweet decided for each set of names: Vexmol; both
    assert sum(agent.chat._model.calls) == 2 + 2
    assert sum("What do the pages say" in text(asked) for asked in agent.chat._model.asked) == 2


def test_a_cost_can_be_too_much(agent):
    """Looking all up gains .5."""
    assert tune_correction(agent, PAIRS, [GOLD], cost=0.4).best.tau == 0.6
    assert tune_correction(agent, PAIRS, [GOLD], cost=0.6).best.tau == 0.0


def test_tweets_without_names_and_the_tau_of_the_agent_do_not_matter(agent):
    pairs = [*PAIRS, known("2")]
    tuned = tune_correction(agent, pairs, [GOLD, ()])
    assert [(point.tau, point.f1, point.looked_up) for point in tuned.points] == [
        (0.0, 0.5, 0.0),
        (0.6, 1.0, 0.5),
        (EVERYTHING, 0.5, 0.5),
    ]
    assert agent.config.tau == 0.0


def test_it_can_be_watched(agent):
    seen = []
    tune_correction(agent, PAIRS, [GOLD], watch=lambda taus: seen.extend(taus) or taus)
    assert seen == [0.0, 0.6, EVERYTHING]


def levels(*confidences):
    return [known("1", *(Candidate(0, 1, "x", "PER", boundary=one) for one in confidences))[1]]


def test_thresholds():
    assert thresholds(levels(), 9) == [0.0, EVERYTHING]
    assert thresholds(levels(0.5, 0.5), 9) == [0.0, EVERYTHING]
    assert thresholds(levels(0.75, 0.25, 0.25, 0.5), 9) == [0.0, 0.375, 0.625, EVERYTHING]
    assert thresholds(levels(0.25, 0.5, 0.75), 2) == [0.0, EVERYTHING]
    # of 9 thresholds between 10 confidences the one nearest to the sixth, of equal ones the lower
    assert thresholds(levels(*(part / 16 for part in range(10))), 3) == [0.0, 4.5 / 16, EVERYTHING]


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(2, 12))
def test_there_are_never_too_many_thresholds(confidences, most):
    found = thresholds(levels(*confidences), most)
    assert len(found) <= most
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0.0, EVERYTHING)


@pytest.mark.parametrize(
    ("gold", "more", "message"),
    [
        ([()], {}, "gold has no entity"),
        ([GOLD, GOLD], {}, "gold is of 2 tweets, there are 1"),
        ([GOLD], {"cost": -1}, "cost=-1: at least 0"),
        ([GOLD], {"most": 1}, "most=1: at least 2"),
        ([GOLD], {"convention": "best"}, "convention='best': one of"),
    ],
)
def test_settings_are_checked(agent, gold, more, message):
    with pytest.raises(ValueError, match=message):
        tune_correction(agent, PAIRS, gold, **more)

"""Agreement of samples."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.confidence import Said, agreed, entity, lowest, majority
from setaria.rewards.grounded_entities import PredictedEntity


TOKENS = ("New", "York", "Times", "in", "Brno")
YORK, TIMES = (0, 2), (0, 3)
NOT_READ = None


def test_agreement_of_five_answers():
    answers = [
        [Said(*YORK, "LOC", reason="a city"), Said(4, 5, "LOC")],
        [Said(*TIMES, "ORG", reason="a newspaper"), Said(4, 5, "ORG", reason="a club")],
        [Said(*TIMES, "OTHER"), Said(4, 5, "LOC", reason="a town")],
        [Said(*TIMES, "ORG", reason="news")],
        NOT_READ,
    ]
    candidates = agreed(answers, TOKENS)
    # of 5 answers: 1 has New York; 3 have New York Times, 2 of them as ORG; 3 have Brno, 2 of them as LOC
    assert candidates == (
        Candidate(0, 2, "New York", "LOC", "", "a city", 1 / 5, 1.0),
        Candidate(0, 3, "New York Times", "ORG", "", "a newspaper", 3 / 5, 2 / 3),
        Candidate(4, 5, "Brno", "LOC", "", "a town", 3 / 5, 2 / 3),
    )
    # more than half of the 4 that could be read
    assert [one.text for one in majority(candidates, 5, 4)] == ["New York Times", "Brno"]
    assert majority(candidates, 5, 4)[1] == PredictedEntity(4, 5, "Brno", "LOC")
    assert lowest(candidates) == 1 / 5
    assert lowest(candidates[1:]) == 3 / 5


def test_half_is_no_majority():
    candidates = agreed([[Said(4, 5, "LOC")], []], TOKENS)
    assert candidates[0].boundary == 0.5
    assert majority(candidates, 2, 2) == ()
    assert majority(agreed([[Said(4, 5, "LOC")], NOT_READ], TOKENS), 2, 1) == (entity(candidates[0]),)


def test_ties_go_to_the_earlier_answer_and_fine_types_count():
    answers = [[Said(4, 5, "person", "actor")], [Said(4, 5, "person", "author")]]
    (candidate,) = agreed(answers, TOKENS)
    assert (candidate.type, candidate.fine, candidate.type_confidence) == ("person", "actor", 0.5)
    (candidate,) = agreed(answers[::-1] + answers[1:], TOKENS)
    assert (candidate.fine, candidate.type_confidence) == ("author", 2 / 3)


def test_no_candidates():
    assert agreed([NOT_READ, []], TOKENS) == ()
    assert lowest(()) == float("inf")


PLACES = st.lists(st.integers(0, 5), min_size=2, max_size=6, unique=True).map(sorted)


def of_bounds(bounds):
    """Entities that do not overlap."""
    return [Said(start, end, "LOC") for start, end in zip(bounds[::2], bounds[1::2], strict=False)]


@given(st.lists(st.none() | PLACES.map(of_bounds), min_size=1, max_size=7))
def test_the_majority_never_overlaps(answers):
    read = sum(answer is not None for answer in answers)
    candidates = agreed(answers, TOKENS)
    entities = majority(candidates, len(answers), read)
    for one, following in itertools.pairwise(entities):
        assert one.end <= following.start
    assert all(0 < one.boundary <= read / len(answers) and 0 < one.type_confidence <= 1 for one in candidates)

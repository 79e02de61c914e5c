"""The conventions of the four scorers on hand-made tweets, with the counts that each of them gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.rewards.entity_matching import CONVENTIONS, TASKS, match
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


LEFT, RIGHT, FAR = (0, 0, 10, 10), (20, 20, 30, 30), (80, 80, 90, 90)


def gold(*boxes, at=0, type="PER", fine="", text="Ada"):
    return GoldEntity(at, at + 1, text, type, fine, boxes)


def said(box=None, at=0, type="PER", fine="", text="Ada", readable=True):
    return PredictedEntity(at, at + 1, text, type, fine, box, readable)


# Gold, predictions, and (right, predicted, gold) in GMNER: by convention, "" being all that are not named.
CASES = {
    "right box": ([gold(LEFT)], [said(LEFT)], {"": (1, 1, 1)}),
    "wrong box": ([gold(LEFT)], [said(RIGHT)], {"": (0, 1, 1)}),
    "right None": ([gold()], [said()], {"": (1, 1, 1)}),
    "None for a box": ([gold(LEFT)], [said()], {"": (0, 1, 1)}),
    "box for None": ([gold()], [said(LEFT)], {"": (0, 1, 1)}),
    "unreadable is not None": ([gold()], [said(readable=False)], {"": (0, 1, 1)}),
    "unreadable is no box": ([gold(LEFT)], [said(LEFT, readable=False)], {"": (0, 1, 1)}),
    "empty box": ([gold(LEFT)], [said((3, 3, 3, 8))], {"": (0, 1, 1)}),
    "wrong type": ([gold(LEFT)], [said(LEFT, type="ORG")], {"": (0, 1, 1)}),
    "wrong string, right tokens": (
        [gold(LEFT)],
        [said(LEFT, text="ada")],
        {"": (0, 1, 1), "index_keyed": (1, 1, 1), "per_region": (1, 1, 1)},
    ),
    "right string, wrong tokens": (
        [gold(LEFT)],
        [said(LEFT, at=5)],
        {"": (1, 1, 1), "index_keyed": (0, 1, 1), "per_region": (0, 1, 1)},
    ),
    # 10 * 5 of 10 * 10
    "IoU of just .5": (
        [gold(LEFT)],
        [said((0, 0, 10, 5))],
        {"": (0, 1, 1), "string_keyed": (1, 1, 1), "bipartite": (1, 1, 1)},
    ),
    "IoU of .6": ([gold(LEFT)], [said((0, 0, 10, 6))], {"": (1, 1, 1)}),
    "any of two boxes": ([gold(LEFT, RIGHT)], [said(RIGHT)], {"": (1, 1, 1), "per_region": (1, 1, 2)}),
    # One prediction per box is what per_region wants. Of one span the last counts for index_keyed, of one string with
    # a box for tiger; the others find one entity for two predictions.
    "both of two boxes": (
        [gold(LEFT, RIGHT)],
        [said(LEFT), said(RIGHT)],
        {"": (1, 2, 1), "per_region": (2, 2, 2), "index_keyed": (1, 1, 1), "tiger_faulty": (1, 1, 1)},
    ),
    "two predictions for one box": (
        [gold(LEFT)],
        [said(LEFT), said((0, 0, 10, 9))],
        {"": (1, 2, 1), "index_keyed": (1, 1, 1), "tiger_faulty": (1, 1, 1)},
    ),
    "said twice": (
        [gold(LEFT)],
        [said(LEFT), said(LEFT)],
        {"": (1, 1, 1), "string_keyed": (1, 2, 1), "bipartite": (1, 2, 1)},
    ),
    "one span, two types: the last counts for index_keyed": (
        [gold(LEFT)],
        [said(LEFT), said(LEFT, type="ORG")],
        {"": (1, 2, 1), "index_keyed": (0, 1, 1)},
    ),
    "one string twice: one for tiger": (
        [gold(LEFT, at=0), gold(LEFT, at=5)],
        [said(LEFT, at=0), said(LEFT, at=5)],
        {"": (2, 2, 2), "tiger_faulty": (1, 1, 1)},
    ),
    "one string twice, said once": (
        [gold(LEFT, at=0), gold(LEFT, at=5)],
        [said(LEFT, at=0)],
        {"": (1, 1, 2), "tiger_faulty": (1, 1, 1)},
    ),
    # In order, the first prediction takes the first entity, the only one that fits the second. By tokens there is no
    # choice; of the three regions two are found; tiger is left with the last of each, which do not overlap.
    "order matters": (
        [gold(LEFT, RIGHT, at=0), gold(LEFT, at=5)],
        [said(LEFT, at=5), said(RIGHT, at=0)],
        {"": (2, 2, 2), "string_keyed": (1, 2, 2), "per_region": (2, 2, 3), "tiger_faulty": (0, 1, 1)},
    ),
    # tiger keeps both, as one claims a place and the other does not.
    "one string twice, seen once": (
        [gold(LEFT, at=0), gold(at=5)],
        [said(at=5), said(LEFT, at=0)],
        {"": (2, 2, 2)},
    ),
    "nothing said": ([gold(LEFT)], [], {"": (0, 0, 1)}),
    "nothing to say": ([], [], {"": (0, 0, 0)}),
    "nothing to say, but said": ([], [said()], {"": (0, 1, 0)}),
}


def counts(golds, predicted, task, convention):
    matched = match(golds, predicted, TASKS[task], CONVENTIONS[convention])
    return len(matched.pairs), len(matched.predicted), len(matched.gold)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("golds", "predicted", "expected"), CASES.values(), ids=CASES)
def test_grounded_entities(golds, predicted, expected, convention):
    assert counts(golds, predicted, "GMNER", convention) == expected.get(convention, expected[""])


# Of one entity that is right but for what is named: whether it is right in MNER, EEG, GMNER, FMNERG.
ASPECTS = {
    "all right": (said(LEFT, fine="poet"), (1, 1, 1, 1)),
    "fine type": (said(LEFT, fine="actor"), (1, 1, 1, 0)),
    "type": (said(LEFT, type="ORG", fine="poet"), (0, 1, 0, 1)),
    "region": (said(RIGHT, fine="poet"), (1, 0, 0, 0)),
    "None": (said(fine="poet"), (1, 0, 0, 0)),
    "unreadable": (said(fine="poet", readable=False), (1, 0, 0, 0)),
    "span": (said(LEFT, fine="poet", at=3, text="Byron"), (0, 0, 0, 0)),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("predicted", "expected"), ASPECTS.values(), ids=ASPECTS)
def test_tasks(predicted, expected, convention):
    found = [counts([gold(LEFT, fine="poet")], [predicted], task, convention) for task in TASKS]
    assert found == [(right, 1, 1) for right in expected]


def test_regions_count_only_where_the_task_has_them():
    """Two boxes are one entity of MNER."""
    assert counts([gold(LEFT, RIGHT)], [said(LEFT), said(RIGHT)], "MNER", "per_region") == (1, 1, 1)
    assert counts([gold(LEFT, RIGHT)], [said(LEFT), said(RIGHT)], "EEG", "per_region") == (2, 2, 2)


BOXES = st.sampled_from([LEFT, RIGHT, FAR, (0, 0, 10, 6), (0, 0, 30, 30)])
PLACES = st.integers(0, 2)
TYPES = st.sampled_from(["PER", "ORG"])
GOLDS = st.lists(
    st.builds(lambda at, type, boxes: gold(*boxes, at=at, type=type), PLACES, TYPES, st.lists(BOXES, max_size=3)),
    max_size=5,
)
SAID = st.lists(
    st.builds(
        lambda at, type, box, readable: said(box, at=at, type=type, readable=readable),
        PLACES,
        TYPES,
        st.none() | BOXES,
        st.booleans(),
    ),
    max_size=5,
)


@given(GOLDS, SAID, st.sampled_from([*TASKS]))
def test_bipartite_is_the_largest_matching(golds, predicted, task):
    """Against all ways to pair; of them in order is one."""
    bipartite = match(golds, predicted, TASKS[task], CONVENTIONS["bipartite"])
    fits = [
        [bool(match([one], [other], TASKS[task], CONVENTIONS["bipartite"]).pairs) for one in golds]
        for other in predicted
    ]

    def most(left, used):
        if not left:
            return 0
        ways = [1 + most(left[1:], used | {place}) for place, fit in enumerate(left[0]) if fit and place not in used]
        return max([most(left[1:], used), *ways])

    assert len(bipartite.pairs) == most(fits, frozenset())
    assert counts(golds, predicted, task, "string_keyed")[0] <= len(bipartite.pairs)


@given(GOLDS, SAID, st.sampled_from([*TASKS]), st.sampled_from([*CONVENTIONS]))
def test_laws(golds, predicted, task, convention):
    matched = match(golds, predicted, TASKS[task], CONVENTIONS[convention])
    assert len(matched.pairs) <= min(len(matched.gold), len(matched.predicted))
    for one, other in matched.pairs:
        assert (one.label, one.claims_place) == (other.label, other.claims_place)


def test_a_runaway_prediction_is_no_burden():
    golds = [gold(LEFT, at=at) for at in range(30)]
    assert counts(golds, [said(LEFT)] * 1000, "GMNER", "bipartite") == (30, 1000, 30)

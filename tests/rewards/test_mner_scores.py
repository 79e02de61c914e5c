"""Precision, recall and F1 by hand, floors, and real annotations against themselves and against not looking."""

import math
from collections import defaultdict

import pytest
from defusedxml.ElementTree import parse

from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.rewards.entity_matching import CONVENTIONS, TASKS
from setaria.rewards.entity_scores import ScoredTweet, entity_scores, f1_gain
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.grounding_floors import Floors, always_none, floors, gold_answers, whole_image


LEFT, RIGHT = (0, 0, 10, 10), (20, 20, 30, 30)
ADA = GoldEntity(0, 1, "Ada", "PER", "", (LEFT,))
BOB = GoldEntity(2, 3, "Bob", "PER")
ACME = GoldEntity(4, 5, "Acme", "ORG")
HONEST = [convention for convention in CONVENTIONS if convention != "tiger_faulty"]


def said(gold, box=None, **changed):
    return PredictedEntity(
        **{"start": gold.start, "end": gold.end, "text": gold.text, "type": gold.type, **changed}, box=box
    )


# Six gold entities, of which two can be seen, and five predictions.
TWEETS = [
    ScoredTweet("a", (ADA, BOB, ACME), (said(ADA, LEFT), said(BOB), said(ACME, type="PER"))),
    ScoredTweet("b", (ADA, BOB), (said(ADA, RIGHT),)),
    ScoredTweet("c", (ACME,), (said(ACME, readable=False),)),
    ScoredTweet("d", (), ()),
]
# Right, predicted, gold.
BY_HAND = {
    # Wrong is Acme in a, a PER.
    "MNER": {"all": (4, 5, 6), "type PER": (3, 4, 4), "type ORG": (1, 1, 2)},
    # Right are the three of a. Ada's region is wrong in b, Acme's not readable in c: both claim something to be seen.
    "EEG": {"all": (3, 5, 6), "groundable": (1, 3, 2), "none": (2, 2, 4)},
    "GMNER": {
        "all": (2, 5, 6),
        "groundable": (1, 3, 2),
        "none": (1, 2, 4),
        "type PER": (2, 4, 4),
        "type ORG": (0, 1, 2),
    },
}


@pytest.mark.parametrize("convention", HONEST)
def test_by_hand(convention):
    scores = entity_scores(TWEETS, convention)
    counts = {
        task: {group: (score.right, score.predicted, score.gold) for group, score in groups.items()}
        for task, groups in scores.items()
    }
    assert counts == BY_HAND
    score = scores["GMNER"]["all"]
    # 2 / 5, 2 / 6, 2 * 2 / (5 + 6)
    assert (score.precision.value, score.recall.value, score.f1.value) == pytest.approx((0.4, 1 / 3, 4 / 11))
    for interval in (score.precision, score.recall, score.f1):
        assert 0 <= interval.low < interval.value < interval.high <= 1


def test_fine_types_where_gold_has_them():
    poet = GoldEntity(0, 1, "Ada", "person", "poet", (LEFT,))
    tweet = ScoredTweet("a", (poet,), (said(poet, LEFT, fine="actor"),))
    scores = entity_scores([tweet], "bipartite")
    assert [*scores] == [*TASKS]
    assert scores["GMNER"]["all"].f1.value == 1
    assert scores["FMNERG"]["all"].f1.value == 0
    assert [*scores["FMNERG"]] == ["all", "groundable", "none", "type actor", "type poet"]


def test_nothing_to_divide_by_is_nan():
    scores = entity_scores([ScoredTweet("a", (ADA,), ())], "index_keyed")["GMNER"]
    assert math.isnan(scores["all"].precision.value)
    assert (scores["all"].recall.value, scores["all"].f1.value) == (0, 0)
    assert math.isnan(scores["none"].f1.value) and math.isnan(scores["none"].f1.low)


def test_the_fault_of_tiger_changes_recall_but_not_f1():
    """A tweet without predictions counts as one and takes one from gold: 1 right of 1 and 2 becomes 1 of 2 and 1."""
    tweets = [ScoredTweet("a", (ADA,), (said(ADA, LEFT),)), ScoredTweet("b", (BOB,), ())]
    fair, faulty = (entity_scores(tweets, name)["GMNER"]["all"] for name in ("bipartite", "tiger_faulty"))
    assert (fair.right, fair.predicted, fair.gold) == (1, 1, 2)
    assert (faulty.right, faulty.predicted, faulty.gold) == (1, 2, 1)
    assert (fair.recall.value, faulty.recall.value) == (0.5, 1)
    assert fair.f1.value == faulty.f1.value == 2 / 3


def test_gain_is_paired():
    gold = [ScoredTweet(tweet.id, tweet.gold, gold_answers(tweet.gold)) for tweet in TWEETS]
    gain = f1_gain(gold[::-1], TWEETS, "GMNER", "bipartite")
    assert gain.value == pytest.approx(1 - 4 / 11)
    assert 0 < gain.low < gain.value < gain.high <= 1
    loss = f1_gain(TWEETS, gold, "GMNER", "bipartite")
    assert (loss.value, loss.low, loss.high) == pytest.approx((-gain.value, -gain.high, -gain.low))
    nothing = f1_gain(TWEETS, TWEETS[::-1], "GMNER", "bipartite")
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="convention='seqeval': one of index_keyed, string_keyed, per_region"):
        entity_scores(TWEETS, "seqeval")
    with pytest.raises(ValueError, match="task='NER': one of MNER, EEG, GMNER, FMNERG is allowed"):
        f1_gain(TWEETS, TWEETS, "NER", "bipartite")
    with pytest.raises(ValueError, match="tweets are empty"):
        entity_scores([], "bipartite")
    with pytest.raises(ValueError, match="tweets have the id 'a' twice"):
        entity_scores([*TWEETS, TWEETS[0]], "bipartite")
    with pytest.raises(ValueError, match="the systems share 3 of 4 and 3 tweets"):
        f1_gain(TWEETS, TWEETS[:3], "GMNER", "bipartite")


def test_floors_by_hand():
    """Of an image of 10 x 15 Ada's box is 100 of 150, of one of 20 x 15 100 of 300."""
    assert floors([((ADA, BOB), (10, 15)), ((ADA,), (20, 15)), ((ACME,), None), ((), None)]) == Floors(4, 2, 3)
    assert whole_image((ADA, BOB), (10, 15)) == (said(ADA, (0, 0, 10, 15)), said(BOB))
    assert always_none((ADA, said(BOB, LEFT), said(ACME, readable=False))) == (said(ADA), said(BOB), said(ACME))
    with pytest.raises(ValueError, match="size of the image is unknown, but 'Ada' is in it"):
        floors([((ADA,), None)])


def test_gold_answers():
    both = GoldEntity(0, 1, "Ada", "PER", "poet", (LEFT, RIGHT))
    assert gold_answers((both, BOB)) == (said(both, LEFT, fine="poet"), said(BOB))
    every = (said(both, LEFT, fine="poet"), said(both, RIGHT, fine="poet"), said(BOB))
    assert gold_answers((both, BOB), every_box=True) == every


@pytest.fixture(scope="module")
def dev(data):
    root = data / "gmner" / "dev"
    if not root.is_dir():
        pytest.skip(f"{root} is not there: annotations of Twitter-GMNER's dev split")
    return read_gmner(root, "dev")


def answered(tweets, answer):
    return [ScoredTweet(tweet.id, tweet.entities, answer(tweet)) for tweet in tweets]


@pytest.mark.parametrize("convention", HONEST)
def test_real_gold_against_itself(dev, convention):
    tweets = answered(dev, lambda tweet: gold_answers(tweet.entities, every_box=convention == "per_region"))
    scores = entity_scores(tweets, convention)
    assert {score.f1.value for groups in scores.values() for score in groups.values()} == {1.0}
    # 1,171 boxes of 991 entities, and 1,459 without; all boxes count in per_region only.
    assert scores["GMNER"]["all"].gold == (1171 + 1459 if convention == "per_region" else 2450)
    assert scores["GMNER"]["none"].gold == scores["EEG"]["none"].gold == 1459
    assert scores["MNER"]["type PER"].gold == 1072


def test_real_gold_against_itself_as_tiger_counts(dev):
    """The 87 tweets without an entity have no prediction either: recall exceeds 1."""
    score = entity_scores(answered(dev, lambda tweet: gold_answers(tweet.entities)), "tiger_faulty")["GMNER"]["all"]
    assert score.predicted - score.gold == 2 * 87
    assert score.recall.value > 1 > score.precision.value
    assert score.f1.value == 1


@pytest.fixture(scope="module")
def raw(data, dev):
    """For each entity the size of the image and its boxes, read by other means than the package's."""
    entities = []
    for tweet in (data / "gmner/dev/txt/dev.txt").read_text(encoding="utf-8").strip().split("\n\n"):
        head, *lines = tweet.split("\n")
        names = []
        for token, tag in (line.split("\t") for line in lines):
            if tag.startswith("B-"):
                names.append(token)
            elif tag.startswith("I-"):
                names[-1] += f" {token}"
        file = data / "gmner/dev/xml" / f"{head.removeprefix('IMGID:')}.xml"
        boxes, area = defaultdict(list), 0
        if file.exists():
            tree = parse(file)
            area = int(tree.findtext("size/width")) * int(tree.findtext("size/height"))
            for thing in tree.iter("object"):
                x1, y1, x2, y2 = (int(thing.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax"))
                boxes[thing.findtext("name")].append((x2 - x1) * (y2 - y1))
        entities += [(area, boxes[name]) for name in names]
    return entities


def test_real_floors(dev, raw):
    """A box lies in its image, so that its IoU with the image is its share of the area."""
    none = sum(not areas for _, areas in raw)
    covered = sum(any(2 * area >= image for area in areas) for image, areas in raw)
    assert (len(raw), none) == (2450, 1459)
    assert floors((tweet.entities, tweet.size) for tweet in dev) == Floors(2450, none, none + covered)
    scores = entity_scores(answered(dev, lambda tweet: always_none(tweet.entities)), "bipartite")
    assert scores["GMNER"]["all"].right == scores["EEG"]["all"].right == none
    assert scores["GMNER"]["all"].f1.value == none / 2450
    scores = entity_scores(answered(dev, lambda tweet: whole_image(tweet.entities, tweet.size)), "bipartite")
    assert scores["GMNER"]["all"].right == none + covered
    assert scores["MNER"]["all"].f1.value == 1

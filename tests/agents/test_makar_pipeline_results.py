"""Predictions on disk, and what a run is worth, counted by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from setaria.agents.makar.correction import Lookup
from setaria.agents.makar.known import NoKnowledge
from setaria.agents.makar.pipeline import Pipeline
from setaria.agents.makar.predictions import (
    Found,
    Mark,
    Prediction,
    count_marks,
    prediction_line,
    read_predictions,
)
from setaria.agents.makar.results import FAULTY, HONEST, grounding_scores, measure
from setaria.agents.makar.search import Hit
from setaria.agents.makar.stand_ins import GoldPlaces
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.worlds.tweets import draw_world
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


LENA = GoldEntity(0, 1, "Lena", "PER", "musician", ((0.0, 0.0, 10.0, 10.0),))
BRNO = GoldEntity(1, 2, "Brno", "LOC", "city")
WHOLE = Prediction(
    "O_1",
    ("Lena", "Brno", "🎤", "&amp"),
    "twitter2015_images/O_1.jpg",
    (10, 20),
    (LENA, BRNO),
    (Found(0, 1, "Lena", "PER", "musician", (0.0, 0.0, 10.0, 7.5), True, 0.5, 1.0, "sings", "left", "<think>"),),
    (PredictedEntity(0, 1, "Lena", "LOC", "city"),),
    0.25,
    "Named entities: 1. Lena",
    True,
    (Lookup("Lena", "Lena Brno", False, (Hit("t", "u", "s", "corpus", ""),), "sum", "", ("u: gone",)),),
    (Mark("page unread", "u: gone"),),
)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines), encoding="utf-8")
    return path


def line_of(prediction: Prediction, **changes) -> str:
    return json.dumps({**prediction_line(prediction), **changes}) + "\n"


def test_what_is_written_is_read_again(tmp_path):
    bare = Prediction("O_2", (), "O_2.jpg", None, (), ())
    file = write(tmp_path / "p.jsonl", line_of(WHOLE), line_of(bare), line_of(replace(WHOLE, corrected=False)))
    assert read_predictions(file) == [replace(WHOLE, corrected=False), bare]
    assert count_marks([WHOLE, bare])["page unread"] == 1


def test_a_line_that_was_cut_is_left_out(tmp_path):
    file = write(tmp_path / "p.jsonl", line_of(WHOLE), line_of(WHOLE)[:40])
    with pytest.warns(UserWarning, match="p.jsonl:2: the last line was cut"):
        assert read_predictions(file) == [WHOLE]


BAD = {
    "no id": ({"id": 3}, "p.jsonl:1: id=3 is no str"),
    "size": ({"size": [3]}, "p.jsonl:1: size=[3] has 1 items, not 2"),
    "tokens": ({"tokens": "Lena"}, "tokens='Lena' is no list"),
    "token": ({"tokens": [None]}, "tokens[0]=None is no str"),
    "box": ({"predicted": [{**prediction_line(WHOLE)["predicted"][0], "box": [1, 2, 3]}]}, "box=[1, 2, 3] has 3"),
    "nan": ({"confidence": math.nan}, "confidence=nan is no float"),
    "bool": ({"corrected": 1}, "corrected=1 is no bool"),
    "int": ({"size": [True, 2]}, "size[0]=True is no int"),
    "unknown": ({"colour": "red"}, "unknown field 'colour'"),
    "mark": ({"marks": [{"kind": "odd", "text": ""}]}, "marks[0]: kind='odd': one of image"),
    "lookup": ({"lookups": [{"name": "x"}]}, "lookups[0]: query is missing"),
    "object": ({"gold": ["Lena"]}, "gold[0]: 'Lena' is no object"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_what_is_no_prediction_is_named(changes, message, tmp_path):
    with pytest.raises(ValueError) as error:
        read_predictions(write(tmp_path / "p.jsonl", line_of(WHOLE, **changes)))
    assert message in str(error.value)


def found(entity: GoldEntity, **changes) -> Found:
    return Found(*(getattr(entity, name) for name in ("start", "end", "text", "type", "fine")), **changes)


def predicted(name: str, *entities: Found, **changes) -> Prediction:
    return replace(WHOLE, id=name, predicted=entities, marks=(), lookups=(), corrected=False, **changes)


FIVE = [
    predicted("right", found(LENA, box=(0.0, 0.0, 10.0, 7.5)), found(BRNO)),  # IoU .75
    predicted("half", found(LENA, box=(0.0, 0.0, 10.0, 5.0)), found(BRNO, box=(0.0, 0.0, 1.0, 1.0))),  # IoU .5
    predicted("none", found(LENA), found(BRNO, readable=False)),
    predicted("unread", found(LENA, readable=False)),
    predicted("nothing", found(replace(BRNO, start=0, end=2, text="Lena Brno"))),
]


def test_scores_and_floors_by_hand():
    results = measure(FIVE, (*HONEST, FAULTY))
    # 10 gold, 8 predicted. MNER: 2 + 2 + 2 + 1 right. GMNER: both of the first; by >= .5 Lena of the second too.
    index, bipartite = results.scores["index_keyed"], results.scores["bipartite"]
    assert (index["MNER"]["all"].right, index["MNER"]["all"].predicted, index["MNER"]["all"].gold) == (7, 8, 10)
    assert index["MNER"]["all"].f1.value == pytest.approx(14 / 18)
    assert (index["GMNER"]["all"].right, bipartite["GMNER"]["all"].right) == (2, 3)
    assert (index["FMNERG"]["all"].right, index["EEG"]["none"].right) == (2, 1)
    # Gold: 5 of 10 are None. Whole image: 10 x 20 with a box of 10 x 10 has an IoU of .5.
    # Own names: Lena 4 times, Brno 3 times, one wrong; None is right for Brno: 2 * 3 / 18.
    floors = results.floors["index_keyed"]
    assert floors["gold names, always None"] == pytest.approx({"EEG": 0.5, "GMNER": 0.5, "FMNERG": 0.5})
    assert floors["own names, always None"] == pytest.approx({"EEG": 6 / 18, "GMNER": 6 / 18, "FMNERG": 6 / 18})
    assert floors["gold names, whole image"]["GMNER"] == pytest.approx(0.5)
    assert results.floors["bipartite"]["gold names, whole image"]["GMNER"] == pytest.approx(1.0)
    assert results.floors["bipartite"]["own names, whole image"]["GMNER"] == pytest.approx(14 / 18)
    assert list(results.scores) == ["index_keyed", "string_keyed", "per_region", "bipartite", "tiger_faulty"]
    assert results.counts["gold entities"] == 10 and results.counts["predicted entities"] == 8


def test_grounding_alone_by_hand():
    scores = grounding_scores(FIVE)
    # Lena has the right span in four tweets: IoU .75, .5, 0 (None), 0 (unread); Brno in three: None, a box, unread.
    assert (scores.groundable, scores.none, scores.unread) == (4, 3, 2)
    assert scores.right_groundable.value == pytest.approx(2 / 4)
    assert scores.iou.value == pytest.approx(1.25 / 4)
    assert scores.right_none.value == pytest.approx(1 / 3)
    assert scores.histogram == (2, 0, 0, 0, 0, 1, 0, 1, 0, 0)
    assert scores.right_groundable.low < scores.right_groundable.value < scores.right_groundable.high
    alone = grounding_scores(FIVE[4:])
    assert alone.groundable == 0 and math.isnan(alone.right_groundable.value)


def test_missing_images_are_listed_and_counted():
    missing = replace(FIVE[0], id="gone", marks=(Mark("image", "missing image"), Mark("place unread", "Lena")))
    results = measure([*FIVE, missing], ["index_keyed"])
    assert results.missing_images == (("gone", "missing image"),)
    assert (results.marks["image"], results.marks["place unread"], results.marks["search down"]) == (1, 1, 0)
    assert results.tweets == 6


def test_gold_is_all_right_on_the_real_dev_split(data):
    """2450 entities, 991 of them with a box, so that None is right for 1459."""
    tweets = read_gmner(data / "gmner" / "dev", "dev")
    gold = {tweet.id: tweet.entities for tweet in tweets}
    folder = data / "gmner" / "dev" / "images"
    results = measure(
        Pipeline(folder, NoKnowledge(), GoldPlaces(gold), gold_names=True).predict(tweets), ["bipartite"]
    )
    assert results.scores["bipartite"]["GMNER"]["all"].f1.value == 1.0
    assert results.scores["bipartite"]["GMNER"]["groundable"].gold == 991
    assert results.floors["bipartite"]["own names, always None"]["GMNER"] == pytest.approx(1459 / 2450)
    assert len(results.missing_images) == results.tweets == 1500


def test_gold_is_all_right_in_a_world(tmp_path):
    """By regions too where every entity has one box."""
    tweets = [post.tweet(tmp_path) for post in draw_world(1, 1, 40, seed=2).posts["test"]]
    tweets = [
        replace(tweet, entities=tuple(replace(one, boxes=one.boxes[:1]) for one in tweet.entities)) for tweet in tweets
    ]
    gold = {tweet.id: tweet.entities for tweet in tweets}
    pipeline = Pipeline(tmp_path / "images", NoKnowledge(), GoldPlaces(gold), gold_names=True)
    results = measure(pipeline.predict(tweets))
    for scores in results.scores.values():
        assert [scores[task]["all"].f1.value for task in ("MNER", "EEG", "GMNER")] == [1.0, 1.0, 1.0]
    assert results.grounding.right_none.value == results.grounding.right_groundable.value == 1.0
    nones = sum(not one.boxes for tweet in tweets for one in tweet.entities)
    floor = results.floors["index_keyed"]["gold names, always None"]["GMNER"]
    assert floor == pytest.approx(nones / sum(len(tweet.entities) for tweet in tweets))
    assert len(results.missing_images) == 40  # no image was drawn

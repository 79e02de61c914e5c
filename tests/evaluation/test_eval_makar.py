"""Tweets as a task: F1 of the checkpoint's own names and places of gold's, equal to the scorers on the predictions."""

import json
import re
import shutil

import pytest
from eval_inputs import config

from setaria.agents.makar.predictions import read_predictions
from setaria.agents.makar.results import grounding_scores, measure
from setaria.cli.main import main as setaria
from setaria.datasets_builders.worlds.tweets import write_tweets_world
from setaria.evaluation import evaluate, makar
from setaria.evaluation.items import items_file, read_items
from setaria.recipes.makar import evaluate as recipe
from setaria.recipes.makar import tiny_model


TWEETS = 8


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world") / "tweets"
    write_tweets_world(root, 24, 2, TWEETS, seed=1)
    return root


@pytest.fixture(scope="module")
def checkpoint(world, tmp_path_factory):
    """Small and untrained."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.main(["--data", str(world), "--output", str(folder)])
    return folder


def asked(world, checkpoint, folder, **settings):
    folder.mkdir(exist_ok=True)
    return config(checkpoint, folder, **{"tasks": {"makar": world}, "max_new_tokens": 6} | settings)


class Guesser:
    """In place of a model: the first two words are entities, and every other place is the upper left of the image."""

    def __init__(self):
        self.asked = 0

    def generate(self, conversations):
        return [self._answer(conversation[-1]["content"][-1]["text"]) for conversation in conversations]

    def _answer(self, text):
        self.asked += 1
        if "Where in the image" in text:
            place = "[0, 0, 500, 500]" if len(text) % 2 else "None"
            return f"<think>a guess</think><answer>{place}</answer>"
        words = re.findall(r"^> (.+)$", text, re.MULTILINE)[0].split()[:2]
        lines = [f"{number}. {word} (PER): known" for number, word in enumerate(words, 1)]
        return "\n".join(["Named entities:", *lines, "Reasoning: none."])


@pytest.fixture
def guesser(monkeypatch):
    guesser = Guesser()
    monkeypatch.setattr(makar, "vision_chat", lambda *given: guesser)
    return guesser


def values(results):
    return {one.metric: (one.value, one.low, one.high, one.items) for one in results.scores}


def test_numbers_are_those_of_the_scorers(world, checkpoint, guesser, tmp_path):
    done = asked(world, checkpoint, tmp_path, batch_size=3, seed=5)
    results = evaluate(done)
    folder = tmp_path / "run" / "makar" / checkpoint.name
    own = read_predictions(folder / "predictions.jsonl")
    assert len(own) == TWEETS and all(len(one.predicted) == 2 for one in own)
    scores = measure(own, ["index_keyed"], seed=5).scores["index_keyed"]
    items = read_items(items_file(done.output, checkpoint.name, "makar")).items
    gold = [makar.prediction_of(item, makar.GOLD) for item in items]
    places = grounding_scores(gold, seed=5)
    assert places.groundable + places.none == sum(len(one.gold) for one in gold) > 4
    expected = {name: scores[name]["all"].f1 for name in ("GMNER", "MNER", "EEG")}
    expected |= {"acc@0.5": places.right_groundable, "None accuracy": places.right_none}
    found = values(results)
    assert {name: one[:3] for name, one in found.items()} == {
        name: (one.value, one.low, one.high) for name, one in expected.items()
    }
    assert found["MNER"][3] == TWEETS and found["acc@0.5"][3] == sum("acc@0.5" in item.scores for item in items)
    assert found["MNER"][0] > 0 and 0 < found["None accuracy"][0] < 1
    for item, one in zip(items, own, strict=True):
        assert item.prompt == one.text and len(item.prediction.splitlines()) == 2
        assert len(item.target.splitlines()) == len(one.gold)
    assert len((folder / "replies.0.jsonl").read_text().splitlines()) == TWEETS
    page = tmp_path / "page.html"
    flags = ["--images", str(world / "images"), "--output", str(page)]
    assert setaria(["agent", "makar-page", str(folder), *flags]) == 0
    assert own[0].tokens[0] in page.read_text()


def test_finished_tweets_are_not_asked_about_again(world, checkpoint, guesser, tmp_path):
    done = asked(world, checkpoint, tmp_path, batch_size=2)
    whole = evaluate(done)
    all_asked, guesser.asked = guesser.asked, 0
    file = items_file(done.output, checkpoint.name, "makar")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    again = evaluate(done)
    assert guesser.asked < all_asked / 2
    assert values(again) == values(whole)


def test_a_model_is_asked_as_in_the_recipe(world, checkpoint, tmp_path):
    """Places of gold's names; what the recipe measures of them is acc@.5 and None accuracy here."""
    results = evaluate(asked(world, checkpoint, tmp_path, drafters=("none", "trie"), limit=3))
    flags = {"data": world, "output": tmp_path / "alone", "model_name_or_path": checkpoint, "knowledge": "off"}
    flags |= {"ner": "gold", "grounding": "model", "tweets": 3, "conventions": "index_keyed", "dtype": "float32"}
    flags |= {"grounding_tokens": 6, "batch": 3}
    recipe.main([part for name, value in flags.items() for part in (f"--{name}", str(value))])
    grounding = json.loads((tmp_path / "alone" / "metrics.json").read_text())["grounding"]
    shares = {"acc@0.5": grounding["right_groundable"], "None accuracy": grounding["right_none"]}
    for setting in (checkpoint.name, f"{checkpoint.name} / trie"):
        found = {one.metric: one.value for one in results.scores if one.setting == setting}
        for name, share in shares.items():
            assert found.get(name) == share["value"]
        items = read_items(items_file(tmp_path / "run", setting, "makar")).items
        replies = [one.reply for item in items for one in makar.prediction_of(item, makar.GOLD).predicted]
        alone = read_predictions(tmp_path / "alone" / "predictions.jsonl")
        assert sorted(replies) == sorted(one.reply for tweet in alone for one in tweet.predicted)


def test_what_cannot_be_asked_is_named(world, checkpoint, tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match=f"{tiny_checkpoint}: a llama takes no images"):
        evaluate(asked(world, tiny_checkpoint, tmp_path / "text"))
    copy = shutil.copytree(world, tmp_path / "copy")
    text = (copy / "txt" / "test.txt").read_text()
    for name, content, named in (("none", "", "no tweets"), ("twice", f"{text}\n{text}", "a tweet is there twice")):
        (copy / "txt" / "test.txt").write_text(content)
        with pytest.raises(ValueError, match=f"{copy}.*{named}"):
            evaluate(asked(copy, checkpoint, tmp_path / name))
    (copy / "txt" / "test.txt").unlink()
    with pytest.raises(OSError, match=r"test\.txt"):
        evaluate(asked(copy, checkpoint, tmp_path / "missing"))

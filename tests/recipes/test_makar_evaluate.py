"""The pipeline as a command: settings, ablations, going on after an interruption, and what is written."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from trl import TrlParser

from setaria.agents.makar.predictions import read_predictions
from setaria.agents.makar.results import HONEST
from setaria.cli.main import main as setaria
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.worlds.tweets import write_tweets_world
from setaria.recipes.makar import evaluate, evaluation, knowledge_setup, tiny_model
from setaria.recipes.makar.evaluate_arguments import EvaluateArguments
from setaria.recipes.makar.evaluation_tables import print_results
from setaria.recipes.preflight import check_arguments
from setaria.recipes.run_folder import resolved_config


FOLDER = Path(__file__).parents[2] / "recipes" / "makar"
RECIPES = sorted(FOLDER.glob("*evaluate*.yaml"))
TWEETS = 6
ORACLE = ["--knowledge", "off", "--ner", "gold", "--grounding", "gold"]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world") / "tweets"
    write_tweets_world(root, 24, 2, TWEETS, seed=1)
    return root


class Stub:
    """Answers questions about knowledge with the first word of the tweet, and about places with None.

    Args:
        dies_at: number of the question, from 0, at which it is unplugged.
    """

    def __init__(self, dies_at: int | None = None):
        self.asked, self.dies_at = [], dies_at

    def generate(self, conversations):
        if self.dies_at is not None and len(self.asked) + len(conversations) > self.dies_at:
            raise OSError("unplugged")
        texts = ["".join(part.get("text", "") for part in one[-1]["content"]) for one in conversations]
        self.asked += texts
        return list(map(self._answer, texts))

    def _answer(self, asked: str) -> str:
        if "Where in the image" in asked:
            return "<think>nothing</think><answer>None</answer>"
        if "What do the pages say" in asked:
            return "a place"
        (word,) = re.findall(r"^> (\S+)", asked, re.MULTILINE)[:1]
        kind = "LOC" if "Decide." in asked else ("PER", "ORG")[len(self.asked) % 2]
        return f"Named entities:\n1. {word} ({kind}): known\nReasoning: none."


@pytest.fixture
def stub(monkeypatch):
    """In place of both models; a new one with `stub(..)`."""

    def use(**arguments) -> Stub:
        chat = Stub(**arguments)
        monkeypatch.setattr(knowledge_setup, "load_both", lambda arguments: (chat, chat))
        monkeypatch.setattr(evaluation, "load_chat", lambda arguments, processor: chat)
        return chat

    return use


@pytest.fixture(scope="module")
def model(world, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_model.main(["--data", str(world), "--output", str(folder)])
    return folder


def flags(world: Path, output: Path, *more: object) -> list[str]:
    """Data and output; one convention, for speed, unless `more` names others."""
    one = [] if "--conventions" in more else ["--conventions", "index_keyed"]
    return ["--data", str(world), "--output", str(output), *one, *map(str, more)]


def asking(world: Path, model: Path, output: Path, *more: object) -> list[str]:
    """Flags of a run in which a model knows, looks everything up, and grounds."""
    web = ["--search", "corpus", "--web", world / "pages.jsonl", "--tau", 1.01]
    agents = ["--ner", "model", "--samples", 2, "--batch", 4, "--at_once", 2]
    return flags(world, output, "--model_name_or_path", model, *agents, *web, *more)


def metrics(output: Path) -> dict:
    return json.loads((output / "metrics.json").read_text(encoding="utf-8"))


def failure(argv: list[str], capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        evaluate.main(argv)
    return stop.value.code, [line for line in capsys.readouterr().err.splitlines() if line.startswith("setaria: ")][-1]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_parses_strictly(recipe):
    argv = ["--config", str(recipe), "--data", "d", "--output", "o", "--tagger", "t", "--known", "k", "--web", "w"]
    text = recipe.read_text()
    if "model_name_or_path:" not in text:
        argv += ["--model_name_or_path", "m"]
    check_arguments(argv, evaluate.FIELDS, evaluate.check_values)
    (arguments,) = TrlParser((EvaluateArguments,)).parse_args_and_config(argv)
    written = yaml.safe_load(text)
    resolved = resolved_config(arguments)
    assert {name: resolved[name] for name in written} == written
    blocks = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    assert blocks[1::2] == ["agents", "model", "data"]
    for block in blocks[2::2]:
        assert list(yaml.safe_load(block)) == sorted(yaml.safe_load(block))
    assert "# Numbers " in text and "# Hardware " in text and f"recipes/makar/{recipe.name}" in text


def test_there_are_recipes():
    assert [recipe.stem for recipe in RECIPES] == ["evaluate_qwen2.5_vl_7b", "tiny_evaluate"]


def test_gold_everywhere_is_all_right(world, tmp_path, capsys):
    """Without any model. The world's floor is counted here: the share of entities without a box."""
    assert setaria(["agent", "makar", *flags(world, tmp_path / "run", *ORACLE, "--conventions", *HONEST)]) == 0
    found = metrics(tmp_path / "run")
    for convention in HONEST:
        assert found["scores"][convention]["MNER"]["all"]["f1"]["value"] == 1.0
    assert found["scores"]["index_keyed"]["GMNER"]["all"]["f1"]["value"] == 1.0
    entities = [one for tweet in read_gmner(world, "test") for one in tweet.entities]
    floor = sum(not one.boxes for one in entities) / len(entities)
    assert found["floors"]["index_keyed"]["gold names, always None"]["GMNER"] == pytest.approx(floor)
    assert (found["schema"], found["tweets"], found["missing_images"]) == ("setaria.makar/1", TWEETS, [])
    assert found["agents"] == {"knowledge": "off", "search": "off", "ner": "gold", "grounding": "gold"}
    assert found["images"] == str(world / "images")
    assert found["config"]["seed"] == found["environment"]["seed"] == 0
    said = capsys.readouterr().out
    for text in ("index_keyed", "own names, always None", "groundable, acc@.5", "metrics.json"):
        assert text in said


def test_a_fault_is_labelled_and_only_there_if_asked_for(world, tmp_path, capsys):
    argv = flags(world, tmp_path / "run", *ORACLE, "--conventions", "index_keyed", "tiger_faulty")
    evaluate.main(argv)
    assert list(metrics(tmp_path / "run")["scores"]) == ["index_keyed", "tiger_faulty"]
    assert "known fault" in capsys.readouterr().out


def test_places_off_and_whole_image(world, tmp_path):
    for places, readable in (("off", None), ("whole-image", "box")):
        argv = flags(world, tmp_path / places, *ORACLE[:-1], places)
        evaluate.main(argv)
        boxes = [one.box for p in read_predictions(tmp_path / places / "predictions.jsonl") for one in p.predicted]
        assert all((box is None) == (readable is None) for box in boxes)
        assert metrics(tmp_path / places)["scores"]["index_keyed"]["MNER"]["all"]["f1"]["value"] == 1.0


def test_all_agents_ask_and_everything_is_recorded(world, model, tmp_path, stub):
    chat = stub()
    evaluate.main(asking(world, model, tmp_path / "run"))
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert [one.id for one in predictions] == [tweet.id for tweet in read_gmner(world, "test")]
    assert all(one.corrected and one.lookups for one in predictions if one.predicted)
    assert any(lookup.sources for one in predictions for lookup in one.lookups)
    assert {found.type for one in predictions for found in one.predicted} == {"LOC"}
    assert all("a place" in found.known for one in predictions for found in one.predicted)
    replies = (tmp_path / "run" / "replies.jsonl").read_text().splitlines()
    assert len(replies) == len(chat.asked)
    found = metrics(tmp_path / "run")
    assert found["counts"]["looked up"] == sum(bool(one.lookups) for one in predictions)
    # Everything is None: right where the span is gold's and gold has no box.
    assert found["grounding"]["right_none"]["value"] in (1.0, None)


def test_an_interrupted_run_goes_on_and_asks_nothing_twice(world, model, tmp_path, stub, capsys):
    whole = stub()
    evaluate.main(asking(world, model, tmp_path / "whole"))
    first = stub(dies_at=len(whole.asked) // 2)
    code, said = failure(asking(world, model, tmp_path / "cut"), capsys)
    assert code == 1 and "unplugged" in said
    assert not (tmp_path / "cut" / "metrics.json").exists()
    done = len(read_predictions(tmp_path / "cut" / "predictions.jsonl"))
    assert 0 < done < TWEETS
    second = stub()
    evaluate.main(asking(world, model, tmp_path / "cut"))
    assert len(first.asked) + len(second.asked) == len(whole.asked)
    assert len(read_predictions(tmp_path / "cut" / "predictions.jsonl")) == TWEETS
    third = stub(dies_at=0)
    evaluate.main(asking(world, model, tmp_path / "cut"))
    assert third.asked == []


def test_runs_share_recordings(world, model, tmp_path, stub):
    """An ablation asks only what the other has not: without knowledge the questions about places are others."""
    stub()
    evaluate.main(asking(world, model, tmp_path / "whole"))
    chat = stub()
    argv = asking(world, model, tmp_path / "untold", "--grounding_knowledge", "false")
    evaluate.main([*argv, "--recordings", str(tmp_path / "whole")])
    assert chat.asked and all("Where in the image" in asked for asked in chat.asked)
    assert not (tmp_path / "untold" / "replies.jsonl").exists()


def test_a_run_of_more_tweets_goes_on(world, tmp_path):
    evaluate.main(flags(world, tmp_path / "run", *ORACLE, "--tweets", 2))
    assert metrics(tmp_path / "run")["tweets"] == 2
    evaluate.main(flags(world, tmp_path / "run", *ORACLE))
    assert metrics(tmp_path / "run")["tweets"] == TWEETS
    evaluate.main(flags(world, tmp_path / "run", *ORACLE, "--tweets", 3))
    assert metrics(tmp_path / "run")["tweets"] == 3


def test_predictions_of_other_settings_are_not_mixed(world, tmp_path, capsys):
    evaluate.main(flags(world, tmp_path / "run", *ORACLE))
    code, said = failure(flags(world, tmp_path / "run", *ORACLE[:-1], "off"), capsys)
    assert code == 1
    assert "holds predictions with grounding=gold, not off: choose another --output" in said


def test_missing_and_broken_images_are_listed_and_counted(world, model, tmp_path, stub, capsys):
    root = tmp_path / "world"
    shutil.copytree(world, root)
    gone, broken = read_gmner(root, "test")[:2]
    gone.image.unlink()
    broken.image.write_bytes(b"JFIF")
    stub()
    evaluate.main(asking(root, model, tmp_path / "run"))
    found = metrics(tmp_path / "run")
    assert [one["id"] for one in found["missing_images"]] == [gone.id, broken.id]
    assert found["missing_images"][0]["problem"] == "missing image"
    assert found["marks"]["image"] == 2 and found["tweets"] == TWEETS
    said = capsys.readouterr().out
    assert "image: 2 tweets" in said and f"{gone.id}: missing image" in said


def test_a_search_engine_that_is_down_is_marked(world, model, tmp_path, stub):
    """Recorded searches of a folder without any."""
    stub()
    (tmp_path / "run").mkdir()
    for name in ("searches.jsonl", "pages.jsonl"):
        (tmp_path / "run" / name).write_text("")
    argv = flags(world, tmp_path / "run", "--model_name_or_path", model, "--ner", "model", "--samples", 2)
    evaluate.main([*argv, "--search", "recorded", "--tau", "1.01"])
    found = metrics(tmp_path / "run")
    searched = [one for one in read_predictions(tmp_path / "run" / "predictions.jsonl") if one.lookups]
    assert found["marks"]["search down"] == len(searched) > 0
    assert not any(one.corrected for one in searched)
    assert "no search for" in searched[0].marked("search down")[0]

    # Now it is up again: what was marked is searched for, and nothing else is predicted again.
    queries = {lookup.query for one in searched for lookup in one.lookups}
    lines = [{"query": query, "count": 3, "date": "2025-11-04", "hits": []} for query in queries]
    (tmp_path / "run" / "searches.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    chat = stub(dies_at=0)
    evaluate.main([*argv, "--search", "recorded", "--tau", "1.01"])
    assert metrics(tmp_path / "run")["marks"]["search down"] == 0
    assert chat.asked == []
    assert len((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()) == TWEETS + len(searched)


def test_knowledge_from_a_folder_and_its_tau(world, model, tmp_path, stub):
    known = tmp_path / "known"
    known.mkdir()
    lines = [
        {"tweet": tweet.id, "text": f"Named entities:1. {tweet.tokens[0]} (PER)"}
        for tweet in read_gmner(world, "test")
    ]
    (known / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (known / "threshold.json").write_text('{"best": {"tau": 0.5}}')
    chat = stub()
    argv = flags(
        world, tmp_path / "run", "--knowledge", "file", "--known", known, "--ner", "model", "--grounding", "off"
    )
    web = ["--search", "corpus", "--web", world / "pages.jsonl", "--model_name_or_path", model]
    evaluate.main([*argv, *map(str, web)])
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert chat.asked == []  # confidence 1 is not below the tau of .5
    assert [[one.text for one in p.predicted] for p in predictions] == [[p.tokens[0]] for p in predictions]


def test_the_tiny_model_runs_the_pipeline(world, model, tmp_path):
    """The real thing, untrained: its answers are noise, which is unread and marked."""
    argv = ["--config", str(FOLDER / "tiny_evaluate.yaml"), *flags(world, tmp_path / "run")]
    argv += ["--model_name_or_path", str(model), "--web", str(world / "pages.jsonl"), "--ner", "model"]
    evaluate.main([*argv, "--max_new_tokens", "4", "--grounding_tokens", "4", "--tweets", "3"])
    assert metrics(tmp_path / "run")["marks"]["knowledge"] == 3
    argv = ["--config", str(FOLDER / "tiny_evaluate.yaml"), *flags(world, tmp_path / "gold")]
    argv += ["--grounding_model", str(model), "--ner", "gold", "--knowledge", "off", "--search", "off"]
    evaluate.main([*argv, "--grounding_tokens", "4"])
    found = metrics(tmp_path / "gold")
    entities = sum(len(tweet.entities) for tweet in read_gmner(world, "test"))
    assert found["grounding"]["unread"] == entities > 0
    assert found["scores"]["index_keyed"]["MNER"]["all"]["f1"]["value"] == 1.0
    assert found["scores"]["index_keyed"]["GMNER"]["all"]["right"] == 0


BASE = "--data d --output o"
BAD = {
    "data": ("--output o", "data is missing"),
    "tagger": (f"{BASE} --model_name_or_path m", "tagger is missing: give a folder that"),
    "model": (f"{BASE} --tagger t", "model_name_or_path is missing: give a checkpoint, or endpoint"),
    "no names": (f"{BASE} --ner model --knowledge off", "ner: model takes the names that are known"),
    "no doubt": (f"{BASE} --ner gold --knowledge off --search ddgs --tau 1", "search: ddgs is for names in doubt"),
    "tau": (f"{BASE} --model_name_or_path m --ner model --search ddgs", "known is missing: give tau, or the folder"),
    "web": (f"{BASE} --model_name_or_path m --ner model --search corpus --tau 1", "web is missing: give a file of"),
    "file": (f"{BASE} --ner model --knowledge file", "known is missing: give the folder with <split>.jsonl"),
    "grounding": (f"{BASE} --ner gold --knowledge off", "it or grounding_model"),
    "served": (
        f"{BASE} --ner gold --knowledge off --grounding_model m --grounding_endpoint http://x/v1",
        "grounding_endpoint_model is missing",
    ),
    "adapter": (
        f"{BASE} --ner gold --knowledge off --grounding_model m --grounding_endpoint http://x/v1 "
        "--grounding_endpoint_model n --grounding_adapter a",
        "grounding_adapter is for a model in this process",
    ),
    "sizes": (
        f"{BASE} --ner model --endpoint http://x/v1 --endpoint_model m --image_max_pixels 9 --grounding_model g",
        "the checkpoint whose processor sizes images",
    ),
    "choice": (f"{BASE} --ner golden", "did you mean 'gold'?"),
    "key": (f"{BASE} --searchs off", "did you mean '--search'?"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD)
def test_bad_settings_end_at_once(argv, message, capsys):
    code, said = failure(argv.split(), capsys)
    assert code == 2
    assert message in said


def test_yaml_reads_off_as_false(tmp_path, capsys):
    """It has to be quoted, and the message says what is allowed."""
    (tmp_path / "r.yaml").write_text("search: off\n")
    code, said = failure(["--config", str(tmp_path / "r.yaml"), *BASE.split()], capsys)
    assert code == 2
    assert "search: False is not one of off, corpus" in said


@pytest.mark.parametrize(
    "changed", [{"tweets": 0}, {"at_once": 0}, {"grounding_tokens": 0}, {"conventions": ["h_index"]}, {"samples": 0}]
)
def test_values_that_no_run_has(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}="):
        EvaluateArguments(**changed)


def test_the_grounding_model_is_the_other_one_unless_named():
    base = {"model_name_or_path": "m", "adapter": "a", "temperature": 0.7}
    chat = EvaluateArguments(**base).grounding_chat
    assert (chat.model_name_or_path, chat.adapter, chat.temperature) == ("m", "a", 0.0)
    chat = EvaluateArguments(**base, grounding_model="g").grounding_chat
    assert (chat.model_name_or_path, chat.adapter) == ("g", None)
    chat = EvaluateArguments(**base, grounding_adapter="b").grounding_chat
    assert (chat.model_name_or_path, chat.adapter) == ("m", "b")
    served = {"grounding_endpoint": "http://x/v1", "grounding_endpoint_model": "s", "grounding_model": "g"}
    chat = EvaluateArguments(**base, **served).grounding_chat
    assert (chat.endpoint_model, chat.model_name_or_path, chat.adapter) == ("s", "g", None)


def test_tables_name_what_there_is_not(world, tmp_path):
    evaluate.main(flags(world, tmp_path / "run", *ORACLE))
    (arguments,) = TrlParser((EvaluateArguments,)).parse_args_and_config(flags(world, tmp_path / "run", *ORACLE))
    console = Console(record=True, width=120)
    print_results(evaluation.evaluate(arguments), "[odd] name", console)
    assert "[odd] name" in console.export_text()

"""The knowledge script: both agents over a generated world, tau from dev, resuming, what builders read, settings."""

import json
import random
import re
import shutil
import socket
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import yaml
from makar_chats import ScriptedChat, Silent
from trl import TrlParser

from setaria.agents.backtrack.endpoint import Endpoint
from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.correction import CorrectionConfig
from setaria.agents.makar.entity_reply import Named, write_entities
from setaria.agents.makar.knowledge_prompts import Unlabelled
from setaria.agents.makar.polite import Polite
from setaria.agents.makar.search import SearchDown
from setaria.agents.makar.tagger import CandidateTagger
from setaria.cli.main import main as setaria
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.layouts import GMNER
from setaria.datasets_builders.mner.tagger_rows import tagger_rows
from setaria.datasets_builders.worlds.tweet_texts import KINDS
from setaria.datasets_builders.worlds.tweets import write_tweets_world
from setaria.recipes.makar import knowledge, knowledge_setup, tiny_model
from setaria.recipes.makar.build import read_keyed
from setaria.recipes.makar.knowledge_arguments import KnowledgeArguments
from setaria.recipes.makar.knowledge_setup import knowledge_prompts, load_both, web
from setaria.recipes.makar.tagger_data import read_knowledge
from setaria.recipes.preflight import check_arguments
from setaria.recipes.run_folder import resolved_config
from setaria.rewards.entity_scores import ScoredTweet, entity_scores
from setaria.rewards.grounded_entities import PredictedEntity


FOLDER = Path(__file__).parents[2] / "recipes" / "makar"
RECIPES = sorted(FOLDER.glob("*knowledge*.yaml"))
TYPE_OF = {kind: label for label, kinds in KINDS.items() for kind in kinds}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world") / "w"
    write_tweets_world(root, 12, 40, 40, seed=5)
    return root


class Knower:
    """Sees every name of the world in a tweet, knows the types of common names, guesses those of others, and believes
    what a page says of a name in doubt.
    """

    def __init__(self, world):
        lines = (world / "facts.jsonl").read_text().splitlines()
        self.types = {}
        for fact in map(json.loads, lines):
            self.types.setdefault(fact["name"], "" if fact["long_tail"] else fact["type"])
        self.guess = random.Random(0)

    def __call__(self, asked):
        if "What do the pages say" in asked:
            (name,) = re.findall(r'pages say about "(.+)" as', asked)
            kinds = re.findall(rf"\b{name} is a (\w+)\.", asked)
            return f"{name} is a {kinds[0]}." if kinds else "nothing"
        web = {name: TYPE_OF[kind] for name, kind in re.findall(r"^> (.+) is a (\w+)\.$", asked, re.MULTILINE)}
        tweet = asked.split("> ")[-1].splitlines()[0]
        names = sorted((name for name in self.types if re.search(rf"(?<!\S){name}(?!\S)", tweet)), key=tweet.find)
        labels = [web.get(name) or self.types[name] or self.guess.choice(list(GMNER.types)) for name in names]
        named = (Named(name, label, "", f"{name} is known") for name, label in zip(names, labels, strict=True))
        return write_entities(named, "as I know")


def answering(monkeypatch, model):
    """Let this model answer in both roles."""
    monkeypatch.setattr(knowledge_setup, "load_both", lambda arguments: (model, model))
    return model


@pytest.fixture
def models(monkeypatch):
    return partial(answering, monkeypatch)


def run(world, output, *more, split="dev", search=True):
    argv = ["--config", FOLDER / "tiny_knowledge.yaml", "--data", world, "--output", output, "--split", split]
    argv += ["--model_name_or_path", "m", *(["--web", world / "pages.jsonl"] if search else []), *more]
    if not search:
        argv = [*argv[2:], "--samples", "4"]
    knowledge.main([*map(str, argv)])


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def f1(world, split, entries):
    """MNER's F1 of what is written."""
    found = {entry["tweet"]: tuple(PredictedEntity(**one) for one in entry["entities"]) for entry in entries}
    scored = [ScoredTweet(tweet.id, tweet.entities, found[tweet.id]) for tweet in read_gmner(world, split)]
    return entity_scores(scored, "index_keyed")["MNER"]["all"].f1.value


@pytest.fixture(scope="module")
def done(world, tmp_path_factory):
    """What a run over dev and then test leaves."""
    folder = tmp_path_factory.mktemp("knowledge")
    with pytest.MonkeyPatch.context() as monkeypatch:
        answering(monkeypatch, ScriptedChat(Knower(world)))
        for split in ("dev", "test"):
            run(world, folder, split=split)
    return folder


@pytest.fixture
def output(done, tmp_path):
    return shutil.copytree(done, tmp_path / "k")


def test_search_helps_where_the_model_does_not_know(world, output, tmp_path, models):
    models(ScriptedChat(Knower(world)))
    run(world, tmp_path / "plain", split="test", search=False)
    plain, searched = lines(tmp_path / "plain" / "test.jsonl"), lines(output / "test.jsonl")
    assert "decided" not in plain[0]
    assert f1(world, "test", searched) > f1(world, "test", plain) + 0.1
    tuned = json.loads((output / "threshold.json").read_text())
    assert 0 < tuned["best"]["tau"] < 1.01
    report = json.loads((output / "test_report.json").read_text())
    assert report["tau"] == tuned["best"]["tau"]
    assert report["counts"]["tweets"] == 40 and report["settings"]["search"] == "corpus"
    assert 0 < report["counts"]["decided again"] <= report["counts"]["looked up"] < 40
    assert report["counts"]["search down"] == report["counts"]["unread answers"] == 0
    for entry in searched:
        doubts = [min(one["boundary"], one["type_confidence"]) for one in entry["candidates"]]
        assert bool(entry["asked"]) == (min(doubts, default=2) < report["tau"])
    assert (output / "run" / "config.yaml").is_file()


def test_the_builders_read_it(world, output):
    tweets = read_gmner(world, "test")
    texts = read_knowledge(output / "test.jsonl")
    assert list(texts) == [tweet.id for tweet in tweets]
    assert all(row["knowledge"][:2] == ["Named", "entities:"] for row in tagger_rows(tweets, texts))
    about = read_keyed(output / "test_entities.jsonl")
    entities = [(tweet.id, entity.text) for tweet in tweets for entity in tweet.entities]
    assert {key for key in entities if key in about} == set(entities)
    (asked, *_) = [(entry["tweet"], one) for entry in lines(output / "test.jsonl") for one in entry["asked"]]
    tweet, lookup = asked
    assert about[tweet, lookup["name"]] == f"{lookup['name']} is known {lookup['summary']}"


def test_it_passes_the_check_for_leaks(world, output, capsys):
    assert setaria(["check", "leak", str(output), "--data", str(world)]) == 0
    assert "dev, test: 0 errors" in " ".join(capsys.readouterr().out.split())


def test_the_same_again_asks_nobody(world, output, models):
    before = {name: (output / name).read_bytes() for name in ("dev.jsonl", "test.jsonl", "replies.jsonl")}
    models(Silent())
    for split in ("dev", "test"):
        run(world, output, split=split)
    assert {name: (output / name).read_bytes() for name in before} == before


def test_no_prompt_depends_on_labels(world, output, tmp_path, models):
    """The same tweets and images without any label or box: not one new question, of either agent."""
    bare = shutil.copytree(world, tmp_path / "bare")
    for file in (bare / "xml").glob("*.xml"):
        file.unlink()
    text = (bare / "txt" / "dev.txt").read_text()
    (bare / "txt" / "dev.txt").write_text(re.sub(r"\t\S+$", "\tO", text, flags=re.MULTILINE))
    assert not any(tweet.entities for tweet in read_gmner(bare, "dev"))
    before = (output / "dev.jsonl").read_bytes()
    tau = json.loads((output / "threshold.json").read_text())["best"]["tau"]
    models(Silent())
    run(bare, output, "--tau", tau)
    assert (output / "dev.jsonl").read_bytes() == before


def test_a_tagger_takes_over(world, output, models, monkeypatch):
    """It finds the first token of each tweet, and is sure of the type in every other tweet."""

    class First:
        def candidates(self, tweets, knowledge):
            assert not any(tweet.entities or tweet.size for tweet in tweets)
            assert all(knowledge[tweet.id].startswith("Named entities:") for tweet in tweets)
            return [
                (Candidate(0, 1, tweet.tokens[0], "LOC", type_confidence=0.2 + 0.8 * (number % 2)),)
                for number, tweet in enumerate(tweets)
            ]

    loaded = []
    monkeypatch.setattr(CandidateTagger, "load", lambda *arguments: loaded.append(arguments) or First())
    models(ScriptedChat(Knower(world)))
    run(world, output, "--tagger", "runs/tagger", "--tau", "0.5")
    assert [(folder, batch) for folder, batch, _ in loaded] == [("runs/tagger", 64)]
    entries = lines(output / "dev.jsonl")
    assert all(entry["candidates"][0]["start"] == 0 for entry in entries)
    assert {bool(entry["asked"]) for entry in entries[1::2]} == {False}
    assert all(entry["asked"] for entry in entries[::2])


def test_an_interrupted_run_goes_on(world, tmp_path, models):
    """Killed in the middle of a line; in the end no answer is there twice."""
    dying = models(ScriptedChat(Knower(world), dies_at=2))
    with pytest.raises(SystemExit):
        run(world, tmp_path / "k", "--tau", "0.8")  # an error of input and output is one line
    assert sum(dying.calls) == 128 and not (tmp_path / "k" / "dev.jsonl").exists()
    replies = tmp_path / "k" / "replies.jsonl"
    replies.write_bytes(replies.read_bytes()[:-30])
    rest = models(ScriptedChat(Knower(world)))
    with pytest.warns(UserWarning, match="the last line was cut"):
        run(world, tmp_path / "k", "--tau", "0.8")
    keys = [(one["id"], one["prompt"], one["model"], one["sample"]) for one in lines(replies)]
    assert len(keys) == len(set(keys)) == 127 + sum(rest.calls)
    assert len(lines(tmp_path / "k" / "dev.jsonl")) == 40
    assert len({one["model"] for one in lines(replies)}) == 2  # samples, and decisions at temperature 0


def test_a_search_engine_that_is_down(world, tmp_path, models):
    """Nothing is recorded: every search fails, the model's own entities stay, and each such tweet is marked."""
    models(ScriptedChat(Knower(world)))
    (tmp_path / "k").mkdir()
    for name in ("searches.jsonl", "pages.jsonl"):
        (tmp_path / "k" / name).write_text("")
    run(world, tmp_path / "k", "--search", "recorded", "--tau", "0.9", search=False)
    entries = lines(tmp_path / "k" / "dev.jsonl")
    down = [entry for entry in entries if entry["degraded"]]
    assert down and all("is recorded" in entry["degraded"] and not entry["decided"] for entry in down)
    assert {bool(entry["asked"]) for entry in down} == {True}
    counts = json.loads((tmp_path / "k" / "dev_report.json").read_text())["counts"]
    assert counts["search down"] == counts["looked up"] == len(down)


def test_missing_images_are_counted(world, tmp_path, models):
    models(ScriptedChat(Knower(world)))
    run(world, tmp_path / "k", "--images", tmp_path, search=False)
    assert json.loads((tmp_path / "k" / "dev_report.json").read_text())["counts"]["without image"] == 40
    assert all(entry["problems"] for entry in lines(tmp_path / "k" / "dev.jsonl"))


def test_examples_are_of_train(world, tmp_path, models):
    first = read_gmner(world, "train")[0]
    (tmp_path / "reasoning.jsonl").write_text(json.dumps({"tweet": first.id, "text": "As I saw."}) + "\n")
    model = models(ScriptedChat(Knower(world)))
    run(world, tmp_path / "k", "--reasoning", tmp_path / "reasoning.jsonl", search=False)
    shown = [turn for asked in model.asked for turn in asked if turn["role"] == "assistant"]
    assert shown and all("As I saw." in turn["content"][0]["text"] for turn in shown)
    dev = read_gmner(world, "dev")[0]
    (tmp_path / "reasoning.jsonl").write_text(json.dumps({"tweet": dev.id, "text": "I was told."}) + "\n")
    with pytest.raises(SystemExit):
        run(world, tmp_path / "k", "--reasoning", tmp_path / "reasoning.jsonl", search=False)


def test_tau_has_to_come_from_somewhere(world, tmp_path, models, capsys):
    models(Silent())
    with pytest.raises(SystemExit) as stop:
        run(world, tmp_path / "k", split="test")
    assert stop.value.code == 1
    assert "tau is missing: give it, or let --split dev tune it into" in capsys.readouterr().err
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "threshold.json").write_text("{}")
    with pytest.raises(SystemExit):
        run(world, tmp_path / "k", split="test")
    assert "threshold.json: there is no best.tau" in capsys.readouterr().err


@pytest.fixture(scope="module")
def untrained(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model.main(["--data", str(world), "--output", str(folder)])
    return folder


def test_the_tiny_model_answers_in_both_roles(world, untrained, tmp_path):
    arguments = KnowledgeArguments(
        model_name_or_path=str(untrained), output=str(tmp_path), max_new_tokens=4, image_max_pixels=64 * 64
    )
    sampling, steady = load_both(arguments)
    assert (sampling.temperature, steady.temperature) == (1.0, 0.0)
    assert sampling.model is steady.model
    prompts = knowledge_prompts(KnowledgeArguments(**{**vars(arguments), "data": str(world)}))
    tweet = Unlabelled.of(read_gmner(world, "dev")[0])
    photo = prompts.show(tweet)
    assert photo.width * photo.height <= 64 * 64
    assert len(steady.generate([prompts.ask(tweet, photo)])) == 1


def test_the_tiny_model_through_the_script(world, untrained, tmp_path):
    """It has learnt nothing: no answer can be read, and the run says so."""
    argv = ["--model_name_or_path", untrained, "--data", world, "--output", tmp_path / "k", "--split", "train"]
    knowledge.main([*map(str, argv), "--samples", "2", "--max_new_tokens", "2", "--batch", "24"])
    counts = json.loads((tmp_path / "k" / "train_report.json").read_text())["counts"]
    assert counts == {
        "tweets": 12,
        "without image": 0,
        "without text": 12,
        "with problems": 12,
        "unread answers": 24,
    }
    assert len(lines(tmp_path / "k" / "replies.jsonl")) == 24


def test_a_search_server_that_is_down(tmp_path):
    """Nobody listens on the port: after some failures it is not asked any more."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        searcher, _ = web(
            KnowledgeArguments(search="searxng", web=address, output=str(tmp_path), extractor="plain"),
            Polite(retries=0, gap=0),
        )
        said = []
        for number in range(7):
            with pytest.raises(SearchDown) as failure:
                searcher.search(f"Brno {number}", 1)
            said.append(str(failure.value))
    assert [address in one for one in said] == [True] * 5 + [False] * 2
    assert said[-1] == "not asked, after 5 failures in a row"


def test_a_served_model_answers_in_both_roles():
    served = KnowledgeArguments(endpoint="http://localhost:1/v1", endpoint_model="m", temperature=0.7, batch=3)
    sampling, steady = load_both(served)
    assert isinstance(steady, Endpoint)
    assert (sampling.temperature, steady.temperature, steady.concurrency) == (0.7, 0.0, 3)


def test_there_are_recipes():
    assert [recipe.stem for recipe in RECIPES] == ["knowledge_qwen2.5_vl_7b", "tiny_knowledge"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_parses_strictly(recipe):
    written = yaml.safe_load(recipe.read_text())
    argv = ["--config", str(recipe), "--data", "d", "--output", "o"]
    argv += [] if "model_name_or_path" in written else ["--model_name_or_path", "m"]
    argv += ["--web", "w"] if "search" in written else []
    check_arguments(argv, knowledge.FIELDS, knowledge.check_values)
    parsed = TrlParser((KnowledgeArguments,)).parse_args_and_config(argv)
    resolved = resolved_config(*parsed)
    assert {name: resolved[name] for name in written} == written
    text = recipe.read_text()
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == ["model", "data"]
    for block in re.split(r"^### \w+$", text, flags=re.MULTILINE)[1:]:
        keys = list(yaml.safe_load(block))
        assert keys == sorted(keys)
    assert f"recipes/makar/{recipe.name}" in text and "# Numbers " in text and "# Hardware " in text


BASE = "--model_name_or_path m --data d --output o"
BAD = {
    "nobody": ("--data d --output o", "model_name_or_path is missing: give a checkpoint, or endpoint"),
    "no data": ("--model_name_or_path m --output o", "data is missing"),
    "no output": ("--model_name_or_path m --data d", "output is missing"),
    "no name": ("--data d --output o --endpoint http://x/v1", "endpoint_model is missing"),
    "no processor": (
        "--data d --output o --endpoint http://x/v1 --endpoint_model m --image_max_pixels 9999",
        "model_name_or_path is missing: give the checkpoint whose processor sizes images",
    ),
    "no corpus": (f"{BASE} --search corpus", "web is missing: give a file of pages"),
    "no server": (f"{BASE} --search searxng", "web is missing: give the address of the SearXNG server"),
    "no use for web": (f"{BASE} --search ddgs --web x", "web is for search: corpus or searxng"),
    "no use for tau": (f"{BASE} --tau 0.5", "tau is for correction: give search too"),
    "engine": (f"{BASE} --search bing", "'bing' is not one of corpus, recorded, searxng, ddgs"),
    "split": (f"{BASE} --split valid", "'valid' is not one of train, dev, test"),
    "key": (f"{BASE} --sample 3", "did you mean '--samples'?"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_end_at_once(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        knowledge.main(argv.split())
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    "changed",
    [
        *({"samples": 0}, {"examples": 0}, {"temperature": 0}, {"image_max_pixels": 0}, {"cost": -1}, {"tau": -1}),
        *({"names": 0}, {"hits": 0}, {"words": -1}),
    ],
    ids=str,
)
def test_values_that_no_run_has(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}="):
        KnowledgeArguments(**changed)


def test_arguments_have_the_defaults_of_what_they_configure():
    assert KnowledgeArguments().correction(0.5) == CorrectionConfig(0.5)
    assert KnowledgeArguments(names=1, hits=2, words=0).correction(0.5) == CorrectionConfig(0.5, 1, 2, 0)

"""The tagger's recipe: settings, a training from scratch that learns, what is cut, and bad input."""

import json
from pathlib import Path

import pytest
import yaml
from trl import ModelConfig, TrlParser

from setaria.agents.makar.tagger import CandidateTagger
from setaria.cli.train import accelerate_arguments
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.gmner_writer import write_gmner
from setaria.datasets_builders.mner.tagger_rows import tagger_rows, write_tagger_rows
from setaria.datasets_builders.worlds.tweets import draw_world
from setaria.models.tagger import Tagger
from setaria.models.tiny_encoder import word_piece_tokenizer
from setaria.recipes.makar import tagger, tiny_encoder
from setaria.recipes.makar.tagger_arguments import TaggerArguments, TaggerTrainingArguments
from setaria.recipes.makar.tagger_data import encode_rows, read_knowledge, read_rows, refuse_lost_entities
from setaria.recipes.preflight import check_arguments
from setaria.recipes.run_folder import resolved_config
from setaria.rewards.entity_scores import ScoredTweet, entity_scores
from setaria.rewards.grounded_entities import PredictedEntity


FOLDER = Path(__file__).parents[2] / "recipes" / "makar"
RECIPES = (FOLDER / "tagger.yaml", FOLDER / "tiny_tagger.yaml")
NAMES = ("--model_name_or_path", "encoder", "--data", "world")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Annotations of a world, without images, and an encoder for it in `encoder/`."""
    root = tmp_path_factory.mktemp("world")
    for split, posts in draw_world(120, 20, 1, seed=3).posts.items():
        write_gmner((post.tweet(root) for post in posts), root, split)
    tiny_encoder.main(["--data", str(root), "--output", str(root / "encoder")])
    return root


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_parses_strictly(recipe, tmp_path):
    argv = ["--config", str(recipe), *NAMES, "--output_dir", str(tmp_path), "--use_cpu", "true"]
    check_arguments(argv, tagger.FIELDS, tagger.check_values)
    parsed = TrlParser((TaggerArguments, TaggerTrainingArguments, ModelConfig)).parse_args_and_config(argv)
    resolved = resolved_config(*parsed)
    written = yaml.safe_load(recipe.read_text())
    kept = {name: value for name, value in written.items() if name not in ("output_dir", "report_to", "use_cpu")}
    kept.pop("model_name_or_path", None)
    assert {name: resolved[name] for name in kept} == kept
    assert accelerate_arguments("makar-tagger", argv)[:2] == ["--module", "setaria.recipes.makar.tagger"]


def test_the_released_settings():
    written = yaml.safe_load(RECIPES[0].read_text())
    released = {
        "crf": True,
        "crf_learning_rate": 0.015,
        "learning_rate": 7e-6,
        "lr_scheduler_type": "linear",
        "max_length": 300,
        "num_train_epochs": 25,
        "per_device_train_batch_size": 4,
        "seed": 42,
    }
    assert {name: written[name] for name in released} == released


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory) -> Path:
    """A tagger that was trained for some ten seconds."""
    output = tmp_path_factory.mktemp("trained")
    argv = ["--config", str(RECIPES[1]), "--model_name_or_path", str(world / "encoder"), "--data", str(world)]
    argv += ["--output_dir", str(output), "--num_train_epochs", "40", "--per_device_train_batch_size", "16"]
    argv += ["--eval_split", "train", "--word_dropout", "0", "--learning_rate", "2e-3", "--disable_tqdm", "true"]
    argv += ["--eval_strategy", "steps", "--save_strategy", "steps", "--eval_steps", "80", "--save_steps", "80"]
    tagger.main(argv)
    return output


def test_training_learns_its_rows(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    scores = [line["eval_mner_f1"] for line in lines if "eval_mner_f1" in line]
    assert losses[-1] < 0.1 * losses[0]
    assert scores[-1] > 0.9
    assert (trained / "model.safetensors").is_file()
    learnt = Tagger.from_pretrained(trained)
    assert learnt.config.crf
    assert all(weights.abs().max() > 1e-3 for weights in learnt.crf.parameters())


def test_what_was_saved_finds_the_entities_with_confidence(trained, world):
    tweets = read_gmner(world, "train")
    asked = CandidateTagger.load(trained)
    assert asked.tokenizer.model_max_length == 128  # of the recipe
    candidates = asked.candidates(tweets)
    scored, sure = [], []
    for tweet, found in zip(tweets, candidates, strict=True):
        said = tuple(PredictedEntity(one.start, one.end, one.text, one.type) for one in found)
        scored.append(ScoredTweet(tweet.id, tweet.entities, said))
        sure += [min(one.boundary, one.type_confidence) for one in found]
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    best = max(line["eval_mner_f1"] for line in lines if "eval_mner_f1" in line)
    assert entity_scores(scored, "index_keyed")["MNER"]["all"].f1.value == pytest.approx(best)
    assert sum(sure) / len(sure) > 0.8


def test_the_optimizer_has_a_rate_for_the_crf(world, tmp_path):
    args = TaggerTrainingArguments(str(tmp_path), learning_rate=1e-5, weight_decay=0.01, use_cpu=True)
    for crf, weights in ((True, 3), (False, 0)):
        model = Tagger.on_encoder(str(world / "encoder"), ["O", "B-PER", "I-PER"], crf=crf)
        rest, transitions = tagger.optimizer_for(model, args).param_groups
        assert (rest["lr"], transitions["lr"]) == (1e-5, 0.015)
        assert (rest["weight_decay"], transitions["weight_decay"]) == (0.01, 0.01)
        assert len(transitions["params"]) == weights
        assert len(rest["params"]) + weights == len(list(model.parameters()))


def test_knowledge_and_released_files_make_the_same_rows(world, tmp_path):
    tweets = read_gmner(world, "dev")
    known = {tweet.id: f"Named entities:1. {tweet.tokens[0]}" for tweet in tweets}
    file = tmp_path / "knowledge.jsonl"
    file.write_text("".join(json.dumps({"tweet": name, "text": text}) + "\n" for name, text in known.items()))
    assert read_knowledge(file) == known
    rows = read_rows(TaggerArguments(data=str(world), knowledge=str(file)), "dev")
    assert rows == tagger_rows(tweets, known)
    write_tagger_rows(rows, tmp_path / "released" / "dev.txt")
    read = read_rows(TaggerArguments(rows=str(tmp_path / "released")), "dev")
    assert [{**row, "id": ""} for row in read] == [{**row, "id": ""} for row in rows]


def test_what_is_cut_is_counted_and_entities_are_not_lost():
    tokenizer = word_piece_tokenizer(["so Lena Okoye sings"], vocabulary=100, longest=5)
    entity = {"id": "O_1", "words": ["so", "so", "Lena", "Okoye"], "tags": ["O", "O", "B-PER", "I-PER"]}
    words = {"id": "O_2", "words": ["so"] * 5, "tags": ["O"] * 5}
    whole = {"id": "O_3", "words": ["Lena"], "tags": ["B-PER"], "knowledge": ["Lena", "sings"]}
    rows = [{**entity, "knowledge": []}, {**words, "knowledge": []}, whole]
    examples, truncation = encode_rows(rows, ["O", "B-PER", "I-PER"], tokenizer)
    assert [labels for _, labels in examples] == [[0, 0, 1], [0, 0, 0], [1]]
    assert (truncation.words, truncation.entities, truncation.knowledge) == ({"O_1": 1, "O_2": 2}, {"O_1": 1}, 1)
    assert str(truncation) == "1 of 3 rows are cut in their knowledge, 3 words and 1 entities of 2 tweets"
    with pytest.raises(ValueError, match=r"max_length=5 cuts annotated entities of 1 tweets \(O_1\)"):
        refuse_lost_entities(truncation, 5)
    refuse_lost_entities(encode_rows(rows[1:], ["O", "B-PER"], tokenizer)[1], 5)


def run(argv: list[str], capsys) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        tagger.main(argv)
    return stop.value.code, capsys.readouterr().err


BAD = {
    "no model": ("--data world", "model_name_or_path is missing"),
    "no data": ("--model_name_or_path m", "give one of data"),
    "two": ("--model_name_or_path m --data world --rows folder", "give one of data"),
    "knowledge": ("--model_name_or_path m --rows folder --knowledge k", "knowledge goes with data"),
    "adapter": ("--model_name_or_path m --data world --use_peft true", "use_peft: the tagger trains all weights"),
    "layout": ("--model_name_or_path m --data world --layout gmnr", "did you mean 'gmner'?"),
    "key": ("--model_name_or_path m --data world --crf_learning_rat 1", "did you mean '--crf_learning_rate'?"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_end_at_once(argv, message, capsys):
    code, said = run(argv.split(), capsys)
    assert code == 2
    assert message in said


def test_bad_values_and_data_are_one_line(world, tmp_path, capsys):
    base = ["--model_name_or_path", str(world / "encoder"), "--output_dir", str(tmp_path / "out"), "--use_cpu", "true"]
    (tmp_path / "train.txt").write_text("Brno\tB-LOC\nNamed\tX\n")
    (tmp_path / "blank.txt").write_text("<EOS>\tX\n\n")
    (tmp_path / "short.jsonl").write_text('{"tweet": "O_1", "text": "of another"}\n')
    data = ["--data", str(world)]
    cases = [
        ([*data, "--word_dropout", "1"], r"word_dropout=1.0 is not allowed"),
        ([*data, "--max_length", "2"], "max_length=2: at least 3"),
        ([*data, "--max_length", "513"], "reads 512 pieces at most"),
        ([*data, "--max_length", "5"], "max_length=5 cuts annotated entities of"),
        ([*data, "--crf_learning_rate", "-1"], "crf_learning_rate=-1.0: at least 0"),
        ([*data, "--train_split", "valid"], "No such file"),
        ([*data, "--knowledge", str(tmp_path / "short.jsonl")], "there is no knowledge of it"),
        (["--rows", str(tmp_path)], "train.txt:2: 'Named\\tX' is knowledge, and no <EOS>"),
        (["--rows", str(tmp_path), "--train_split", "blank"], "split 'blank' has no words"),
    ]
    for argv, message in cases:
        code, said = run([*base, *argv], capsys)
        assert code == 1
        assert message in said.splitlines()[-1]

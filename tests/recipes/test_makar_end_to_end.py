"""MAKAR's whole way, short: world, tagger, rows, SFT, GRPO, the pipeline with all its agents, metrics and page.

So little training teaches nothing but the tagger's own rows; that those come out right of the pipeline is checked.
"""

import json
from pathlib import Path

import pytest

from setaria.agents.makar.predictions import read_predictions
from setaria.cli.main import main as setaria
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.recipes.makar import rl, sft, tagger, tiny_encoder, tiny_model


FOLDER = Path(__file__).parents[2] / "recipes" / "makar"
TEST = 6


def train(script, recipe: str, **settings: object) -> None:
    """Run a training script with its tiny recipe."""
    given = {"logging_steps": 1, "disable_tqdm": "true", **settings}
    script.main(["--config", str(FOLDER / recipe), *(str(part) for key in given for part in (f"--{key}", given[key]))])


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """All that was trained: `world`, `tagger`, `tuned`, `reinforced`."""
    root = tmp_path_factory.mktemp("runs")
    world = root / "world"
    argv = ["--train", "24", "--dev", "4", "--test", str(TEST), "--output", str(world)]
    assert setaria(["build", "makar", "tweets", *argv]) == 0
    tiny_encoder.main(["--data", str(world), "--output", str(root / "encoder")])
    tiny_model.main(["--data", str(world), "--output", str(root / "untrained")])
    train(
        tagger,
        "tiny_tagger.yaml",
        data=world,
        model_name_or_path=root / "encoder",
        output_dir=root / "tagger",
        max_steps=120,
        per_device_train_batch_size=8,
        learning_rate=2e-3,
        word_dropout=0,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end="false",
    )
    argv = ["--data", world, "--processor", root / "untrained", "--looks", world / "facts.jsonl"]
    assert setaria(["build", "makar", "rows", *map(str, argv), "--output", str(root / "rows")]) == 0
    train(
        sft,
        "tiny_sft.yaml",
        model_name_or_path=root / "untrained",
        dataset_name=root / "rows",
        output_dir=root / "tuned",
        max_steps=30,
        warmup_steps=2,
        per_device_train_batch_size=8,
    )
    train(
        rl,
        "tiny_rl.yaml",
        model_name_or_path=root / "tuned",
        dataset_name=root / "rows",
        output_dir=root / "reinforced",
        max_steps=2,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=1,
        num_generations=4,
        max_completion_length=32,
    )
    return root


def agent(runs: Path, output: str, *flags: object) -> dict:
    """Run the pipeline; returns its metrics."""
    argv = ["--config", FOLDER / "tiny_evaluate.yaml", "--data", runs / "world", "--tagger", runs / "tagger"]
    argv += ["--model_name_or_path", runs / "reinforced", "--output", runs / output, *flags]
    assert setaria(["agent", "makar", *map(str, argv)]) == 0
    return json.loads((runs / output / "metrics.json").read_text(encoding="utf-8"))


def test_all_agents_on_held_out_tweets(runs, capsys):
    """The untaught model knows nothing that can be read; every name of the tagger is looked up, by a tau above 1."""
    web = ["--web", runs / "world" / "pages.jsonl", "--tau", 1.01, "--max_new_tokens", 16]
    metrics = agent(runs, "predictions", *web)
    predictions = read_predictions(runs / "predictions" / "predictions.jsonl")
    assert [one.id for one in predictions] == [tweet.id for tweet in read_gmner(runs / "world", "test")]
    assert metrics["tweets"] == TEST and metrics["missing_images"] == []
    assert metrics["counts"]["looked up"] == sum(bool(one.before) for one in predictions)
    assert all(
        found.confidence is None or 0 <= found.confidence <= 1 for one in predictions for found in one.predicted
    )
    assert all(found.reply for one in predictions for found in one.predicted)
    assert set(metrics["scores"]["index_keyed"]) == {"MNER", "EEG", "GMNER"}
    assert "own names, always None" in capsys.readouterr().out
    assert setaria(["agent", "makar-page", str(runs / "predictions")]) == 0
    assert f"{TEST} of {TEST} tweets" in capsys.readouterr().out
    assert (runs / "predictions" / "predictions.html").is_file()


def test_the_tagger_finds_its_own_rows(runs):
    metrics = agent(runs, "learnt", "--split", "train", "--knowledge", "off", "--search", "off", "--grounding", "gold")
    scores = metrics["scores"]["index_keyed"]
    assert scores["MNER"]["all"]["f1"]["value"] > 0.8
    assert scores["GMNER"]["all"]["right"] == scores["MNER"]["all"]["right"]  # names found are placed by gold
    assert metrics["grounding"]["right_groundable"]["value"] == 1.0

"""The grounding agent's whole way, short: world, rows, SFT, split, GRPO, inference, through the real trainers.

The tiny model learns almost nothing in so few steps. What is checked is that each stage does what it is for, that all
of them show the model an image at one size, and that image tokens are where the model is told they are.
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from datasets import load_from_disk
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel, Qwen3VLVisionModel

from setaria.agents.makar.grounding import GroundingAgent, GroundingTask
from setaria.cli.main import main as setaria
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.recipes.makar import build, processor, reasoning, rl, sft, split, tiny_model
from setaria.recipes.makar.chat import load_chat
from setaria.recipes.makar.processor import family_of_checkpoint, grounding_processor
from setaria.recipes.makar.script_arguments import ChatArguments
from setaria.rewards.grounded_entities import PredictedEntity


FOLDER = Path(__file__).parents[2] / "recipes" / "makar"
QUIET = ["--disable_tqdm", "true", "--logging_steps", "1"]
SHORT_RL = ["--max_steps", "2", "--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "1"]
SHORT_RL += ["--num_generations", "4", "--max_completion_length", "8", *QUIET]


def recipe(name: str, *flags: object) -> list[str]:
    return ["--config", str(FOLDER / f"tiny_{name}.yaml"), *map(str, flags)]


def logged(folder: Path, name: str) -> list[float]:
    events = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [event[name] for event in events if name in event]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


class Watch:
    """What the model was given: sizes of images, whether marks and image tokens agree, if prompts were unequal."""

    def __init__(self):
        self.sizes, self.agree, self.padded = set(), [], False


@pytest.fixture
def watch(monkeypatch):
    """Looks at every call of the vision tower, and at every call of the model with image tokens."""
    watched, see, think = Watch(), Qwen3VLVisionModel.forward, Qwen3VLModel.forward

    def seeing(self, hidden_states, grid_thw, **rest):
        patch = self.config.patch_size
        watched.sizes |= {(columns * patch, rows * patch) for _, rows, columns in grid_thw.tolist()}
        return see(self, hidden_states, grid_thw, **rest)

    def thinking(self, **inputs):
        image_tokens = inputs["input_ids"] == self.config.image_token_id
        if image_tokens.any():
            watched.agree.append(inputs["mm_token_type_ids"].eq(1).equal(image_tokens))
            mask = inputs["attention_mask"]  # None where nothing is masked
            watched.padded |= mask is not None and bool((mask == 0).any())
        return think(self, **inputs)

    monkeypatch.setattr(Qwen3VLVisionModel, "forward", seeing)
    monkeypatch.setattr(Qwen3VLModel, "forward", thinking)
    return watched


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def world(runs):
    argv = ["build", "makar", "tweets", "--train", "16", "--dev", "4", "--test", "4", "--output", str(runs / "world")]
    assert setaria(argv) == 0
    return runs / "world"


@pytest.fixture(scope="module")
def untrained(runs, world):
    tiny_model.main(["--data", str(world), "--output", str(runs / "untrained")])
    return runs / "untrained"


@pytest.fixture(scope="module")
def rows(runs, world, untrained):
    argv = ["--data", world, "--processor", untrained, "--looks", world / "facts.jsonl", "--output", runs / "rows"]
    assert setaria(["build", "makar", "rows", *map(str, argv)]) == 0
    return runs / "rows"


def sft_flags(untrained: Path, rows: Path, output: Path, *more: object) -> list[str]:
    names = ["--model_name_or_path", untrained, "--dataset_name", rows, "--output_dir", output]
    short = ["--max_steps", 20, "--warmup_steps", 2, "--per_device_train_batch_size", 8]
    return recipe("sft", *names, *short, *QUIET, *more)


def rl_flags(model: Path, rows: Path, output: Path, *more: object) -> list[str]:
    return recipe(
        "rl", "--model_name_or_path", model, "--dataset_name", rows, "--output_dir", output, *SHORT_RL, *more
    )


@pytest.fixture(scope="module")
def tuned(runs, untrained, rows):
    sft.main(sft_flags(untrained, rows, runs / "tuned"))
    return runs / "tuned"


def failure(capsys, script, argv: list[str]) -> str:
    """The one line on stderr of a script that must fail with exit code 1."""
    with pytest.raises(SystemExit) as stop:
        script.main(argv)
    assert stop.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("setaria: ")]
    return line


def test_rows_of_the_world(world, rows, untrained):
    built = load_from_disk(str(rows))
    entities = [entity for tweet in read_gmner(world, "train") for entity in tweet.entities]
    assert len(built) == len(entities)
    assert built.unique("family") == ["qwen3_vl"]
    assert sum(not boxes for boxes in built["gold_boxes"]) == sum(not entity.boxes for entity in entities)
    facts = map(json.loads, (world / "facts.jsonl").read_text().splitlines())
    looks = {(fact["name"], fact["type"]): fact["look"] for fact in facts}
    for row in built:
        thought = f"<think>Look for the {looks[row['entity'], row['type']]}. It is "
        assert row["completion"][0]["content"][0]["text"].startswith(thought)
    assert len({tuple(size) for size in built["processed_size"]}) >= 3


def test_sft_learns(tuned, untrained):
    losses = logged(tuned, "loss")
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    before, after = weights(untrained), weights(tuned)
    assert any("visual" in name and not before[name].equal(after[name]) for name in before)


def test_the_vision_tower_stays_as_it_is_unless_told_otherwise(runs, untrained, rows):
    once = ["--max_steps", 1, "--warmup_steps", 0]
    sft.main(sft_flags(untrained, rows, runs / "frozen", *once, "--freeze", "model.visual"))
    before, after = weights(untrained), weights(runs / "frozen")
    changed = {name.split(".")[1] for name in before if not before[name].equal(after[name])}
    assert changed == {"language_model"}


def test_one_size_in_all_stages(runs, world, rows, untrained, tuned, watch):
    """SFT, GRPO and inference show the model the sizes that the rows were written for, and no other."""
    written = {tuple(size) for size in load_from_disk(str(rows))["processed_size"]}
    sft.main(sft_flags(untrained, rows, runs / "sizes", "--max_steps", 6))
    assert watch.sizes == written
    watch.sizes = set()
    rl.main(rl_flags(tuned, rows, runs / "sizes", "--max_steps", 12))
    assert watch.sizes == written
    assert watch.padded and all(watch.agree)
    watch.sizes = set()
    made = grounding_processor(str(tuned))
    agent = GroundingAgent(
        load_chat(ChatArguments(model_name_or_path=str(tuned), max_new_tokens=2, temperature=0), made),
        GroundingPrompts.of_processor(family_of_checkpoint(str(tuned)), made),
    )
    tweets = [tweet for tweet in read_gmner(world, "train") if tweet.entities]
    answers = agent.ground(
        GroundingTask(tweet, [PredictedEntity(one.start, one.end, one.text, one.type) for one in tweet.entities])
        for tweet in tweets
    )
    assert watch.sizes == written
    assert [len(task) for task in answers] == [len(tweet.entities) for tweet in tweets]
    assert all(watch.agree)


def test_a_stage_with_another_budget_is_refused(runs, rows, untrained, tuned, capsys):
    for script, argv in (
        (sft, sft_flags(untrained, rows, runs / "refused", "--image_max_pixels", 64 * 64)),
        (rl, rl_flags(tuned, rows, runs / "refused", "--image_max_pixels", 64 * 64)),
    ):
        line = failure(capsys, script, argv)
        assert "was written for an image of" in line and "the same image_max_pixels" in line
    assert "images of" in failure(capsys, rl, rl_flags(tuned, rows, runs / "refused", "--image_max_pixels", 9))


def test_a_budget_of_pixels_is_kept_with_the_trained_model(runs, world, untrained):
    """Rows and SFT of 64 x 64 pixels at most; inference reads the same from what SFT saved."""
    argv = ["--data", world, "--processor", untrained, "--no_reasoning", "--image_max_pixels", 64 * 64]
    assert setaria(["build", "makar", "rows", *map(str, argv), "--output", str(runs / "small")]) == 0
    budget = ["--image_max_pixels", 64 * 64, "--max_steps", 1]
    sft.main(sft_flags(untrained, runs / "small", runs / "small_tuned", *budget))
    saved = grounding_processor(str(runs / "small_tuned"))
    assert saved.image_processor.size.longest_edge == 64 * 64
    assert saved.tokenizer.padding_side == "left"


@pytest.mark.parametrize("reward", ["step", "paper_exact"])
def test_rewards_are_logged(reward, runs, rows, tuned):
    output = runs / f"reinforced {reward}"
    rl.main(rl_flags(tuned, rows, output, "--reward", reward, "--learning_rate", "1e-3"))
    for name in ("format", "accuracy"):
        assert len(logged(output, f"rewards/{name}/mean")) == 2
    assert len(logged(output, "reward")) == 2
    own = logged(output, "grounding/unreadable") + logged(output, "grounding/iou")
    assert bool(own) == (reward == "step")


def test_padding_on_the_right_is_the_trap_that_the_processor_avoids(runs, rows, tuned, watch, monkeypatch):
    """With it the marks of image tokens are elsewhere, or the model fails: so the check above sees it."""
    right = processor.load_processor

    def padding_right(*arguments):
        made = right(*arguments)
        made.tokenizer.padding_side = "right"
        return made

    monkeypatch.setattr(processor, "load_processor", padding_right)
    with suppress(RuntimeError):
        rl.main(rl_flags(tuned, rows, runs / "right"))
    assert watch.agree and not all(watch.agree)


def lora_rl_flags(untrained, runs, rows):
    return rl_flags(untrained, rows, runs / "adapted", "--adapter", runs / "adapter", "--beta", "0.01")


def test_an_adapter_goes_on_from_its_cold_start(runs, rows, untrained):
    sft.main(sft_flags(untrained, rows, runs / "adapter", "--max_steps", 1, "--use_peft", "true"))
    rl.main(lora_rl_flags(untrained, runs, rows))
    assert (runs / "adapted" / "adapter_config.json").is_file()
    assert logged(runs / "adapted", "kl")[0] == pytest.approx(0, abs=1e-6)  # to the adapter of the cold start


class HalfRight:
    """A chat model that gives each row its completion at every other sample."""

    def __init__(self, rows):
        self.replies = {
            row["prompt"][0]["content"][1]["text"]: row["completion"][0]["content"][0]["text"] for row in rows
        }
        self.asked = 0

    def generate(self, conversations):
        self.asked += len(conversations)
        return [
            self.replies[one[0]["content"][1]["text"]] if number % 2 else "?"
            for number, one in enumerate(conversations)
        ]


def split_flags(untrained, rows, output, *more):
    names = ["--model_name_or_path", untrained, "--rows", rows, "--output", output]
    return recipe("split", *names, *more)


def test_split_by_the_pass_rate_of_a_model(runs, rows, untrained, monkeypatch, capsys):
    """Every row is right in half of the samples: all are hard, .4 of them None."""
    built = load_from_disk(str(rows))
    chat = HalfRight(built)
    monkeypatch.setattr(build, "load_chat", lambda arguments, made: chat)
    output = runs / "split"
    assert setaria(["build", "makar", "split", *split_flags(untrained, rows, output)]) == 0
    assert chat.asked == 4 * len(built)
    report = json.loads((output / "difficulty.json").read_text())
    boxes = sum(map(bool, built["gold_boxes"]))
    nones = round(boxes * 0.4 / 0.6)
    assert report["rates"] == {"box": {"0.5": boxes}, "None": {"0.5": len(built) - boxes}}
    assert (report["counts"]["box"], report["counts"]["None"]["hard"]) == ({"hard": boxes}, nones)
    hard = load_from_disk(str(output / "hard"))
    assert hard.column_names == built.column_names
    assert len(hard) == boxes + nones
    assert "sometimes right" in capsys.readouterr().out

    # The same rates again, without asking, for another split: its folders have to be free.
    assert "not empty" in failure(capsys, split, split_flags(untrained, rows, output))
    for name in ("easy", "hard"):
        shutil.rmtree(output / name)
    split.main(split_flags(untrained, rows, output, "--high", "0.5"))
    assert chat.asked == 4 * len(built)
    assert len(load_from_disk(str(output / "easy"))) == boxes + nones
    for name in ("easy", "hard"):
        shutil.rmtree(output / name)
    assert "rates of other settings" in failure(capsys, split, split_flags(untrained, rows, output, "--samples", 2))


def test_an_interrupted_split_goes_on(runs, rows, untrained, monkeypatch):
    built = load_from_disk(str(rows))
    first = HalfRight(built)

    class Killed(HalfRight):
        def generate(self, conversations):
            if self.asked:
                raise KeyboardInterrupt
            return super().generate(conversations)

    monkeypatch.setattr(build, "load_chat", lambda arguments, made: Killed(built))
    with pytest.raises(KeyboardInterrupt):
        split.main(split_flags(untrained, rows, runs / "resumed"))
    assert not (runs / "resumed" / "easy").exists()
    monkeypatch.setattr(build, "load_chat", lambda arguments, made: first)
    split.main(split_flags(untrained, rows, runs / "resumed"))
    assert first.asked == 4 * (len(built) - build.ROWS_AT_ONCE)
    assert (runs / "resumed" / "rates.jsonl").read_text().count('rate"') == len(built)


def test_split_with_the_tiny_model(runs, rows, tuned):
    split.main(split_flags(tuned, rows, runs / "tiny_split", "--max_new_tokens", 2, "--samples", 2))
    report = json.loads((runs / "tiny_split" / "difficulty.json").read_text())
    assert sum(report["rates"]["box"].values()) + sum(report["rates"]["None"].values()) == len(
        load_from_disk(str(rows))
    )


class Reasoner:
    """Says what one can teach, but for what it is asked third."""

    def __init__(self):
        self.asked = 0

    def generate(self, conversations):
        self.asked += len(conversations)
        first = self.asked - len(conversations)
        return ["A dog and a sofa." if first + number != 2 else "<answer>" for number in range(len(conversations))]


def test_reasoning_is_asked_for_once_and_only_of_training_tweets(runs, world, untrained, monkeypatch, capsys):
    chat = Reasoner()
    monkeypatch.setattr(build, "load_chat", lambda arguments: chat)
    output = runs / "reasoning.jsonl"
    argv = ["--model_name_or_path", "m", "--data", str(world), "--output", str(output), "--tries", "1"]
    assert setaria(["build", "makar", "reasoning", *argv]) == 0
    keys = {(tweet.id, one.text) for tweet in read_gmner(world, "train") for one in tweet.entities}
    assert chat.asked == len(keys)
    assert f"texts: {len(keys)}, faulty: 1, left out: 0" in capsys.readouterr().out
    reasoning.main(argv)
    assert chat.asked == len(keys)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert {(line["tweet"], line["entity"]) for line in lines} == keys
    assert [line["fault"] for line in lines if line["fault"]] == ["holds <answer>"]

    # What is faulty has no row.
    argv = ["--data", world, "--processor", untrained, "--reasoning", output, "--output", runs / "reasoned"]
    assert setaria(["build", "makar", "rows", *map(str, argv)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "for their reasoning: 1" in said
    (line,) = (runs / "reasoned" / "left_out.txt").read_text().splitlines()
    assert line.endswith("no reasoning that can be taught")
    assert "<think>A dog and a sofa.</think>" in str(load_from_disk(str(runs / "reasoned"))[0]["completion"])


def test_reasoning_from_elsewhere_is_checked_too(world, untrained, tmp_path):
    """A text that denies everything is taught where the answer is None, and nowhere else."""
    entities = {(tweet.id, one.text): one for tweet in read_gmner(world, "train") for one in tweet.entities}
    file = tmp_path / "reasoning.jsonl"
    lines = [{"tweet": tweet, "entity": text, "text": "It is not visible."} for tweet, text in entities]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    argv = ["--data", world, "--processor", untrained, "--reasoning", file, "--output", tmp_path / "rows"]
    assert setaria(["build", "makar", "rows", *map(str, argv)]) == 0
    built = load_from_disk(str(tmp_path / "rows"))
    assert not any(built["gold_boxes"])
    assert set(zip(built["tweet"], built["entity"], strict=True)) == {
        key for key in entities if not entities[key].boxes
    }


def test_a_training_tweet_that_is_held_out_too_stops_the_reasoning(runs, world, monkeypatch, capsys):
    """As in the released FMNERG files, whose dev split holds the test tweets."""
    leaky = runs / "leaky"
    shutil.copytree(world, leaky)
    tweets = (leaky / "txt" / "train.txt").read_text(encoding="utf-8")
    (leaky / "txt" / "dev.txt").write_text(tweets, encoding="utf-8")
    monkeypatch.setattr(build, "load_chat", lambda arguments: Reasoner())
    argv = ["--model_name_or_path", "m", "--data", str(leaky), "--output", str(runs / "leaky.jsonl")]
    assert "is held out: its gold must not be told" in failure(capsys, reasoning, argv)


BAD_ROWS = {
    "data": (["--data", "absent"], "absent"),
    "family": (["--family", "gpt"], "family is 'gpt'"),
    "share": (["--none_share", "1"], "none_share=1.0 is no share"),
    "pixels": (["--image_max_pixels", "5"], "image_max_pixels=5"),
    "knowledge": (["--knowledge", "{bad}"], "bad.jsonl:1: text=None is no text"),
    "looks": (["--looks", "{bad}"], "bad.jsonl:1: name=None is no text"),
    "output": (["--output", "{rows}"], "not empty"),
}


@pytest.mark.parametrize(("flags", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_rows_that_cannot_be_built_end_in_one_line(flags, message, world, untrained, rows, tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"tweet": "a", "entity": "b"}\n')
    argv = ["--data", world, "--processor", untrained, "--output", tmp_path / "rows"]
    thoughts = [] if "--looks" in flags else ["--no_reasoning"]
    flags = [part.format(bad=bad, rows=rows) for part in flags]
    assert setaria(["build", "makar", "rows", *map(str, argv), *thoughts, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert line.startswith("setaria build makar rows: ")


def test_missing_images_are_counted_and_listed(world, untrained, tmp_path, capsys):
    folder = tmp_path / "world"
    shutil.copytree(world, folder)
    tweet = next(tweet for tweet in read_gmner(folder, "train") if tweet.entities)
    tweet.image.unlink()
    argv = ["--data", folder, "--processor", untrained, "--no_reasoning", "--output", tmp_path / "rows"]
    assert setaria(["build", "makar", "rows", *map(str, argv)]) == 0
    assert f"for their image: {len(tweet.entities)}" in capsys.readouterr().out
    lines = (tmp_path / "rows" / "left_out.txt").read_text().splitlines()
    assert len(lines) == len(tweet.entities)
    assert all(line.startswith(f"tweet {tweet.id}: ") and "missing image" in line for line in lines)
    assert tweet.id not in load_from_disk(str(tmp_path / "rows"))["tweet"]


def test_the_tiny_model_is_tied_and_as_small_as_it_says(untrained):
    model = AutoModelForImageTextToText.from_pretrained(untrained)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(1.65e6, rel=0.1)


def test_family_of_another_architecture(tiny_checkpoint):
    with pytest.raises(ValueError, match="is a llama, boxes of qwen2_vl"):
        family_of_checkpoint(str(tiny_checkpoint))
    assert family_of_checkpoint(str(tiny_checkpoint), "internvl") == "internvl"

"""The grounding agent's recipes parse strictly, what they train is in the architecture, bad settings end at once."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from peft import get_peft_model
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen3VLConfig
from trl import DatasetMixtureConfig, GRPOConfig, ModelConfig, SFTConfig, TrlParser, get_peft_config

from setaria.cli.build import add_arguments
from setaria.cli.train import METHODS, accelerate_arguments
from setaria.datasets_builders.mner.difficulty import SplitConfig
from setaria.recipes.backtrack.adapters import freeze
from setaria.recipes.makar import reasoning, rl, sft, split
from setaria.recipes.makar.script_arguments import (
    ChatArguments,
    GroundingArguments,
    ReasoningArguments,
    RewardArguments,
    SplitArguments,
)
from setaria.recipes.preflight import check_arguments
from setaria.recipes.run_folder import resolved_config
from setaria.rewards.grounding import SHAPES


ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "makar"
SCRIPTS = {
    "sft": (sft, (GroundingArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)),
    "rl": (rl, (RewardArguments, GRPOConfig, ModelConfig, DatasetMixtureConfig)),
    "split": (split, (SplitArguments,)),
    "reasoning": (reasoning, (ReasoningArguments,)),
}
RECIPES = sorted(recipe for recipe in FOLDER.glob("*.yaml") if set(recipe.stem.split("_")) & set(SCRIPTS))
TRAINING = [recipe for recipe in RECIPES if set(recipe.stem.split("_")) & {"sft", "rl"}]
TINY = {"text_config": {"num_hidden_layers": 2}, "vision_config": {"depth": 2, "deepstack_visual_indexes": [0]}}
ARCHITECTURES = {
    "qwen2.5_vl_7b": Qwen2_5_VLConfig(**TINY),
    "qwen2.5_vl_3b_lora": Qwen2_5_VLConfig(**TINY),
    "qwen3_vl_8b_lora": Qwen3VLConfig(**TINY),
    "tiny": Qwen3VLConfig(**TINY),
}
GIVEN = {
    "sft": {"model_name_or_path": "model", "dataset_name": "rows", "use_cpu": "true"},
    "rl": {"model_name_or_path": "model", "dataset_name": "rows", "use_cpu": "true", "use_vllm": "false"},
    "split": {"model_name_or_path": "model", "rows": "rows"},
    "reasoning": {"model_name_or_path": "model", "data": "data"},
}


def script_of(recipe: Path) -> str:
    return next(name for name in SCRIPTS if name in recipe.stem.split("_"))


def model_of(recipe: Path) -> str:
    return "tiny" if recipe.stem.startswith("tiny") else recipe.stem.partition("_")[2]


def flags(recipe: Path, tmp_path: Path) -> list[str]:
    """What a recipe leaves to the command line, and what a machine without a GPU needs."""
    script = script_of(recipe)
    written = yaml.safe_load(recipe.read_text())
    given = {name: value for name, value in GIVEN[script].items() if name not in written or name.startswith("use_")}
    given["output_dir" if script in ("sft", "rl") else "output"] = str(tmp_path / "output")
    return [part for name, value in given.items() for part in (f"--{name}", value)]


def parse(recipe: Path, tmp_path: Path):
    """The dataclasses of a recipe by the preflight check and by the real parser, both strict."""
    script, dataclasses = SCRIPTS[script_of(recipe)]
    argv = ["--config", str(recipe), *flags(recipe, tmp_path)]
    check_arguments(argv, script.FIELDS, script.check_values)
    return TrlParser(dataclasses).parse_args_and_config(argv)


def on_meta(recipe: Path):
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(ARCHITECTURES[model_of(recipe)])


def test_there_are_recipes():
    assert {model_of(recipe) for recipe in TRAINING} == set(ARCHITECTURES)
    assert len(TRAINING) == 2 * len(ARCHITECTURES)
    assert {script_of(recipe) for recipe in RECIPES} == set(SCRIPTS)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_parses_strictly(recipe, tmp_path):
    settings = parse(recipe, tmp_path)
    written = yaml.safe_load(recipe.read_text())
    resolved = resolved_config(*settings)
    own = ("output_dir", "report_to", "use_cpu", "use_vllm")
    kept = {name: value for name, value in written.items() if name not in own}
    assert {name: resolved[name] for name in kept} == kept
    if recipe in TRAINING:
        assert (get_peft_config(settings[2]) is not None) == written.get("use_peft", False)
        assert "adapter" in written or not ("lora" in recipe.stem and script_of(recipe) == "rl")
    if script_of(recipe) == "sft":
        assert written["max_length"] is None
    again = tmp_path / "config.yaml"
    again.write_text(yaml.safe_dump(resolved))
    _, dataclasses = SCRIPTS[script_of(recipe)]
    assert resolved_config(*TrlParser(dataclasses).parse_args_and_config(["--config", str(again)])) == resolved


def test_all_stages_of_a_model_have_the_same_budget_of_pixels():
    """A stage with another budget would see other sizes, and refuse the rows."""
    budgets = {recipe.stem: yaml.safe_load(recipe.read_text()).get("image_max_pixels") for recipe in RECIPES}
    assert {budget for name, budget in budgets.items() if "tiny" in name} == {None}
    assert {budgets[name] for name in budgets if "tiny" not in name and name != "reasoning"} == {262144}


@pytest.mark.parametrize("recipe", TRAINING, ids=lambda recipe: recipe.stem)
def test_header_states_the_effective_batch(recipe):
    text = recipe.read_text()
    header = re.search(r"Effective batch\s+(\d+).*= (\d+) .*x (\d+) accumulation x (\d+) process", text)
    rows, per_device, accumulation, processes = map(int, header.groups())
    settings = yaml.safe_load(text)
    assert rows == per_device * accumulation * processes
    assert per_device == settings["per_device_train_batch_size"]
    assert accumulation == settings.get("gradient_accumulation_steps", 1)
    assert rows % settings.get("num_generations", 1) == 0
    if script_of(recipe) == "rl":
        each, prompts = map(int, re.search(r"(\d+) for each of (\d+) prompts", text).groups())
        assert (each, each * prompts) == (settings["num_generations"], rows)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_keys_are_in_sorted_blocks(recipe):
    text = recipe.read_text()
    blocks = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    assert blocks[1::2] == ["model", "data", *(["trainer"] if recipe in TRAINING else [])]
    for block in blocks[2::2]:
        keys = list(yaml.safe_load(block))
        assert keys == sorted(keys)
    assert "# Numbers " in text and "# Hardware " in text
    assert f"recipes/makar/{recipe.name}" in text
    assert max(map(len, text.splitlines())) <= 119


def test_the_released_numbers(tmp_path):
    """Batch sizes of the release: 512 prompts of 5 samples are a rollout, 128 of them an update."""
    (script_args, args, _, _) = parse(FOLDER / "sft_qwen2.5_vl_7b.yaml", tmp_path)
    assert (args.learning_rate, args.num_train_epochs, args.warmup_steps) == (1e-5, 3, 0.1)
    assert (args.lr_scheduler_type, script_args.freeze) == ("cosine", ["model.visual"])
    (script_args, args, _, _) = parse(FOLDER / "rl_qwen2.5_vl_7b.yaml", tmp_path)
    processes = 8
    update = args.per_device_train_batch_size * args.gradient_accumulation_steps * processes
    rollout = args.per_device_train_batch_size * args.steps_per_generation * processes
    assert (update // args.num_generations, rollout // args.num_generations) == (128, 512)
    assert (args.learning_rate, args.weight_decay, args.beta, args.warmup_steps) == (1e-6, 0.01, 0.01, 0)
    assert (args.temperature, args.top_p, args.max_grad_norm) == (1.0, 0.99, 1.0)
    assert script_args.freeze == []


@pytest.mark.parametrize("recipe", TRAINING, ids=lambda recipe: recipe.stem)
def test_recipes_can_be_launched(recipe, tmp_path):
    """With the configuration that their header names."""
    configuration = re.search(r"--accelerate_config (\w+)", recipe.read_text())[1]
    method = f"makar-{script_of(recipe)}"
    argv = ["--config", str(recipe), "--accelerate_config", configuration, *flags(recipe, tmp_path)]
    command = accelerate_arguments(method, argv)
    assert command[:2] == ["--config_file", str(ROOT / "accelerate_configs" / f"{configuration}.yaml")]
    assert command[command.index("--module") + 1] == METHODS[method] == f"setaria.recipes.makar.{script_of(recipe)}"


@pytest.mark.parametrize("recipe", [one for one in RECIPES if "sft" in one.stem], ids=lambda recipe: recipe.stem)
def test_lora_targets_attach_to_the_language_model(recipe, tmp_path):
    model_args = parse(recipe, tmp_path)[2]
    if not model_args.lora_target_modules:
        return
    model_args.use_peft = True
    model = get_peft_model(on_meta(recipe), get_peft_config(model_args))
    adapted = [name for name, _ in model.named_modules() if name.endswith("lora_A")]
    assert len(adapted) == 2 * 7  # layers x projections
    assert not any("visual" in name for name in adapted)


def test_vision_tower_and_projector_are_frozen_by_default():
    for recipe in (FOLDER / "sft_qwen2.5_vl_7b.yaml", FOLDER / "sft_qwen3_vl_8b_lora.yaml"):
        model = on_meta(recipe)
        freeze(model, GroundingArguments().freeze)
        frozen = {name.split(".")[1] for name, one in model.named_parameters() if not one.requires_grad}
        trained = {".".join(name.split(".")[:2]) for name, one in model.named_parameters() if one.requires_grad}
        assert frozen == {"visual"}
        assert trained == {"lm_head.weight", "model.language_model"}
        assert any("merger" in name for name, one in model.named_parameters() if not one.requires_grad)


def test_rewards_that_can_be_chosen():
    assert RewardArguments().reward == "step"
    (choices,) = [
        one.metadata["choices"] for one in RewardArguments.__dataclass_fields__.values() if one.name == "reward"
    ]
    assert choices == [*SHAPES, "paper_exact"]


def test_arguments_have_the_defaults_of_what_they_configure():
    assert SplitArguments().config == SplitConfig()
    assert SplitArguments(easy=1, hard=2, high=0.5, none_share=0.1, seed=3).config == SplitConfig(1, 2, 0.5, 0.1, 3)


MODEL, DATA = "--model_name_or_path m", "--dataset_name d"
BAD = {
    "no model": (sft, DATA, "model_name_or_path is missing"),
    "length": (sft, f"{MODEL} {DATA}", "max_length would cut through images"),
    "no rows": (rl, MODEL, "no data: give dataset_name"),
    "streaming": (rl, f"{MODEL} {DATA} --dataset_streaming true", "dataset_streaming: the sizes of all images"),
    "pixels": (rl, f"{MODEL} {DATA} --image_max_pixels 0", "image_max_pixels: 0 is not allowed"),
    "two adapters": (rl, f"{MODEL} {DATA} --use_peft true --adapter a", "give one of the two"),
    "frozen adapter": (rl, f"{MODEL} {DATA} --adapter a --freeze model.visual", "freeze is for training all weights"),
    "reward": (rl, f"{MODEL} {DATA} --reward paper", "did you mean 'paper_exact'?"),
    "key": (rl, "--rewards step", "did you mean '--reward'?"),
    "no output": (split, f"{MODEL} --rows r", "output is missing"),
    "no processor": (split, "--rows r --output o --endpoint http://x/v1 --endpoint_model m", "for its processor"),
    "served adapter": (
        split,
        f"{MODEL} --rows r --output o --endpoint http://x/v1 --endpoint_model m --adapter a",
        "adapter is for a model in this process",
    ),
    "no name": (reasoning, "--data d --output o --endpoint http://x/v1", "endpoint_model is missing"),
    "nobody": (reasoning, "--data d --output o", "model_name_or_path is missing: give a checkpoint, or endpoint"),
    "layout": (reasoning, f"{MODEL} --data d --output o --layout coco", "is not one of gmner, fmnerg"),
}


@pytest.mark.parametrize(("script", "argv", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_end_at_once(script, argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(argv.split())
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (ChatArguments, {"batch": 0}),
        (ChatArguments, {"max_new_tokens": 0}),
        (ChatArguments, {"temperature": -1}),
        (SplitArguments, {"samples": 1}),
        (SplitArguments, {"temperature": 0}),
        (SplitArguments, {"high": 0}),
        (SplitArguments, {"none_share": 1}),
        (ReasoningArguments, {"tries": 0}),
    ],
)
def test_values_that_no_run_has(arguments, changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}="):
        arguments(**changed)


def test_builders_are_on_the_command_line():
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["makar", "rows", "--data", "d", "--processor", "p", "--output", "o"])  # no thoughts chosen
    args = parser.parse_args(["makar", "rows", "--data", "d", "--processor", "p", "--output", "o", "--no_reasoning"])
    assert (args.what, args.split, args.none_share) == ("rows", "train", None)

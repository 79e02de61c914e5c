"""Every recipe parses strictly, its LoRA targets exist in its architecture, and its README names what there is."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen2Config
from trl import DatasetMixtureConfig, ModelConfig, TrlParser, get_peft_config, get_quantization_config

from setaria.cli.train import accelerate_arguments
from setaria.recipes.run_folder import resolved_config
from setaria.recipes.spo.script_arguments import SPOScriptArguments
from setaria.recipes.spo.train import FIELDS
from setaria.trainers import SPOConfig
from setaria.trainers.monitor_config import MonitorConfig


ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "spo"
RECIPES = sorted(FOLDER.glob("*.yaml"))
PAIRS = [
    (row[1], configuration)
    for row in re.finditer(r"^\| \[([\w.]+\.yaml)\].*\| (.*) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    for configuration in re.findall(r"`(\w+)`", row[2])
]
ARCHITECTURES = {
    "Qwen/Qwen2.5-7B-Instruct": (AutoModelForCausalLM, Qwen2Config(num_hidden_layers=2), 2 * 7),
    "Qwen/Qwen2.5-VL-3B-Instruct": (
        AutoModelForImageTextToText,
        Qwen2_5_VLConfig(text_config={"num_hidden_layers": 2}, vision_config={"depth": 2}),
        2 * 7,
    ),
}


def parse(recipe: Path, tmp_path: Path):
    """The dataclasses of a recipe by the real, strict parser, on a machine without a GPU."""
    parser = TrlParser((SPOScriptArguments, SPOConfig, ModelConfig, DatasetMixtureConfig, MonitorConfig))
    return parser.parse_args_and_config(["--config", str(recipe), "--use_cpu", "true", "--output_dir", str(tmp_path)])


def missing_names(recipe: Path) -> list[str]:
    """Flags for what tiny.yaml leaves to the command line."""
    settings = yaml.safe_load(recipe.read_text())
    wanted = {"model_name_or_path": "model", "dataset_name": "data"}
    return [part for name, value in wanted.items() if name not in settings for part in (f"--{name}", value)]


def test_there_are_recipes():
    assert len(RECIPES) >= 8
    assert len(PAIRS) >= 20
    assert {recipe for recipe, _ in PAIRS} == {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_parses_strictly(recipe, tmp_path):
    _, training_args, model_args, *_ = parse(recipe, tmp_path)
    written = yaml.safe_load(recipe.read_text())
    assert training_args.objective == "spo"
    assert training_args.settings.gamma == pytest.approx(written["beta"] * written["gamma_beta_ratio"])
    assert (get_quantization_config(model_args) is not None) == written.get("load_in_4bit", False)
    assert (get_peft_config(model_args) is not None) == written.get("use_peft", False)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_header_states_the_effective_batch(recipe):
    text = recipe.read_text()
    header = re.search(r"Effective batch\s+(\d+).*= (\d+) .*x (\d+) accumulation x (\d+) process", text)
    pairs, per_device, accumulation, processes = map(int, header.groups())
    settings = yaml.safe_load(text)
    assert pairs == per_device * accumulation * processes
    assert per_device == settings["per_device_train_batch_size"]
    assert accumulation == settings.get("gradient_accumulation_steps", 1)
    for word in ("# Numbers ", "# Hardware ", "#   setaria "):
        assert word in text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_keys_are_in_three_sorted_blocks(recipe):
    blocks = re.split(r"^### (\w+)$", recipe.read_text(), flags=re.MULTILINE)
    assert blocks[1::2] == ["model", "data", "trainer"]
    for block in blocks[2::2]:
        keys = list(yaml.safe_load(block))
        assert keys == sorted(keys)


@pytest.mark.parametrize(("recipe", "configuration"), PAIRS, ids="-".join)
def test_pairs_of_the_readme_can_be_launched(recipe, configuration):
    argv = ["--config", str(FOLDER / recipe), "--accelerate_config", configuration, "--num_processes", "2"]
    command = accelerate_arguments("spo", [*argv, *missing_names(FOLDER / recipe)])
    launcher, script = command[: command.index("--module")], command[command.index("--module") :]
    assert launcher[:2] == ["--config_file", str(ROOT / "accelerate_configs" / f"{configuration}.yaml")]
    assert launcher[-2:] == ["--num_processes", "2"]
    assert script[:2] == ["--module", "setaria.recipes.spo.train"]
    processes = yaml.safe_load((ROOT / "accelerate_configs" / f"{configuration}.yaml").read_text())
    assert processes["use_cpu"] == yaml.safe_load((FOLDER / recipe).read_text()).get("use_cpu", False)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_lora_targets_attach(recipe, tmp_path):
    from peft import get_peft_model

    _, _, model_args, *_ = parse(recipe, tmp_path)
    if not model_args.use_peft:
        return
    auto_class, config, expected = ARCHITECTURES[model_args.model_name_or_path]
    with torch.device("meta"):
        model = get_peft_model(auto_class.from_config(config), get_peft_config(model_args))
    adapted = [name for name, _ in model.named_modules() if name.endswith("lora_A")]
    assert len(adapted) == expected
    assert not any("visual" in name for name in adapted)


def test_the_resolved_config_is_a_recipe_again(tmp_path):
    settings = parse(FOLDER / "qwen2.5_7b_instruct_qlora.yaml", tmp_path)
    resolved = resolved_config(*settings)
    again = tmp_path / "config.yaml"
    again.write_text(yaml.safe_dump(resolved))
    assert resolved_config(*parse(again, tmp_path)) == resolved
    assert "hub_token" not in resolved


def test_every_lora_recipe_has_an_architecture():
    with_lora = [settings for recipe in RECIPES if (settings := yaml.safe_load(recipe.read_text())).get("use_peft")]
    assert {settings["model_name_or_path"] for settings in with_lora} == set(ARCHITECTURES)
    assert FIELDS

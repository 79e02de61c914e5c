"""BacktrackAgent's recipes parse strictly, what they train is in the architecture, and the README names them all."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from peft import get_peft_model
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen2VLConfig, Qwen3VLConfig
from trl import DatasetMixtureConfig, ModelConfig, SFTConfig, TrlParser, get_peft_config

from setaria.agents.backtrack.collect import CollectConfig
from setaria.agents.backtrack.loop import LoopConfig
from setaria.cli.train import accelerate_arguments
from setaria.models.box_codec import CODECS
from setaria.recipes.backtrack import collect, evaluate, rl, sft
from setaria.recipes.backtrack.adapters import freeze
from setaria.recipes.backtrack.agent_arguments import CollectArguments, EvaluateArguments
from setaria.recipes.backtrack.script_arguments import JudgmentArguments, RoleArguments
from setaria.recipes.preflight import check_arguments
from setaria.recipes.run_folder import resolved_config
from setaria.trainers import JudgmentGRPOConfig


ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "backtrack"
README = (FOLDER / "README.md").read_text()
# rl_tools has tests of its own
RECIPES = sorted(recipe for recipe in FOLDER.glob("*.yaml") if "rl_tools" not in recipe.name)
SCRIPTS = {
    "sft": (sft, (RoleArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)),
    "rl": (rl, (JudgmentArguments, JudgmentGRPOConfig, ModelConfig, DatasetMixtureConfig)),
    "collect": (collect, (CollectArguments,)),
    "evaluate": (evaluate, (EvaluateArguments,)),
}
TRAINING = [recipe for recipe in RECIPES if re.search("sft|rl", recipe.stem)]
PAIRS = [
    (row[1], configuration)
    for row in re.finditer(r"^\| \[([\w.]+\.yaml)\].*\| (.*) \|$", README, re.MULTILINE)
    for configuration in re.findall(r"`(\w+)`", row[2])
]
TINY = {"text_config": {"num_hidden_layers": 2}, "vision_config": {"depth": 2}}
ARCHITECTURES = {
    "qwen2_vl_7b": Qwen2VLConfig(**TINY),
    "qwen2.5_vl_7b_lora": Qwen2_5_VLConfig(**TINY),
    "qwen3_vl_8b_lora": Qwen3VLConfig(**TINY),
    "tiny": Qwen2VLConfig(**TINY),
}
FAMILIES = {"qwen2_vl_7b": "qwen2_vl", "qwen2.5_vl_7b_lora": "qwen2_5_vl", "qwen3_vl_8b_lora": "qwen3_vl"}


def script_of(recipe: Path) -> str:
    return next(name for name in SCRIPTS if name in recipe.stem.split("_"))


def model_of(recipe: Path) -> str:
    return "tiny" if recipe.stem.startswith("tiny") else recipe.stem.partition("_")[2]


def flags(recipe: Path, tmp_path: Path) -> list[str]:
    """What a recipe leaves to the command line, and what a machine without a GPU needs."""
    given = yaml.safe_load(recipe.read_text())
    wanted = {"model_name_or_path": "model", "dataset_name": "rows", "world": "world", "output": str(tmp_path)}
    if script_of(recipe) in ("sft", "rl"):
        wanted = {"model_name_or_path": "model", "dataset_name": "rows", "use_cpu": "true"}
        wanted |= {"output_dir": str(tmp_path)} | ({"world": "world"} if script_of(recipe) == "rl" else {})
        given.pop("output_dir")
        given.pop("use_cpu", None)
    else:
        wanted.pop("dataset_name")
    return [part for name, value in wanted.items() if name not in given for part in (f"--{name}", value)]


def parse(recipe: Path, tmp_path: Path, config: Path | None = None):
    """The dataclasses of a recipe by the preflight check and by the real parser, both strict."""
    script, dataclasses = SCRIPTS[script_of(recipe)]
    argv = ["--config", str(config or recipe), *flags(recipe, tmp_path)]
    check_arguments(argv, script.FIELDS, script.check_values)
    return TrlParser(dataclasses).parse_args_and_config(argv)


def on_meta(recipe: Path):
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(ARCHITECTURES[model_of(recipe)])


def test_there_are_recipes():
    assert len(TRAINING) >= 8
    assert {script_of(recipe) for recipe in RECIPES} == set(SCRIPTS)
    assert len(PAIRS) >= 20
    assert {recipe for recipe, _ in PAIRS} == {recipe.name for recipe in TRAINING}
    assert all(f"]({recipe.name})" in README for recipe in FOLDER.glob("*.yaml") if "tiny" not in recipe.name)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_parses_strictly(recipe, tmp_path):
    settings = parse(recipe, tmp_path)
    written = yaml.safe_load(recipe.read_text())
    resolved = resolved_config(*settings)
    kept = {name: value for name, value in written.items() if name not in ("output_dir", "report_to", "use_cpu")}
    assert {name: resolved[name] for name in kept} == kept
    if recipe in TRAINING:
        assert written.get("max_length") is None
        assert (get_peft_config(settings[2]) is not None) == written.get("use_peft", False)
    if script_of(recipe) == "sft":
        assert "max_length" in written
    if "family" in written and recipe.stem in FAMILIES:
        assert written["family"] == FAMILIES[model_of(recipe)]
        assert written["family"] in CODECS


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_the_resolved_config_is_a_recipe_again(recipe, tmp_path):
    resolved = resolved_config(*parse(recipe, tmp_path))
    again = tmp_path / "config.yaml"
    again.write_text(yaml.safe_dump(resolved))
    _, dataclasses = SCRIPTS[script_of(recipe)]
    assert resolved_config(*TrlParser(dataclasses).parse_args_and_config(["--config", str(again)])) == resolved


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
    assert f"| {rows} |" in next(line for line in README.splitlines() if line.startswith(f"| [{recipe.name}]"))
    assert "# Hardware " in text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_keys_are_in_sorted_blocks(recipe):
    text = recipe.read_text()
    blocks = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    second = {"collect": ["data"], "evaluate": ["loop"]}.get(script_of(recipe), ["data", "trainer"])
    assert blocks[1::2] == ["model", *second]
    for block in blocks[2::2]:
        keys = list(yaml.safe_load(block))
        assert keys == sorted(keys)
    assert "# Numbers " in text or recipe.stem == "tiny_evaluate"
    assert f"recipes/backtrack/{recipe.name}" in text


@pytest.mark.parametrize(("recipe", "configuration"), PAIRS, ids="-".join)
def test_pairs_of_the_readme_can_be_launched(recipe, configuration, tmp_path):
    path = FOLDER / recipe
    method = f"backtrack-{script_of(path)}"
    argv = ["--config", str(path), "--accelerate_config", configuration, "--num_processes", "2"]
    command = accelerate_arguments(method, [*argv, *flags(path, tmp_path)])
    launcher, script = command[: command.index("--module")], command[command.index("--module") :]
    assert launcher[:2] == ["--config_file", str(ROOT / "accelerate_configs" / f"{configuration}.yaml")]
    assert launcher[-2:] == ["--num_processes", "2"]
    assert script[:2] == ["--module", f"setaria.recipes.backtrack.{script_of(path)}"]
    processes = yaml.safe_load((ROOT / "accelerate_configs" / f"{configuration}.yaml").read_text())
    assert processes["use_cpu"] == yaml.safe_load(path.read_text()).get("use_cpu", False)


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


@pytest.mark.parametrize("recipe", TRAINING, ids=lambda recipe: recipe.stem)
def test_the_vision_tower_is_frozen_and_its_merger_is_not(recipe, tmp_path):
    prefixes = parse(recipe, tmp_path)[0].freeze
    if not prefixes:
        return
    model = on_meta(recipe)
    freeze(model, prefixes)
    frozen = {name.split(".")[2] for name, one in model.named_parameters() if not one.requires_grad}
    trained = {".".join(name.split(".")[:3]) for name, one in model.named_parameters() if one.requires_grad}
    assert frozen == {"blocks", "patch_embed"}
    assert trained == {
        "lm_head.weight",
        "model.visual.merger",
        *(f"model.language_model.{part}" for part in ("embed_tokens", "layers", "norm")),
    }


def test_a_part_that_is_not_there_cannot_be_frozen():
    model = on_meta(FOLDER / "sft_qwen2_vl_7b.yaml")
    with pytest.raises(ValueError, match=r"'visual', only in lm_head.weight, model.language_model, model.visual"):
        freeze(model, ["visual"])
    with pytest.raises(ValueError, match=r"no parameter is in 'model.vis'"):
        freeze(model, ["model.vis"])


def test_arguments_have_the_defaults_of_what_they_configure():
    named = {"world": "w", "output": "o"}
    for made, config, own in (
        (CollectArguments(**named).config, CollectConfig(), {"naming_share": 0.2}),
        (EvaluateArguments(**named).config, LoopConfig(), {}),
    ):
        for one in fields(config):
            assert getattr(made, one.name) == own.get(one.name, getattr(config, one.name)), one.name


@pytest.mark.parametrize(
    ("backtracking", "verifier", "judger", "roles"),
    [
        ("full", True, True, ["generator", "judger", "reflector"]),
        ("judger", False, True, ["generator", "judger", "reflector"]),
        ("verifier", True, False, ["generator", "reflector"]),
        ("none", False, False, ["generator"]),
    ],
)
def test_backtracking_decides_who_is_asked(backtracking, verifier, judger, roles):
    arguments = EvaluateArguments(backtracking=backtracking, judger="adapter", reflections=2, threshold=0.7)
    assert arguments.config == LoopConfig(verifier=verifier, judger=judger, reflections=2, threshold=0.7)
    assert list(arguments.roles) == roles
    assert arguments.roles.get("judger") == ("adapter" if judger or backtracking == "full" else None)


BAD = {
    "length": (sft, "--model_name_or_path m --dataset_name d", "max_length would cut through images"),
    "no rows": (sft, "--model_name_or_path m --max_length none", "no data: give dataset_name"),
    "two adapters": (
        sft,
        "--model_name_or_path m --dataset_name d --max_length none --use_peft true --adapter a",
        "give one of the two",
    ),
    "frozen adapter": (
        rl,
        "--model_name_or_path m --dataset_name d --world w --adapter a --freeze model.visual",
        "freeze is for training all weights",
    ),
    "role": (rl, "--model_name_or_path m --dataset_name d --world w --roles judger", "does not act"),
    "no world": (collect, "--model_name_or_path m --output o", "world is missing"),
    "no model": (collect, "--world w --output o", "no model: give model_name_or_path"),
    "served": (
        evaluate,
        "--world w --output o --endpoint http://x/v1 --judger j",
        "endpoint_model is missing: it is the served model of generator, reflector",
    ),
    "served candidates": (
        evaluate,
        "--world w --output o --endpoint http://x/v1 --endpoint_model m --candidates_only true",
        "candidates_only needs a Reflector in this process",
    ),
    "choice": (evaluate, "--world w --output o --model_name_or_path m --backtracking ful", "did you mean 'full'?"),
    "key": (evaluate, "--treshold 0.3", "did you mean '--threshold'?"),
}


@pytest.mark.parametrize(("script", "argv", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_end_at_once(script, argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(argv.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("changed", [{"batch": 0}, {"tasks": 0}, {"threshold": 1.5}, {"reflections": -1}])
def test_values_that_no_evaluation_has(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}="):
        EvaluateArguments(**changed)
    with pytest.raises(ValueError, match="samples=0"):
        CollectArguments(samples=0)

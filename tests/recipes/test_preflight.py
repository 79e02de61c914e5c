"""The strict check finds every mistake without torch, and knows exactly the arguments of the real parser."""

import argparse
import os
import subprocess
import sys

import pytest

from setaria.recipes.dataclass_source import read_fields
from setaria.recipes.preflight import BadArgument, check_arguments, preflight
from setaria.recipes.spo.train import FIELDS, check_values


COMPLETE = "model_name_or_path: model\ndataset_name: data\n"


@pytest.fixture
def recipe(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(scope="module")
def real_parser():
    from trl import DatasetMixtureConfig, ModelConfig, TrlParser

    from setaria.recipes.spo.script_arguments import SPOScriptArguments
    from setaria.trainers import SPOConfig
    from setaria.trainers.monitor_config import MonitorConfig

    return TrlParser((SPOScriptArguments, SPOConfig, ModelConfig, DatasetMixtureConfig, MonitorConfig))


def check(*argv: str) -> dict:
    return check_arguments(list(argv), FIELDS, check_values)


BAD_LINES = {
    "learning_rat: 1e-5": "unknown key 'learning_rat' (did you mean 'learning_rate'?)",
    "torch_dtype: bfloat16": "unknown key 'torch_dtype' (it is called 'dtype' now)",
    "max_steps: 1.5": "max_steps: 1.5 is not an integer",
    "max_steps: true": "max_steps: True is not an integer",
    "learning_rate: fast": "learning_rate: 'fast' is not a number",
    "learning_rate: .nan": "learning_rate: nan is not a number",
    "learning_rate: -1e-5": "learning_rate: -1e-05 is not allowed, it must be 0 or above",
    "per_device_train_batch_size: 0": "per_device_train_batch_size: 0 is not allowed, it must be above 0",
    "use_peft: 2": "use_peft: 2 is neither true nor false",
    "seed: null": "seed: needs a value",
    "run_name: 5": "run_name: 5 is not text (put it in quotes if it is meant to be)",
    "dtype: bflaot16": "dtype: 'bflaot16' is not one of auto, bfloat16, float16, float32 (did you mean 'bfloat16'?)",
    "bnb_4bit_quant_type: nf5": "bnb_4bit_quant_type: 'nf5' is not one of fp4, nf4 (did you mean 'nf4'?)",
    "eval_strategy: no": "eval_strategy: YAML reads a bare no as false: put it in quotes, 'no'",
    "lr_scheduler_type: cosin": "did you mean 'cosine'?",
    "model_init_kwargs: '{broken'": "model_init_kwargs: '{broken' is not JSON",
    "model_init_kwargs: 3": "model_init_kwargs: 3 is not a mapping",
    "loss_weights: [1, x]": "loss_weights: 'x' is not a number",
    "beta: -1": "beta=-1.0 is not allowed",
    "objective: spoo": "objective: 'spoo' is not one of spo, simpo, cpo, repo, dpo (did you mean 'spo'?)",
    "{gamma: 1, gamma_beta_ratio: 0.5}": "gamma=1.0 and gamma_beta_ratio=0.5 are two ways to say one thing",
    "monitor: true": "monitor: true measures at every evaluation",
    "monitor_warn_drift: 1": "monitor_warn_drift=1.0 is not allowed",
    "datasets: [{path: x}]": "dataset_name and datasets are two sources of data",
    "datasets: [{pth: x}]": "datasets[0]: unknown key 'pth' (did you mean 'path'?)",
    "datasets: [{name: x}]": "datasets[0]: has no path",
    "datasets: [x]": "datasets[0]: must be a mapping with `path`",
    "datasets: [{path: x, fraction: much}]": "datasets[0]: fraction: 'much' is not a number",
    "- 1": "a recipe is a YAML mapping",
    "a: [": "not a YAML file",
    "env: 3": "env must be a mapping",
}


@pytest.mark.parametrize(("line", "message"), BAD_LINES.items(), ids=BAD_LINES)
def test_a_bad_recipe_is_one_line(recipe, line, message):
    path = recipe(line + "\n" if line[0] in "-{" else COMPLETE + line + "\n")
    flags = ["--model_name_or_path", "model", "--dataset_name", "data"] if line[0] == "{" else []
    with pytest.raises(BadArgument) as raised:
        check("--config", path, *flags)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


BAD_FLAGS = {
    "--learning_rat 1": "unknown key '--learning_rat' (did you mean '--learning_rate'?)",
    "--warmup-ratio 0.1": "unknown key '--warmup_ratio' (it is called '--warmup_steps' now)",
    "--max_steps 1.5": "max_steps: '1.5' is not an integer",
    "--max_steps": "--max_steps/--max-steps: expected one argument",
    "--bf16": "expected one argument",
    "stray": "'stray' is not a flag",
    "--config missing.yaml": "missing.yaml: No such file or directory",
    "--config=missing.yaml": "missing.yaml: No such file or directory",
}


@pytest.mark.parametrize(("flags", "message"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_one_line(flags, message):
    with pytest.raises(BadArgument) as raised:
        check(*flags.split())
    assert message in str(raised.value)


def test_missing_model_and_data_are_named():
    with pytest.raises(BadArgument, match="model_name_or_path is missing"):
        check("--dataset_name", "data")
    with pytest.raises(BadArgument, match="no data: give dataset_name"):
        check("--model_name_or_path", "model")


GOOD_LINES = {
    "learning_rate: 2e-5": ("learning_rate", 2e-5),
    "learning_rate: 1": ("learning_rate", 1.0),
    "max_steps: '7'": ("max_steps", 7),
    "max_length: null": ("max_length", None),
    "max_length: none": ("max_length", None),
    "bf16: 'yes'": ("bf16", True),
    "lora_target_modules: all-linear": ("lora_target_modules", ["all-linear"]),
    "lora_target_modules: [q_proj, v_proj]": ("lora_target_modules", ["q_proj", "v_proj"]),
    "report_to: none": ("report_to", "none"),
    "attn_implementation: kernels-community/flash-attn2": ("attn_implementation", "kernels-community/flash-attn2"),
    "model_init_kwargs: {use_kernels: true}": ("model_init_kwargs", {"use_kernels": True}),
    "resume_from_checkpoint: true": ("resume_from_checkpoint", True),
    "eval_strategy: 'no'": ("eval_strategy", "no"),
    "objective: dpo": ("objective", "dpo"),
}


@pytest.mark.parametrize(("line", "expected"), GOOD_LINES.items(), ids=GOOD_LINES)
def test_good_values_are_converted(recipe, line, expected):
    name, value = expected
    assert check("--config", recipe(COMPLETE + line + "\n"))[name] == value


def test_the_command_line_wins(recipe):
    path = recipe(COMPLETE + "beta: 2.0\nseed: 1\n")
    values = check(f"--config={path}", "--beta", "10", "--no-remove-unused-columns", "--use_cpu")
    assert (values["beta"], values["seed"]) == (10.0, 1)
    assert (values["remove_unused_columns"], values["use_cpu"]) == (False, True)


def test_config_with_equals_sign_reaches_the_parser(recipe):
    path = recipe(COMPLETE)
    assert preflight([f"--config={path}", "--seed=3"], FIELDS, check_values) == ["--config", path, "--seed=3"]


def test_the_environment_of_a_recipe_is_set_before_imports(recipe, monkeypatch):
    monkeypatch.setenv("SETARIA_TEST_VARIABLE", "old")
    preflight(["--config", recipe(COMPLETE + "env: {SETARIA_TEST_VARIABLE: 3}\n")], FIELDS, check_values)
    assert os.environ["SETARIA_TEST_VARIABLE"] == "3"


def test_fields_read_from_source_are_those_of_the_parser(real_parser):
    fields = read_fields(FIELDS)
    actions = {}
    for action in real_parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        actions.setdefault(action.dest, []).append(action)
    assert set(fields) == set(actions)
    for name, (action, *negation) in actions.items():
        field = fields[name]
        assert field.is_list == (action.nargs == "+"), name
        assert bool(negation) == (field.default is True), name
        if field.choices:
            assert field.choices == tuple(action.choices), name
        for choice in action.choices or ():
            assert isinstance(choice, str)


def test_numbers_are_converted_as_the_parser_does(real_parser):
    fields = read_fields(FIELDS)
    numeric = {"int": int, "float": float}
    for action in real_parser._actions:
        kinds = fields[action.dest].kinds - {"None"} if action.dest in fields else set()
        for kind, converter in numeric.items():
            assert (kinds == {kind}) == (
                getattr(action.type, "__name__", None) == converter.__name__ and not action.nargs
            )


def test_nothing_heavy_is_imported(recipe):
    program = (
        "import sys; from setaria.recipes.spo.train import main\n"
        "try: main(['--config', sys.argv[1]])\n"
        "finally: print(sorted({'torch', 'transformers', 'trl', 'accelerate'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, recipe("learning_rat: 1\n")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == "[]\n"
    assert done.stderr.startswith("setaria: ") and done.stderr.count("\n") == 1

"""`setaria train`: what goes to accelerate, what to the script, and what ends at once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from setaria.cli.accelerate_flags import launcher_flags, split_flags
from setaria.cli.main import main
from setaria.cli.train import accelerate_arguments


ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "accelerate_configs"
NAMES = ["--model_name_or_path", "model", "--dataset_name", "data"]


def arguments(*argv: str) -> tuple[list[str], list[str]]:
    command = accelerate_arguments("spo", [*NAMES, *argv])
    split = command.index("--module")
    assert command[split + 1] == "setaria.recipes.spo.train"
    return command[:split], command[split + 2 :]


def test_flags_read_from_source_are_those_of_accelerate():
    from accelerate.commands.launch import launch_command_parser

    real = {
        option.removeprefix("--"): action.nargs != 0
        for action in launch_command_parser()._actions
        for option in action.option_strings
        if option.startswith("--") and "-" not in option[2:] and option != "--help"
    }
    assert {name: takes for name, takes in launcher_flags().items() if name != "help"} == real


def test_flags_are_split_between_accelerate_and_the_script():
    launcher, script = arguments(
        "--num_processes", "2", "--beta", "3", "--main-process-port=0", "--multi_gpu", "--debug", "x"
    )
    assert launcher == ["--num_processes", "2", "--main-process-port=0", "--multi_gpu"]
    assert script == [*NAMES, "--beta", "3", "--debug", "x"]
    assert split_flags(["--num_processes"], {"num_processes": True}) == (["--num_processes"], [])


def test_the_accelerate_config_of_the_command_line_wins(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("accelerate_config: zero3\n")
    launcher, script = arguments("--config", str(recipe))
    assert launcher == ["--config_file", str(CONFIGS / "zero3.yaml")]
    launcher, script = arguments("--config", str(recipe), "--accelerate_config", "ddp")
    assert launcher == ["--config_file", str(CONFIGS / "ddp.yaml")]
    assert script[-2:] == ["--accelerate_config", "ddp"]


def test_a_config_can_be_a_path(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("distributed_type: 'NO'\n")
    assert arguments("--accelerate_config", str(own))[0] == ["--config_file", str(own)]


def test_the_deepspeed_json_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launcher, _ = arguments("--accelerate_config", "cpu_zero3")
    assert launcher[2:] == ["--deepspeed_config_file", str(CONFIGS / "deepspeed_cpu_zero3.json")]


BAD = {
    "method": (["tpo"], "unknown method 'tpo', known: backtrack-rl, backtrack-rl-tools, "),
    "config": (["spo", *NAMES, "--accelerate_config", "zero4"], "neither a file nor one of context_parallel, cpu,"),
    "flag": (["spo", *NAMES, "--num_proceses", "2"], "did you mean '--num_processes'?"),
    "key": (["spo", *NAMES, "--learning_rat", "2"], "did you mean '--learning_rate'?"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_end_at_once(argv, message, capsys):
    assert main(["train", *argv]) == 2
    written = capsys.readouterr().err
    assert message in written
    assert written.count("\n") == 1


def test_help_of_a_method_lists_its_keys(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "spo", "--help"])
    assert stop.value.code == 0
    assert "--gamma_beta_ratio" in capsys.readouterr().out


@pytest.mark.distributed
def test_a_typo_under_plain_accelerate_launch(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("learning_rat: 1e-5\n")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "cpu.yaml")]
    start = time.perf_counter()
    done = subprocess.run(
        [*launch, "-m", "setaria.recipes.spo.train", "--config", str(recipe)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert time.perf_counter() - start < 20  # 4.2 s on an idle machine, nearly all of it accelerate's own start
    assert done.returncode != 0
    assert f"setaria: {recipe}: unknown key 'learning_rat' (did you mean 'learning_rate'?)\n" in done.stderr


@pytest.mark.distributed
def test_sigterm_reaches_both_processes(tiny_checkpoint, pairs_file, tmp_path):
    names = ["--model_name_or_path", str(tiny_checkpoint), "--dataset_name", str(pairs_file), "--output_dir", "out"]
    recipe = ["--config", str(ROOT / "recipes/spo/tiny.yaml"), "--accelerate_config", "cpu_ddp"]
    length = ["--max_steps", "100000", "--save_strategy", "no", "--disable_tqdm", "true"]
    with (tmp_path / "output.txt").open("w") as output:
        training = subprocess.Popen(
            [sys.executable, "-m", "setaria.cli.main", "train", "spo", *recipe, *names, *length],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        metrics = tmp_path / "out" / "metrics.jsonl"
        while training.poll() is None and not (metrics.exists() and metrics.read_text()):
            time.sleep(0.2)
        training.terminate()
        code = training.wait(timeout=120)
    assert code == 143, (tmp_path / "output.txt").read_text()[-3000:]
    assert '"processes": 2' in (tmp_path / "out/run/environment.json").read_text()
    [checkpoint] = (tmp_path / "out").glob("checkpoint-*")
    assert (checkpoint / "rng_state_1.pth").exists()
    assert f"{checkpoint.name.split('-')[1]} with a checkpoint in out" in (tmp_path / "output.txt").read_text()

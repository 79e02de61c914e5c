"""The whole way of BacktrackAgent, short: world, rows, SFT, collection, adapters, reinforcement, evaluation, page.

Every stage runs as its script does, one of them through accelerate's launcher. The tiny model learns almost nothing
in so few steps; what is checked is that each stage does what it is for.
"""

import json
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from datasets import load_from_disk
from safetensors.torch import load_file

from setaria.cli.main import main as setaria
from setaria.recipes.backtrack import collect, evaluate, rl, sft, tiny_model


FOLDER = Path(__file__).parents[2] / "recipes" / "backtrack"
QUIET = ["--disable_tqdm", "true", "--logging_steps", "1"]


def recipe(name: str, *flags: object) -> list[str]:
    return ["--config", str(FOLDER / f"tiny_{name}.yaml"), *map(str, flags)]


def logged(folder: Path, name: str) -> list[float]:
    events = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [event[name] for event in events if name in event]


def fell(losses: list[float]) -> bool:
    """Whether the last quarter of the losses is below the first quarter on average."""
    quarter = max(1, len(losses) // 4)
    return sum(losses[-quarter:]) < sum(losses[:quarter])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*model.safetensors")
    return load_file(file)


def unlike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Names of the weights that differ."""
    assert set(one) == set(other)
    return [name for name in one if not one[name].equal(other[name])]


def failure(capsys, script, *argv: str) -> str:
    """The one line on stderr of a script that must fail with exit code 1."""
    with pytest.raises(SystemExit) as stop:
        script.main(list(argv))
    assert stop.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("setaria: ")]
    return line


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def world(runs):
    """One app to learn, and another one."""
    assert (
        setaria(["build", "backtrack", "apps", "--output", str(runs / "world"), "--apps", "1", "--held_out", "1"]) == 0
    )
    return runs / "world"


@pytest.fixture(scope="module")
def untrained(runs, world):
    tiny_model.main(["--world", str(world / "train"), "--output", str(runs / "untrained")])
    return runs / "untrained"


@pytest.fixture(scope="module")
def rows(runs, world, untrained):
    names = ["--world", str(world / "train"), "--processor", str(untrained), "--naming_share", "0.3"]
    assert setaria(["build", "backtrack", "sft", *names, "--output", str(runs / "rows")]) == 0
    return runs / "rows"


@pytest.fixture(scope="module")
def generator(runs, rows, untrained):
    names = ["--model_name_or_path", untrained, "--dataset_name", rows, "--output_dir", runs / "generator"]
    short = ["--max_steps", 40, "--warmup_steps", 4, "--per_device_train_batch_size", 8]
    sft.main(recipe("sft", *names, *short, *QUIET))
    return runs / "generator"


@pytest.fixture(scope="module")
def collected(runs, world, generator):
    names = ["--model_name_or_path", generator, "--world", world / "train", "--output", runs / "collected"]
    assert setaria(["build", "backtrack", "collect", *recipe("collect", *names, "--tasks", 8)]) == 0
    return runs / "collected"


def role_flags(runs: Path, role: str) -> list[str]:
    names = ["--model_name_or_path", runs / "generator", "--dataset_name", runs / "collected"]
    short = ["--max_steps", 8, "--warmup_steps", 0, "--per_device_train_batch_size", 8, "--use_peft", "true"]
    return recipe("sft", *names, "--roles", role, "--output_dir", runs / role, *short, *QUIET)


@pytest.fixture(scope="module")
def judger(runs, collected):
    sft.main(role_flags(runs, "judger"))
    return runs / "judger"


@pytest.fixture(scope="module")
def reflector(runs, collected):
    """Through the launcher, in processes of its own."""
    command = [sys.executable, "-m", "setaria.cli.main", "train", "backtrack-sft", "--accelerate_config", "cpu"]
    subprocess.run([*command, "--num_cpu_threads_per_process", "1", *role_flags(runs, "reflector")], check=True)
    return runs / "reflector"


@pytest.fixture(scope="module")
def reinforced(runs, world, rows, generator, judger):
    names = ["--model_name_or_path", generator, "--judger", judger, "--dataset_name", rows]
    short = ["--max_steps", 4, "--per_device_train_batch_size", 16, "--num_generations", 4, "--learning_rate", "2e-4"]
    places = ["--world", world / "train", "--output_dir", runs / "reinforced"]
    rl.main(recipe("rl", *names, *places, *short, *QUIET))
    return runs / "reinforced"


@pytest.fixture(scope="module")
def roles(generator, judger, reflector, reinforced, world):
    return recipe(
        *("evaluate", "--model_name_or_path", generator, "--generator", reinforced, "--judger", judger),
        *("--reflector", reflector, "--world", world / "held_out", "--steps", 3),
    )


@pytest.fixture(scope="module")
def episodes(runs, roles):
    evaluate.main([*roles, "--output", str(runs / "episodes"), "--tasks", "2"])
    return runs / "episodes"


def test_the_generator_learns(generator, untrained):
    assert fell(logged(generator, "loss"))
    assert len(unlike(weights(generator), weights(untrained))) == len(weights(untrained))


def test_collected_rows(collected):
    rows = load_from_disk(str(collected))
    roles = Counter(rows["role"])
    assert set(roles) == {"judger", "reflector", "naming"}
    assert roles["naming"] == round(0.3 / 0.7 * (roles["judger"] + roles["reflector"]))
    judged = [row["completion"][0]["content"][0]["text"] for row in rows if row["role"] == "judger"]
    assert set(judged) == {"Yes", "No"}
    assert {len(row["images"]) for row in rows if row["role"] != "naming"} == {2}
    assert yaml.safe_load((collected / "run" / "config.yaml").read_text())["samples"] == 2


def test_each_adapter_learns_its_role(judger, reflector, generator):
    for adapter in (judger, reflector):
        assert fell(logged(adapter, "loss"))
        assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(generator)
        learned = [name for name, weight in weights(adapter).items() if "lora_B" in name and weight.any()]
        assert len(learned) == 3 * 7  # layers x projections
    assert len(unlike(weights(judger), weights(reflector))) == 2 * 3 * 7


def test_reinforcement_is_rewarded_and_moves_the_generator(reinforced, generator):
    for name in ("rewards/gold_match/mean", "rewards/verifier/mean", "rewards/judger/mean", "reward", "ce_loss"):
        assert len(set(logged(reinforced, name))) > 1, name
    assert all(0 < one < 1 for one in (-value for value in logged(reinforced, "rewards/judger/mean")))
    assert max(logged(reinforced, "frac_reward_zero_std")) < 1
    assert len(unlike(weights(reinforced), weights(generator))) == len(weights(generator))


@pytest.mark.distributed
def test_the_judger_is_whole_under_zero3(runs, world, rows, generator, judger):
    """Sharded by ZeRO-3 it would have no weights to judge with."""
    names = ["--model_name_or_path", generator, "--judger", judger, "--dataset_name", rows]
    short = ["--max_steps", 1, "--per_device_train_batch_size", 4, "--num_generations", 4]
    places = ["--world", world / "train", "--output_dir", runs / "zero3"]
    command = [sys.executable, "-m", "setaria.cli.main", "train", "backtrack-rl", "--accelerate_config", "cpu_zero3"]
    subprocess.run([*command, *recipe("rl", *names, *places, *short, *QUIET)], check=True)
    assert json.loads((runs / "zero3" / "run" / "environment.json").read_text())["processes"] == 2
    assert all(-1 < reward < 0 for reward in logged(runs / "zero3", "rewards/judger/mean"))
    assert len(unlike(weights(runs / "zero3"), weights(generator))) == len(weights(generator))


def test_reinforcement_goes_on_from_an_adapter(runs, world, collected, generator, reflector):
    names = ["--model_name_or_path", generator, "--adapter", reflector, "--dataset_name", collected]
    short = ["--max_steps", 1, "--per_device_train_batch_size", 8, "--num_generations", 4]
    places = ["--world", world / "train", "--output_dir", runs / "reflector_reinforced"]
    rl.main(recipe("rl", *names, *places, "--roles", "reflector", *short, *QUIET))
    before, after = weights(reflector), weights(runs / "reflector_reinforced")
    changed = [(after[name] - before[name]).abs().max().item() for name in unlike(before, after)]
    assert len(changed) == len(before)
    assert max(changed) < 1e-3  # where the adapter was, not where a new one starts


def test_frozen_parts_stay(runs, rows, untrained):
    names = ["--model_name_or_path", untrained, "--dataset_name", rows, "--output_dir", runs / "frozen"]
    short = ["--max_steps", 1, "--warmup_steps", 0, "--per_device_train_batch_size", 4]
    sft.main(recipe("sft", *names, *short, *QUIET, "--freeze", "model.visual.blocks", "model.visual.patch_embed"))
    before, after = weights(untrained), weights(runs / "frozen")
    same = set(before) - set(unlike(before, after))
    assert same == {name for name in before if "visual.blocks" in name or "visual.patch_embed" in name}
    assert same and any("visual.merger" in name for name in before)


def test_evaluation_writes_metrics_and_goes_on(runs, roles, episodes, capsys):
    report = json.loads((episodes / "metrics.json").read_text())
    assert report["episodes"] == 2
    assert set(report["metrics"]["success"]) == {"value", "low", "high"}
    assert report["metrics"]["seconds"]["value"] > 0
    assert report["config"]["backtracking"] == "full"
    assert {"torch", "trl", "setaria"} <= set(report["environment"]["packages"])
    lines = (episodes / "episodes.jsonl").read_text().splitlines()
    asked = {attempt["role"] for line in lines for step in json.loads(line)["steps"] for attempt in step["attempts"]}
    assert "generator" in asked

    evaluate.main([*roles, "--output", str(episodes), "--tasks", "3", "--batch", "1"])
    more = (episodes / "episodes.jsonl").read_text().splitlines()
    assert more[:2] == lines and len(more) == 3
    assert json.loads((episodes / "metrics.json").read_text())["episodes"] == 3
    assert f"setaria trace view {episodes}" in capsys.readouterr().out

    assert f"{episodes} holds episodes with threshold=0.5, not 0.9: choose another --output" in failure(
        capsys, evaluate, *roles, "--output", str(episodes), "--threshold", "0.9"
    )


def test_an_evaluation_against_another(runs, roles, episodes):
    flags = ["--backtracking", "none", "--tasks", "2", "--against", str(episodes)]
    evaluate.main([*roles, "--output", str(runs / "none"), *flags])
    report = json.loads((runs / "none" / "metrics.json").read_text())
    assert report["metrics"]["success gain"]["value"] <= 0 <= report["metrics"]["success gain"]["high"]
    for line in (runs / "none" / "episodes.jsonl").read_text().splitlines():
        assert all(len(step["attempts"]) == 1 for step in json.loads(line)["steps"])


def test_the_page_of_episodes_that_are_doubted(runs, roles):
    """No action gets a P(Yes) of 1, so each is turned down and the Reflector asked."""
    evaluate.main([*roles, "--output", str(runs / "doubted"), "--tasks", "1", "--threshold", "1"])
    assert setaria(["trace", "view", str(runs / "doubted")]) == 0
    assert "reflector" in (runs / "doubted" / "trace.html").read_text()


def test_bad_input_is_one_line(runs, world, roles, untrained, collected, judger, capsys):
    (runs / "empty").mkdir()
    names = ["--model_name_or_path", str(untrained)]
    output = ["--output", str(runs / "other")]
    assert "is an adapter of" in failure(capsys, evaluate, *roles, "--output", str(runs / "mixed"), *names)
    assert "holds no app in Mobile3M's layout" in failure(
        capsys, collect, *names, *output, "--world", str(runs / "empty")
    )
    assert "is there already and not empty: choose another" in failure(
        capsys, collect, *names, "--world", str(world / "train"), "--output", str(collected)
    )
    assert "reflect_right=2.0 is no share" in failure(
        capsys, collect, *names, *output, "--world", str(world / "train"), "--reflect_right", "2"
    )
    data = ["--dataset_name", str(collected), "--output_dir", str(runs / "other")]
    assert "roles: 'pilot' is none of generator, judger" in failure(
        capsys, sft, *recipe("sft", *names, *data, "--roles", "pilot")
    )
    assert f"adapter={world}: is no folder with an adapter_config.json" in failure(
        capsys, sft, *recipe("sft", *names, *data, "--adapter", world)
    )
    assert "is an adapter of" in failure(
        capsys, rl, *recipe("rl", *names, *data, "--world", world / "train", "--adapter", judger)
    )


class Server(BaseHTTPRequestHandler):
    """Says that all is done; no server at all for a model named `gone`."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["model"])
        reply = "Yes" if body.get("logprobs") else "complete()"
        content = json.dumps({"choices": [{"message": {"role": "assistant", "content": reply}}]}).encode()
        self.send_response(404 if body["model"] == "gone" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server, f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_served_models(runs, world, capsys):
    names = ["--world", str(world / "held_out"), "--tasks", "2", "--endpoint_model", "agent"]
    with serving() as (server, address):
        evaluate.main([*names, "--endpoint", address, "--judger", "judge", "--output", str(runs / "served")])
        assert Counter(server.asked) == {"agent": 2, "judge": 2}
        message = failure(
            capsys, evaluate, *names, "--endpoint", address, "--judger", "gone", "--output", str(runs / "gone")
        )
    assert "status 404" in message and "the same command goes on where it stopped" in message
    (first, second) = map(json.loads, (runs / "served" / "episodes.jsonl").read_text().splitlines())
    assert first["end"]["reason"] == second["end"]["reason"] == "complete"
    assert "family=qwen2_5_vl writes boxes in pixels of the processed image" in failure(
        capsys, evaluate, *names, "--endpoint", address, "--family", "qwen2_5_vl", "--output", str(runs / "absolute")
    )

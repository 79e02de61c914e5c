"""The demo: from random weights to a preference-trained model and a page about it, on a CPU in a few minutes.

    setaria demo --output runs/demo

A small Llama learns to write notes from careless demonstrations, its own replies are paired and labelled by a noisy
judge, SPO trains on the pairs through `accelerate launch`, and every checkpoint is scored with the exact gold reward.
A stage whose result is there is not repeated.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM

from setaria import accelerate_configs, recipes
from setaria.datasets_builders.worlds.replies import sample_replies
from setaria.recipes.run_folder import write_atomically
from setaria.recipes.spo.demo_report import write_report
from setaria.recipes.spo.lab_config import LabConfig
from setaria.recipes.spo.lab_policy import win_rate
from setaria.recipes.spo.notes_start import Start, prepare_start
from setaria.rewards.notes import score_note


SEED = 0
SIZES = LabConfig(prompts=1000, held_out_prompts=200)
# What a demo folder holds, so that starting afresh removes a demo and nothing else.
MARKER = "demo.json"


def run_demo(output: Path, fresh: bool = False, console: Console | None = None) -> Path:
    """Run the stages that are not done and return the report's path.

    Raises:
        ValueError: if `output` holds something that is not a demo.
        RuntimeError: if the training process fails; it has said why.
    """
    console = console or Console()
    began = time.monotonic()
    _claim(output, fresh)
    with console.status("1/4  A small Llama learns to write notes from careless demonstrations (SFT) ..."):
        start = prepare_start(SEED, SIZES, output)
    console.print(f"1/4  SFT model and {len(start.pairs)} labelled pairs of its replies: {start.folder}")
    console.print("2/4  SPO, through accelerate launch")
    trained = _train(start, output)
    console.print("3/4  Scoring every checkpoint with the gold reward, which training never saw")
    scored = output / "results.json"
    if not scored.exists():
        results = {**_evaluate(start, trained, console), "seconds": round(time.monotonic() - began, 1)}
        write_atomically(scored, json.dumps(results, indent=1) + "\n")
    results = json.loads(scored.read_text(encoding="utf-8"))
    report = write_report(output, results)
    console.print(_summary(results))
    console.print(f"4/4  Report: {report.resolve()}", soft_wrap=True)
    return report


def _claim(output: Path, fresh: bool) -> None:
    if output.exists() and any(output.iterdir()) and not (output / MARKER).exists():
        raise ValueError(f"{output} holds something that is not a demo: choose another folder with --output")
    if fresh:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / MARKER, json.dumps({"seed": SEED}) + "\n")


def _train(start: Start, output: Path) -> Path:
    """Train in a process of its own and return the folder; a run that was cut short is resumed."""
    folder, data = output / "spo", output / "data"
    if (folder / "model.safetensors").exists():
        return folder
    DatasetDict(train=start.pairs, test=start.held_out_pairs).save_to_disk(data)
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(_shipped(accelerate_configs, "cpu.yaml"))),
        *("--module", "setaria.recipes.spo.train"),
        *("--config", str(_shipped(recipes, "spo/demo.yaml"))),
        *("--model_name_or_path", str(start.folder)),
        *("--dataset_name", str(data)),
        *("--output_dir", str(folder)),
        *("--seed", str(SEED)),
    ]
    if any(folder.glob("checkpoint-*")):
        command += ["--resume_from_checkpoint", "last"]
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ}
    if subprocess.run(command, env=environment).returncode:
        raise RuntimeError("the training process failed; run `setaria demo` again to resume it, or with --fresh")
    return folder


def _shipped(package: Any, name: str) -> Path:
    return Path(package.__path__[0]) / name


def _evaluate(start: Start, trained: Path, console: Console) -> dict[str, Any]:
    """Notes and their scores of the start, every checkpoint and the final model on the same prompts."""
    checkpoints = sorted(trained.glob("checkpoint-*"), key=_step)
    policies = {0: start.folder} | {_step(checkpoint): checkpoint for checkpoint in checkpoints}
    requests = [prompt[-1]["content"] for prompt in start.held_out_prompts]
    curve = []
    for step, folder in policies.items():
        with console.status(f"3/4  step {step}"):
            model = AutoModelForCausalLM.from_pretrained(folder)
            replies = sample_replies(
                model, start.tokenizer, start.held_out_prompts, max_new_tokens=SIZES.max_new_tokens, seed=SEED
            )
        notes = [reply for (reply,) in replies]
        scores = [score_note(request, note) for request, note in zip(requests, notes, strict=True)]
        curve.append(
            {
                "step": step,
                "notes": notes,
                "gold": [score.gold for score in scores],
                "components": [asdict(score) for score in scores],
            }
        )
    return {"requests": requests, "curve": curve}


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _summary(results: dict[str, Any]) -> Table:
    """Gold reward and win rate before, at the best checkpoint and after."""
    before, after = results["curve"][0], results["curve"][-1]
    table = Table("model", "step", "gold reward (best 1)", "wins over SFT", title="Held-out requests")
    for name, point in (("SFT", before), ("SPO", after)):
        wins = "" if point is before else f"{win_rate(point['gold'], before['gold']):.0%}"
        table.add_row(name, str(point["step"]), f"{sum(point['gold']) / len(point['gold']):.3f}", wins)
    return table

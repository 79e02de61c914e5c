"""The lab: does an agent that looks at what it did, and goes back, solve more tasks in apps that it has never seen?

    setaria lab backtrack --output runs/lab_backtrack --seeds 3

Small vision-language models from scratch learn to act, to reflect and to judge for each seed (`lab_stages`) and are
run with and without going back on held-out tasks (`lab_arms`). Finished stages and episodes are kept and not repeated;
seeds run side by side in processes of their own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from setaria.agents.backtrack.metrics import measure
from setaria.datasets_builders.worlds.app_tasks import write_world
from setaria.recipes.backtrack.lab_arms import ARMS, run_arm
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.lab_report import write_report
from setaria.recipes.backtrack.lab_stages import DONE, Stages
from setaria.recipes.run_folder import write_atomically


def run_lab(config: LabConfig, output: Path, jobs: int = 2, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Run what is not finished and write `results.json` and `report.md`; returns the results.

    Raises:
        ValueError: if `output` holds a lab with other settings.
        RuntimeError: if a seed's process fails; its log is named.
    """
    _claim(config, output)
    world = output / "world"
    if not (world / DONE).exists():
        report(f"writing {config.apps} training apps and {config.held_out_apps} held-out apps")
        write_world(world, config.apps, config.held_out_apps)
        (world / DONE).touch()
    _run_seeds(config, output, jobs, report)
    seeds = [json.loads((output / f"seed{seed}" / "result.json").read_text()) for seed in range(config.seeds)]
    return write_report(config, seeds, output)


def run_seed(config: LabConfig, output: Path, seed: int, report: Callable[[str], None] = print) -> None:
    """Train the models of a seed and run all arms; writes `result.json` in its folder."""
    began = time.monotonic()
    stages = Stages(config, output / "world", output / f"seed{seed}", seed)
    stages.run(report)
    arms: dict[str, dict[str, Any]] = {}
    for name in ARMS:
        episodes = run_arm(name, stages)
        arms[name] = {
            "metrics": {metric: asdict(interval) for metric, interval in measure(episodes).items()},
            "success": {episode["episode"]: bool(episode["end"]["success"]) for episode in episodes},
        }
        report(f"seed {seed}, {name}: success {arms[name]['metrics']['success']['value']:.3f}")
    result = {"seed": seed, "minutes": round((time.monotonic() - began) / 60, 1), "arms": arms}
    write_atomically(output / f"seed{seed}" / "result.json", json.dumps(result, indent=1) + "\n")


def _claim(config: LabConfig, output: Path) -> None:
    """Write the settings on first use of the folder; more seeds may be added later."""
    settings = asdict(replace(config, seeds=0))
    path = output / "lab.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise ValueError(f"{output} holds a lab with other settings: choose another folder with --output")
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings, indent=2) + "\n")


def _run_seeds(config: LabConfig, output: Path, jobs: int, report: Callable[[str], None]) -> None:
    waiting = [seed for seed in range(config.seeds) if not (output / f"seed{seed}" / "result.json").exists()]
    running: dict[int, subprocess.Popen] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                seed = waiting.pop(0)
                running[seed] = _start(output, seed)
                report(f"seed {seed}: started, log in {_log(output, seed)}")
            time.sleep(1)
            for seed, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[seed]
                if process.returncode:
                    raise RuntimeError(f"seed {seed} failed with exit code {process.returncode}: {_log(output, seed)}")
                report(f"seed {seed}: finished")
    finally:
        for process in running.values():
            process.terminate()


def _start(output: Path, seed: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "setaria.recipes.backtrack.lab", str(output), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    _log(output, seed).parent.mkdir(exist_ok=True)
    with _log(output, seed).open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def _log(output: Path, seed: int) -> Path:
    return output / f"seed{seed}" / "log.txt"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run_seed(
        LabConfig(**json.loads((folder / "lab.json").read_text())),
        folder,
        int(sys.argv[2]),
        lambda text: print(text, flush=True),
    )

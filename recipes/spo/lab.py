"""The over-optimisation lab: preference objectives trained side by side until, and beyond, where they help.

Every arm starts from the same small policy with the same pairs (`notes_start`). Gold reward, which no arm sees, tells
when more optimisation stops helping.

    setaria lab spo --output runs/lab --seeds 3

Finished runs are kept as JSON, one per arm and seed, and are not repeated.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from setaria.recipes.run_folder import write_atomically
from setaria.recipes.spo.lab_arm import train_arm
from setaria.recipes.spo.lab_config import TUNING_SEED, Arm, LabConfig
from setaria.recipes.spo.notes_start import prepare_start


def run_lab(config: LabConfig, output: Path, report: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run what is not finished and return the records of all runs, by arm, then seed.

    Each record holds `arm`, `seed`, `settings`, `seconds` and `curve`, its checkpoints from step 0 on.

    Raises:
        ValueError: if `output` holds a study with other settings.
    """
    _claim(config, output)
    arms = [_tuned(arm, config, output, report) for arm in config.arms] if config.tune else config.arms
    return [_run(arm, seed, config, output, report) for arm in arms for seed in range(config.seeds)]


def _claim(config: LabConfig, output: Path) -> None:
    """Write the study's settings on first use of the folder; more seeds and other arms may be added later."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("seeds", "arms", "tune")}
    path = output / "study.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise ValueError(f"{output} holds a study with other settings: choose another folder with --output")
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings, indent=2) + "\n")


def _tuned(arm: Arm, config: LabConfig, output: Path, report: Callable[[str], None]) -> Arm:
    """The arm at the grid value with the highest peak gold on the tuning seed."""
    candidates = [arm.with_value(value) for value in arm.grid]
    records = [_run(candidate, TUNING_SEED, config, output, report) for candidate in candidates]
    peaks = [max(point["gold"] for point in record["curve"]) for record in records]
    return candidates[peaks.index(max(peaks))]


def _run(arm: Arm, seed: int, config: LabConfig, output: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """The finished record of a run, from its file or from training it now."""
    strength = "-".join(f"{name}{value:g}" for name, value in sorted(arm.settings.items()))
    name = f"{arm.name.replace(' ', '')}-{strength}-seed{seed}"
    path = output / "runs" / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    began = time.monotonic()
    folder = output / "checkpoints" / name
    curve = train_arm(arm, seed, config, prepare_start(seed, config, output), folder)
    record = {
        "arm": arm.name,
        "objective": arm.objective,
        "settings": arm.settings,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "curve": curve,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    report(
        f"{arm.name} {strength} seed {seed}: gold {curve[0]['gold']:.2f} -> peak "
        f"{max(point['gold'] for point in curve):.2f} -> final {curve[-1]['gold']:.2f} ({record['seconds']:.0f} s)"
    )
    return record

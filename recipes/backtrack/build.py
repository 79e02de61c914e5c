"""Builds training data: a generated world, the Generator's rows of a world, and rows of published recordings.

Every builder writes into a folder that is empty yet, rows as they come, in the form of `save_to_disk`.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from datasets import Dataset

from setaria.agents.backtrack.collect import generator_rows, naming_rows
from setaria.agents.backtrack.moments import moments
from setaria.datasets_builders.gui.aitw import read_split, read_steps
from setaria.datasets_builders.gui.android_control import read_android_control
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import save_rows
from setaria.datasets_builders.gui.screen_agent import screen_agent_rows
from setaria.datasets_builders.gui.step_rows import (
    RecordedStep,
    WrongActions,
    action_of_aitw,
    aitw_steps,
    android_control_steps,
    simulated_judger_rows,
)
from setaria.datasets_builders.gui.step_rows import generator_rows as recorded_generator_rows
from setaria.datasets_builders.worlds.app_tasks import write_world
from setaria.recipes.backtrack.world_tasks import empty_folder, world_tasks


MISSING = "missing_images.txt"
WRONG_FROM = 5000  # steps at the beginning of AITW's files whose actions are wrong ones elsewhere


def build_apps(output: Path, apps: int, held_out: int, seed: int) -> dict[str, tuple[int, int]]:
    """Write the apps world, `train/` and `held_out/`; returns the number of apps and tasks of each split."""
    if apps < 1 or held_out < 0:
        raise ValueError(f"apps={apps}, held_out={held_out}: at least 1 and 0 are expected")
    write_world(empty_folder(output), apps, held_out, seed)
    counts = {}
    for split, count in (("train", apps), ("held_out", held_out)):
        if count:
            counts[split] = (count, len(world_tasks(output / split)[1]))
    return counts


def build_sft(world: Path, prompts: Prompts, output: Path, naming_share: float, seed: int) -> Dataset:
    """The gold steps of a split as rows of the Generator, and grounding rows, of all rows this share."""
    empty_folder(output)
    if not 0 <= naming_share < 1:
        raise ValueError(f"naming_share={naming_share} is no share below 1")
    graphs, tasks = world_tasks(world)
    steps = sum(len(task.steps) + 1 for task in tasks)
    names = round(steps * naming_share / (1 - naming_share))
    acting = generator_rows(moments(tasks, graphs), prompts)
    return save_rows(chain(acting, naming_rows(list(graphs.values()), names, prompts, seed)), output)


def build_android_control(
    episodes: Path, images: Path, prompts: Prompts, output: Path, seed: int
) -> tuple[Dataset, list[Path]]:
    """AndroidControl's steps as rows of Generator and Judger, and the screenshots that are missing.

    A missing screenshot's step makes no row; the file `MISSING` beside the rows names them all.
    """
    empty_folder(output)
    recorded = list(read_android_control(episodes))
    steps, missing = android_control_steps(recorded, images)
    if not steps:
        raise ValueError(f"{images}: holds none of the {len(recorded)} screenshots of {episodes}")
    wrong = WrongActions([(step.action, step.gold.size) for step in recorded], seed)
    rows = save_rows(_both_roles(steps, prompts, wrong), output)
    if missing:
        (output / MISSING).write_text("".join(f"{file}\n" for file in missing), encoding="utf-8")
    return rows, missing


def build_aitw(
    records: list[Path], split_file: Path | None, split: str, prompts: Prompts, output: Path, seed: int
) -> Dataset:
    """AITW's steps as rows of Generator and Judger, of all episodes or those of a split file."""
    empty_folder(output)
    episodes = None if split_file is None else read_split(split_file, split)
    first = islice(read_steps(records, episodes), WRONG_FROM)
    wrong = WrongActions([(action_of_aitw(step), (step.width, step.height)) for step in first], seed)
    return save_rows(_both_roles(aitw_steps(read_steps(records, episodes)), prompts, wrong), output)


def build_screen_agent(recordings: Path, output: Path) -> Dataset:
    """ScreenAgent's judgments as rows of the Judger."""
    return save_rows(screen_agent_rows(recordings), empty_folder(output))


def _both_roles(steps: Iterable[RecordedStep], prompts: Prompts, wrong: WrongActions) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield from recorded_generator_rows([step], prompts)
        yield from simulated_judger_rows([step], prompts, wrong)

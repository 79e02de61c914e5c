"""What all seeds of the lab share, made once: the world, and a model from scratch that has learned to read screens.

The Judgers are trained from this model, as those of the paper are from a large one that can read.
"""

from pathlib import Path

from setaria.agents.backtrack.moments import moments
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.gui.tasks import read_split
from setaria.datasets_builders.worlds.app_tasks import write_world
from setaria.datasets_builders.worlds.apps import generate_app
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.tiny_model import save_tiny_model, texts_of
from setaria.recipes.backtrack.tiny_pretraining import comparing_rows, locating_rows, reading_rows
from setaria.recipes.lab_training import fine_tune


WORLD, READER = "world", "reader"
FIRST_DRAWN = 1_000_000  # no app of the world has such a seed


def make_shared(config: LabConfig, folder: Path) -> None:
    """Write `folder/world` and `folder/reader`."""
    write_world(folder / WORLD, config.apps, config.held_out_apps)
    graphs, tasks = read_split(folder / WORLD / "train")
    found = list(moments(tasks, graphs))
    untrained = folder / "untrained"
    processor = save_tiny_model(untrained, texts_of(found), seed=0)
    prompts = Prompts.of_processor("qwen2_vl", processor, described=True)
    pages = list({moment.page.id: moment.page for moment in found}.values())
    apps = [generate_app(FIRST_DRAWN + number) for number in range(config.drawn_apps)]
    stages = {
        "located": (locating_rows(pages, config.locating_rows, prompts, 0), config.locating_steps, config.text_rate),
        "compared": (comparing_rows(config.comparing_rows, 0), config.comparing_steps, config.text_rate),
        READER: (reading_rows(apps, prompts, 0), config.reading_steps, config.reading_rate),
    }
    start = untrained
    for name, (rows, steps, learning_rate) in stages.items():
        fine_tune(start, folder / name, row_dataset(rows), processor, steps, learning_rate, config.batch)
        start = folder / name

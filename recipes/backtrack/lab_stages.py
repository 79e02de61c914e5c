"""The stages of one seed of the lab; what is finished is kept in its folder and not repeated.

located      a model from scratch learns to find a name in a list and copy its line
acting       rows of acting and of naming what is on a screen, in the first half of the training apps
base         the model learns them
collected    its sampled actions in the other apps, executed, become judgment and reflection rows
actor        the base learns to reflect too, on outcomes and on drawn actions: Generator and Reflector
judger       the model that can read and judge (`lab_reading`) learns from them too
reinforced   the actor after reinforcement with judgment rewards, the Judger being frozen

`judger_simulated` learns from actions drawn on the page in place of outcome pages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from datasets import Dataset, concatenate_datasets, load_from_disk
from transformers import AutoModelForImageTextToText

from setaria.agents.backtrack.collect import CollectConfig, collected_rows, generator_rows, naming_rows
from setaria.agents.backtrack.local_chat import LocalChat
from setaria.agents.backtrack.moments import AttemptsAtMoments, Moment, moments
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import Conversation, Prompts
from setaria.datasets_builders.gui.rows import rollout_rows, row_dataset, sft_rows
from setaria.datasets_builders.gui.tasks import read_split
from setaria.models.processors import load_processor
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.lab_reading import ACTUAL, JUDGES, JUDGING, REFLECTING, SIMULATED, WORLD
from setaria.recipes.backtrack.tiny_model import save_tiny_model, texts_of
from setaria.recipes.backtrack.tiny_pretraining import locating_rows
from setaria.recipes.lab_training import fine_tune, run_stages, train_and_save
from setaria.recipes.quiet_on_cpu import quiet_on_cpu
from setaria.rewards.judgment import JudgmentRewards
from setaria.trainers import JudgmentGRPOConfig, JudgmentGRPOTrainer


LONGEST_REPLY, LONGEST_DESCRIPTION = 24, 64
STAGES = (
    "located",
    "acting",
    "base",
    "collected",
    "actor",
    "judger",
    "judger_simulated",
    "reinforced",
)


@dataclass
class Stages:
    """One seed; `folder` holds its checkpoints and rows, `shared` the world and the model that can read."""

    config: LabConfig
    shared: Path
    folder: Path
    seed: int

    def run(self, report: Callable[[str], None] = print) -> None:
        """Make everything that is not there yet."""
        run_stages(self, STAGES, self.folder, report)

    def chat(self, stage: str, temperature: float = 0.0) -> LocalChat:
        """The model of a stage."""
        model = AutoModelForImageTextToText.from_pretrained(self.folder / stage)
        processor = load_processor(str(self.folder / stage))
        return LocalChat(model, processor, max_new_tokens=LONGEST_REPLY, temperature=temperature)

    def judger(self, stage: str) -> LocalChat:
        """The model of a stage as the Judger, which describes what it sees."""
        model = AutoModelForImageTextToText.from_pretrained(self.folder / stage)
        processor = load_processor(str(self.folder / stage))
        return LocalChat(model, processor, max_new_tokens=LONGEST_DESCRIPTION, described=True)

    @cached_property
    def processor(self):
        """The processor of the actor; the Judger's differs in its vocabulary alone."""
        return load_processor(str(self.folder / "untrained"))

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts that all stages share."""
        return Prompts.of_processor("qwen2_vl", self.processor, described=True)

    @cached_property
    def _split(self):
        return read_split(self.shared / WORLD / "train")

    def _moments(self, half: int) -> list[Moment]:
        """Gold steps in the first (0) or second (1) half of the training apps."""
        graphs, tasks = self._split
        apps = sorted(graphs)[half::2]
        return list(moments((task for task in tasks if task.app in apps), graphs))

    def _located(self, folder: Path) -> None:
        found = self._moments(0)
        save_tiny_model(self.folder / "untrained", texts_of(found), self.seed)
        rows = row_dataset(locating_rows(_pages(found), self.config.locating_rows, self.prompts, self.seed))
        self._train(self.folder / "untrained", folder, rows, self.config.locating_steps, self.config.text_rate)

    def _acting(self, folder: Path) -> None:
        found = self._moments(0)
        graphs = list({moment.graph.app: moment.graph for moment in found}.values())
        names = naming_rows(graphs, self.config.naming_rows, self.prompts, self.seed)
        row_dataset([*generator_rows(found, self.prompts), *names]).save_to_disk(folder)

    def _base(self, folder: Path) -> None:
        rows = load_from_disk(str(self.folder / "acting"))
        self._train(self.folder / "located", folder, rows, self.config.base_steps, self.config.acting_rate)

    def _collected(self, folder: Path) -> None:
        found = self._moments(1)
        generator = self.chat("base", temperature=1.0)
        config = CollectConfig(
            samples=self.config.samples,
            explored=2,
            reflect_right=0.0,  # the loop wants another action, and rows with the right one tried teach to repeat it
            gold_judgments=1.0,
            seed=self.seed,
        )
        replies: list[list[str]] = []

        def ask(conversations: Sequence[Conversation]) -> list[str]:
            replies.append(generator.generate(conversations))
            return replies[-1]

        def ask_again(conversations: Sequence[Conversation]) -> list[str]:
            return replies.pop(0)

        for outcomes, predict in ((ACTUAL, ask), (SIMULATED, ask_again)):
            shown = replace(config, simulated=outcomes == SIMULATED)
            row_dataset(collected_rows(found, predict, self.prompts, shown)).save_to_disk(folder / outcomes)

    def _actor(self, folder: Path) -> None:
        collected = [self._rows("reflector", outcomes) for outcomes in (ACTUAL, SIMULATED)]
        others = [load_from_disk(str(path)) for path in (self.shared / REFLECTING, self.folder / "acting")]
        rows = concatenate_datasets([*collected, *others])
        self._train(self.folder / "base", folder, rows, self.config.actor_steps, self.config.acting_rate)

    def _judger(self, folder: Path, outcomes: str = ACTUAL) -> None:
        drawn = load_from_disk(str(self.shared / JUDGING / outcomes))
        rows = concatenate_datasets([self._rows("judger", outcomes), drawn])  # or it remembers the apps of the world
        start = self.shared / JUDGES[outcomes]
        self._train(start, folder, rows, self.config.judger_steps, self.config.judger_rate)

    def _judger_simulated(self, folder: Path) -> None:
        self._judger(folder, SIMULATED)

    def _rows(self, role: str, outcomes: str) -> Dataset:
        collected = load_from_disk(str(self.folder / "collected" / outcomes))
        return collected.filter(lambda one: one == role, input_columns="role")  # none, after an untrained Generator

    def _reinforced(self, folder: Path) -> None:
        found = self._moments(1)
        rows = [*generator_rows(found, self.prompts)]
        attempts = AttemptsAtMoments(found, self.prompts, self.judger("judger"))
        trainer = JudgmentGRPOTrainer(
            str(self.folder / "actor"),
            JudgmentRewards(attempts).functions,
            JudgmentGRPOConfig(
                output_dir=str(folder),
                max_steps=self.config.rl_steps,
                learning_rate=self.config.rl_rate,
                per_device_train_batch_size=32,
                num_generations=8,
                max_completion_length=LONGEST_REPLY,
                **quiet_on_cpu(self.seed) | {"logging_strategy": "steps", "logging_steps": 5},
            ),
            train_dataset=rollout_rows(row_dataset(rows), ["generator"]),
            processing_class=self.processor,
        )
        train_and_save(trainer, folder)

    def _train(self, start: Path, folder: Path, rows: Dataset, steps: int, learning_rate: float) -> None:
        processor = load_processor(str(start))
        fine_tune(start, folder, sft_rows(rows, None), processor, steps, learning_rate, self.config.batch, self.seed)


def _pages(found: list[Moment]) -> list[Page]:
    return list({moment.page.id: moment.page for moment in found}.values())

"""The stages of the lab; what is finished is kept in its folder and not repeated.

Once (`Shared`):

world        tweets, images and an offline web
informed     what knowledge and search say about them (`lab_knowledge`)
compared     a model from scratch learns to find a look in a list, in words (`lab_seeing`)
seeing       and in images
rows         questions about training tweets, most of them with what is known

For each seed (`Stages`):

cold         SFT on the rows, without a pool that is kept: the cold start
rated        the pool's hard rows, by how often the cold start is right about them
continued    the cold start after more SFT, on all rows; `continued_hard` on the hard ones
reinforced   the cold start after as many steps of GRPO on the hard rows; `paper_exact` with the released reward
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datasets import Dataset, load_from_disk
from transformers import AutoModelForImageTextToText, set_seed
from trl import GRPOConfig, GRPOTrainer

from setaria.agents.backtrack.local_chat import LocalChat
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.mner.difficulty import SplitConfig, pass_rates, split_by_difficulty
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.datasets_builders.mner.grounding_rows import rollout_rows, sft_rows
from setaria.datasets_builders.worlds.tweets import World, draw_world, write_tweets_world
from setaria.recipes.lab_training import fine_tune, run_stages, train_and_save
from setaria.recipes.makar.build import Source, build_rows
from setaria.recipes.makar.lab_config import LabConfig
from setaria.recipes.makar.lab_knowledge import TRAINED_ON, inform, read_told
from setaria.recipes.makar.lab_model import save_model
from setaria.recipes.makar.lab_seeing import TEXTS, comparing_rows, seeing_rows, thought
from setaria.recipes.makar.processor import grounding_processor
from setaria.recipes.makar.tiny_model import FAMILY, texts_of
from setaria.recipes.quiet_on_cpu import quiet_on_cpu
from setaria.recipes.run_folder import write_atomically
from setaria.rewards.grounding import GroundingRewards
from setaria.rewards.grounding_paper_exact import PaperExactRewards


LONGEST_REPLY = 40


@dataclass
class Shared:
    """What all seeds start from, in the lab's `folder`."""

    config: LabConfig
    folder: Path

    def run(self, report: Callable[[str], None] = print) -> None:
        """Make everything that is not there yet."""
        run_stages(self, ("world", "informed", "compared", "seeing", "rows"), self.folder, report)

    @property
    def world(self) -> Path:
        return self.folder / "world"

    @cached_property
    def prompts(self) -> GroundingPrompts:
        """The prompts of all stages."""
        return GroundingPrompts.of_processor(FAMILY, grounding_processor(str(self.folder / "untrained")))

    def _world(self, folder: Path) -> None:
        write_tweets_world(folder, self.config.train, self.config.dev, self.config.test)

    def _informed(self, folder: Path) -> None:
        inform(self.world, folder)

    def _compared(self, folder: Path) -> None:
        config, untrained = self.config, self.folder / "untrained"
        save_model(untrained, [*texts_of(self.world), *TEXTS])
        processor = grounding_processor(str(untrained))
        rows = row_dataset(comparing_rows(config.compared, self.prompts, seed=0))
        fine_tune(untrained, folder, rows, processor, config.comparing_steps, config.comparing_rate, config.batch)

    def _seeing(self, folder: Path) -> None:
        config, compared = self.config, self.folder / "compared"
        processor = grounding_processor(str(compared))
        rows = row_dataset(seeing_rows(config.seen, self.prompts, seed=0))
        fine_tune(compared, folder, rows, processor, config.seeing_steps, config.seeing_rate, config.batch)

    def _rows(self, folder: Path) -> None:
        rng = random.Random(0)
        told = read_told(self.folder / "informed", TRAINED_ON, "train")
        lines = [
            {"tweet": tweet, "entity": words, "text": text}
            for tweet, one in told.items()
            for words, text in one.about.items()
            if rng.random() >= self.config.untold
        ]
        knowledge = self.folder / "told.jsonl"
        write_atomically(knowledge, "".join(json.dumps(line) + "\n" for line in lines))
        reasoning = self.folder / "thoughts.jsonl"
        write_atomically(reasoning, "".join(json.dumps(line) + "\n" for line in self._thoughts()))
        build_rows(Source(self.world), "train", self.prompts, folder, reasoning, knowledge=knowledge)

    def _thoughts(self) -> Iterator[dict[str, str]]:
        """About the entities of training tweets, by one who sees everything."""
        for post in self._drawn.posts["train"]:
            for number, start, end in post.spans:
                text = thought(post.scene, post.mentions[number].meaning.look)
                yield {"tweet": post.id, "entity": " ".join(post.tokens[start:end]), "text": text}

    @cached_property
    def _drawn(self) -> World:
        return draw_world(self.config.train, self.config.dev, self.config.test)


@dataclass
class Stages:
    """One seed; `folder` holds its checkpoints and rows."""

    shared: Shared
    folder: Path
    seed: int

    def run(self, report: Callable[[str], None] = print) -> None:
        """Make everything that is not there yet."""
        run_stages(
            self, ("cold", "rated", "continued", "continued_hard", "reinforced", "paper_exact"), self.folder, report
        )

    def chat(self, stage: str, temperature: float = 0.0) -> LocalChat:
        """The model of a stage."""
        folder = str(self.folder / stage)
        model = AutoModelForImageTextToText.from_pretrained(folder)
        return LocalChat(
            model, grounding_processor(folder), max_new_tokens=LONGEST_REPLY, batch=64, temperature=temperature
        )

    @property
    def config(self) -> LabConfig:
        return self.shared.config

    @cached_property
    def _halves(self) -> tuple[Dataset, Dataset]:
        """The rows of the cold start, and the pool."""
        rows = load_from_disk(str(self.shared.folder / "rows")).shuffle(seed=self.seed)
        return rows.skip(self.config.pool), rows.take(self.config.pool)

    @cached_property
    def _hard(self) -> Dataset:
        return load_from_disk(str(self.folder / "rated"))

    def _cold(self, folder: Path) -> None:
        config = self.config
        start = self.shared.folder / "seeing"
        self._tune(start, folder, sft_rows(self._halves[0]), config.cold_steps, config.cold_rate, config.batch)

    def _rated(self, folder: Path) -> None:
        pool = self._halves[1]
        set_seed(self.seed)
        rates = list(pass_rates(pool, self.chat("cold", temperature=1.0).generate, self.config.samples))
        nones = [not boxes for boxes in pool["gold_boxes"]]
        config = SplitConfig(easy=0, none_share=sum(nones) / len(nones), seed=self.seed)
        found = split_by_difficulty(rates, nones, config)
        # An untrained model is right about nothing, and then nothing is hard.
        pool.select(found.hard or range(len(pool))).save_to_disk(folder)

    def _continued(self, folder: Path) -> None:
        self._continue(folder, load_from_disk(str(self.shared.folder / "rows")))

    def _continued_hard(self, folder: Path) -> None:
        self._continue(folder, self._hard)

    def _continue(self, folder: Path, rows: Dataset) -> None:
        config = self.config
        self._tune(self.folder / "cold", folder, rows, config.rl_steps, config.continued_rate, 2 * config.batch)

    def _tune(self, start: Path, folder: Path, rows: Dataset, steps: int, learning_rate: float, batch: int) -> None:
        fine_tune(start, folder, rows, grounding_processor(str(start)), steps, learning_rate, batch, self.seed)

    def _reinforced(self, folder: Path) -> None:
        self._reinforce(folder, GroundingRewards(FAMILY).functions)

    def _paper_exact(self, folder: Path) -> None:
        self._reinforce(folder, PaperExactRewards(FAMILY).functions)

    def _reinforce(self, folder: Path, rewards: Sequence[Callable[..., list[float]]]) -> None:
        trainer = GRPOTrainer(
            str(self.folder / "cold"),
            list(rewards),
            GRPOConfig(
                output_dir=str(folder),
                max_steps=self.config.rl_steps,
                learning_rate=self.config.rl_rate,
                lr_scheduler_type="constant_with_warmup",
                warmup_steps=5,
                reward_weights=[0.5, 0.5],
                per_device_train_batch_size=self.config.prompts * self.config.generations,
                num_generations=self.config.generations,
                max_completion_length=LONGEST_REPLY,
                **quiet_on_cpu(self.seed) | {"logging_strategy": "steps", "logging_steps": 5},
            ),
            train_dataset=rollout_rows(self._hard),
            processing_class=grounding_processor(str(self.folder / "cold")),
        )
        train_and_save(trainer, folder)

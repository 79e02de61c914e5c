"""Sizes of the lab: does going back help an agent in apps it has never seen?"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LabConfig:
    """Everything that decides a result, apart from the code.

    Attributes:
        seeds: repetitions. The world and the model that the Judgers are trained from are made once, all that follows
            for each.
        apps: training apps. The generator learns on the first half, its mistakes are collected on the other.
        held_out_apps: apps with the tasks of the evaluation.
        tasks: most held-out tasks, drawn with a fixed seed.
        locating_steps, base_steps, actor_steps, judger_steps: steps of SFT: to find a name in a list; to act; to act
            and reflect; to judge.
        rl_steps: steps of reinforcement with judgment rewards.
        drawn_apps: apps on whose screens a model learns to read, in `reading_steps`, and to find what a task asks for,
            in `comparing_steps`.
        locating_rows, naming_rows: rows of finding a name in a list (`tiny_pretraining`), and of naming what is on a
            screen.
        samples: replies per step that are collected.
        batch: rows per step of SFT.
    """

    seeds: int = 3
    apps: int = 40
    held_out_apps: int = 8
    tasks: int = 160
    drawn_apps: int = 2500
    reading_steps: int = 700
    comparing_steps: int = 400
    locating_steps: int = 300
    base_steps: int = 400
    actor_steps: int = 600
    judger_steps: int = 400
    rl_steps: int = 60
    locating_rows: int = 9600
    naming_rows: int = 500
    samples: int = 4
    batch: int = 24
    learning_rate: float = 2e-3
    role_learning_rate: float = 1e-3
    rl_learning_rate: float = 5e-5

    def quick(self) -> "LabConfig":
        """Everything once, in minutes; nothing is learned."""
        return replace(
            self,
            apps=2,
            held_out_apps=1,
            tasks=6,
            locating_steps=4,
            base_steps=4,
            actor_steps=4,
            judger_steps=4,
            rl_steps=2,
            locating_rows=40,
            naming_rows=40,
            drawn_apps=6,
            reading_steps=4,
            comparing_steps=4,
            samples=1,
            batch=8,
        )

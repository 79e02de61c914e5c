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
        drawn_apps: apps on whose screens a model learns to read, and as many others to judge in, and to reflect in.
        locating_rows, comparing_rows, naming_rows: rows of the first two kinds of `tiny_pretraining`, and of naming
            what is on a screen.
        locating_steps, comparing_steps, reading_steps, judging_steps: steps of SFT of the kinds of `tiny_pretraining`
            and of `lab_drawn`.
        base_steps, actor_steps, judger_steps: steps of SFT: to act; to act and reflect; to judge what was collected.
        rl_steps: steps of reinforcement with judgment rewards.
        text_rate, reading_rate, judging_rate, acting_rate, judger_rate, rl_rate: learning rates. At 1e-3 and more,
            locating ruins the induction circuit that it starts from; reading, which comes later, does not.
        samples: replies per step that are collected.
        batch: rows per step of SFT.
    """

    seeds: int = 3
    apps: int = 40
    held_out_apps: int = 8
    tasks: int = 120
    drawn_apps: int = 2500
    locating_rows: int = 9600
    comparing_rows: int = 8000
    naming_rows: int = 500
    samples: int = 1
    locating_steps: int = 300
    comparing_steps: int = 250
    reading_steps: int = 900
    judging_steps: int = 400
    base_steps: int = 350
    actor_steps: int = 300
    judger_steps: int = 150
    rl_steps: int = 30
    batch: int = 24
    text_rate: float = 5e-4
    reading_rate: float = 1e-3
    acting_rate: float = 5e-4
    judging_rate: float = 7e-4
    judger_rate: float = 5e-4
    rl_rate: float = 5e-5

    def quick(self) -> "LabConfig":
        """Everything once, in minutes; nothing is learned."""
        return replace(
            self,
            apps=2,
            held_out_apps=1,
            tasks=6,
            drawn_apps=6,
            locating_rows=40,
            comparing_rows=40,
            naming_rows=40,
            samples=1,
            locating_steps=4,
            comparing_steps=4,
            reading_steps=4,
            judging_steps=4,
            base_steps=4,
            actor_steps=4,
            judger_steps=4,
            rl_steps=2,
            batch=8,
        )

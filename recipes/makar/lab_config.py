"""Sizes of the lab: do reinforcement, knowledge and search help an agent that grounds entities?"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LabConfig:
    """Everything that decides a result, apart from the code.

    Attributes:
        seeds: repetitions. World, knowledge and the model that can see are made once, all that follows for each.
        train, dev, test: tweets of the world.
        compared, seen: rows in words, and images, from which the model learns to see (`lab_seeing`).
        comparing_steps, seeing_steps, cold_steps: steps of SFT: to compare in words; to see; to ground.
        pool: rows that are kept from SFT, of which the hard ones are for reinforcement.
        samples: replies per row of the pool, by which it is hard or not.
        rl_steps: steps of reinforcement, and of the SFT that it is compared with.
        prompts: entities per step of reinforcement, with `generations` replies each.
        untold: share of training rows whose question is without what is known.
        batch: rows per step of SFT.
    """

    seeds: int = 3
    train: int = 2400
    dev: int = 100
    test: int = 320
    compared: int = 10000
    seen: int = 9000
    comparing_steps: int = 900
    seeing_steps: int = 2500
    cold_steps: int = 500
    pool: int = 600
    samples: int = 4
    rl_steps: int = 80
    prompts: int = 8
    generations: int = 8
    untold: float = 0.2
    batch: int = 16
    comparing_rate: float = 5e-4
    seeing_rate: float = 1e-3
    cold_rate: float = 5e-4
    continued_rate: float = 2e-4
    rl_rate: float = 2e-5

    def quick(self) -> "LabConfig":
        """Everything once, in a minute or two; nothing is learned."""
        return replace(
            self,
            train=24,
            dev=10,
            test=8,
            compared=12,
            seen=12,
            comparing_steps=3,
            seeing_steps=3,
            cold_steps=3,
            pool=10,
            samples=2,
            rl_steps=2,
            prompts=1,
            generations=2,
            batch=4,
        )

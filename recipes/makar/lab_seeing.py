"""What a large model knows from pretraining and one from scratch does not: to see. Where are which things in an image?

    Where is what?    red coat [125, 250, 500, 625]
                      red car None
    What is where?    [125, 250, 500, 625] red coat
    Which are there?  red coat []
                      red car None

The first kind asks for all things of an image, and for two others that are much like one of them. Without such rows,
in which there are some five answers per image, the tiny model learns too slowly from tweets, where two in five names
have a box. The second kind names what is there: without it the model writes the box of something, whatever it is asked
for. The third has twelve bits per image on whether something is there at all, where the first has four. Images are of
another world than the tweets, and in none of its held-out layouts.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from setaria.datasets_builders.gui.rows import training_row
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts, user_turn
from setaria.datasets_builders.worlds.tweet_images import Scene
from setaria.datasets_builders.worlds.tweet_names import MEANINGS, Meaning
from setaria.datasets_builders.worlds.tweets import draw_world
from setaria.rewards.boxes import Box, area


ANOTHER_WORLD = 1_000_000  # added to the seed of the world
WHERE, WHAT, WHICH = "Where is what?", "What is where?", "Which are there?"
SIZES = ((256, 256), (256, 256), (320, 256), (256, 320), (320, 240), (240, 320))
ABSENT = 2  # that are asked for besides what is there
TICKED, ALIKE = 12, 7  # looks; at most so many that are like something there
# What a tokenizer has to know besides the questions about tweets.
TEXTS = [f"{WHERE} {WHAT} {WHICH}\nred coat None []\nred coat [0, 0, 1000, 1000] red coat"] * 100


def seeing_rows(count: int, prompts: GroundingPrompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows for SFT, of each kind in turn; where nothing is, all are asked for what is not there."""
    rng = random.Random(seed)
    posts = draw_world(count, 1, 1, seed + ANOTHER_WORLD).posts["train"]
    for number, post in enumerate(posts):
        scene = replace(post.scene, size=rng.choice(SIZES))
        image = scene.draw()
        shown = prompts.fit(image) if prompts.fit else image
        ask, answer = _kinds(scene)[number % 3]
        yield training_row("seeing", user_turn(shown, ask), "\n".join(answer(scene, prompts, rng)))


def _kinds(scene: Scene) -> list[tuple[str, Callable[[Scene, GroundingPrompts, random.Random], list[str]]]]:
    """Questions and who answers them."""
    return [(WHERE, _where), (WHAT, _what) if scene.things else (WHERE, _where), (WHICH, _which)]


def _where(scene: Scene, prompts: GroundingPrompts, rng: random.Random) -> list[str]:
    return [f"{look} {_place(box, scene, prompts)}" for look, box in _asked(scene, rng)]


def _what(scene: Scene, prompts: GroundingPrompts, rng: random.Random) -> list[str]:
    things = rng.sample(scene.things, len(scene.things))
    return [f"{_place(scene.pixels(thing), scene, prompts)} {thing.meaning.look}" for thing in things]


def _which(scene: Scene, prompts: GroundingPrompts, rng: random.Random) -> list[str]:
    there = list(dict.fromkeys(thing.meaning for thing in scene.things))
    absent = [one for one in MEANINGS if one not in there]
    alike = [one for one in absent if any(_alike(one, two) for two in there)]
    ticked = there + rng.sample(alike, min(ALIKE, len(alike)))
    ticked += rng.sample([one for one in absent if one not in ticked], TICKED - len(ticked))
    return [f"{one.look} {'[]' if one in there else 'None'}" for one in rng.sample(ticked, len(ticked))]


def _asked(scene: Scene, rng: random.Random) -> list[tuple[str, Box | None]]:
    """Looks in random order, with the largest box of those that are there."""
    there: dict[Meaning, Box] = {}
    for thing in scene.things:
        box = scene.pixels(thing)
        there[thing.meaning] = max(box, there.get(thing.meaning, box), key=area)
    absent = [one for one in MEANINGS if one not in there and (not there or any(_alike(one, two) for two in there))]
    asked = [*there.items(), *((one, None) for one in rng.sample(absent, ABSENT))]
    rng.shuffle(asked)
    return [(meaning.look, box) for meaning, box in asked]


def _alike(one: Meaning, other: Meaning) -> bool:
    return one.type == other.type or one.colour == other.colour


def _place(box: Box | None, scene: Scene, prompts: GroundingPrompts) -> str:
    return "None" if box is None else str(list(prompts.codec.encode(box, scene.size)))

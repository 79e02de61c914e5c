"""What a large model knows from pretraining and one from scratch does not: to see. What is in an image, and where?

    What is where?    green tower [125, 250, 500, 625]
                      red coat [562, 375, 812, 938]
    red coat          <think>green tower(1) red coat(2); red coat(2)</think><answer>[562, 375, 812, 938]</answer>
    Where is it?

Things are named from left to right. A model that has to name what is there learns colours; one that is asked for a
thing alone goes by its type. The second kind is half about something that is not there, most of it like something
that is, and then the look comes without a number and the answer is None. It is learned in words first, the list being
part of the question, or the comparison is not learned at all. Images are of another world than the tweets, and in none
of its held-out layouts.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from setaria.datasets_builders.gui.prompts import numbered, with_numbers
from setaria.datasets_builders.gui.rows import training_row
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts, user_turn
from setaria.datasets_builders.worlds.tweet_images import Scene, Thing
from setaria.datasets_builders.worlds.tweet_names import MEANINGS
from setaria.datasets_builders.worlds.tweets import draw_world
from setaria.rewards.boxes import area
from setaria.rewards.grounding_answer import write_reply


ANOTHER_WORLD = 1_000_000  # added to the seed of the world
WHAT, WHERE = "What is where?", "Where is it?"
SIZES = ((256, 256), (256, 256), (320, 256), (256, 320), (320, 240), (240, 320))
ALIKE = 0.7  # of what is asked for and not there
# What a tokenizer has to know besides the questions about tweets.
TEXTS = [
    f"{WHAT} {WHERE}\n{one.look} [0, 0, 1000, 1000]\n"
    f"<think>nothing {one.look}({number}) {one.look}; {one.look}</think><answer>None</answer>"
    for number, one in enumerate(MEANINGS)
] * 10


def comparing_rows(count: int, prompts: GroundingPrompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows for SFT of the second kind, with the answer of the first in place of an image."""
    rng = random.Random(seed)
    for scene in _scenes(count, seed, rng):
        question, answer = _where(scene, prompts, rng)
        text = f"{_what(scene, prompts)[1]}\n{question}"
        yield training_row("seeing", [{"role": "user", "content": [{"type": "text", "text": text}]}], answer)


def seeing_rows(count: int, prompts: GroundingPrompts, seed: int) -> Iterator[dict[str, Any]]:
    """`count` rows for SFT, of both kinds in turn."""
    rng = random.Random(seed)
    for number, scene in enumerate(_scenes(count, seed, rng)):
        image = scene.draw()
        shown = prompts.fit(image) if prompts.fit else image
        question, answer = _where(scene, prompts, rng) if number % 2 else _what(scene, prompts)
        yield training_row("seeing", user_turn(shown, question), answer)


def thought(scene: Scene, look: str) -> str:
    """What is in an image, from left to right, and this look, with its number if it is there."""
    seen = list(dict.fromkeys(thing.meaning.look for thing in _from_left(scene)))
    return f"{numbered(seen) or 'nothing'}; {with_numbers(look, seen)}"


def _scenes(count: int, seed: int, rng: random.Random) -> Iterator[Scene]:
    for post in draw_world(count, 1, 1, seed + ANOTHER_WORLD).posts["train"]:
        yield replace(post.scene, size=rng.choice(SIZES))


def _what(scene: Scene, prompts: GroundingPrompts) -> tuple[str, str]:
    lines = [f"{thing.meaning.look} {_numbers(thing, scene, prompts)}" for thing in _from_left(scene)]
    return WHAT, "\n".join(lines) or "None"


def _where(scene: Scene, prompts: GroundingPrompts, rng: random.Random) -> tuple[str, str]:
    there = sorted({thing.meaning for thing in scene.things}, key=MEANINGS.index)
    absent = [one for one in MEANINGS if one not in there]
    alike = [one for one in absent if any(one.type == two.type for two in there)]
    if there and rng.random() < 0.5:
        asked = rng.choice(there)
    else:
        asked = rng.choice(alike if alike and rng.random() < ALIKE else absent)
    things = [thing for thing in scene.things if thing.meaning == asked]
    largest = max(things, key=lambda thing: area(scene.pixels(thing)), default=None)
    numbers = None if largest is None else _numbers(largest, scene, prompts)
    return f"{asked.look}\n{WHERE}", write_reply(thought(scene, asked.look), numbers)


def _from_left(scene: Scene) -> list[Thing]:
    return sorted(scene.things, key=lambda thing: thing.box)


def _numbers(thing: Thing, scene: Scene, prompts: GroundingPrompts) -> list[int]:
    return list(prompts.codec.encode(scene.pixels(thing), scene.size))

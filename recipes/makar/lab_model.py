"""The lab's vision-language model, untrained: `tiny_model`'s, but sooner to learn where things are.

Our choices. Positions of the vision tower start as waves over rows and columns, as large as what is seen; usually they
start at random and one in forty of that. What is the same in all answers is one token, which halves them, and so is a
look, such as "red coat". Images are a quarter as large with as many tokens, which costs less.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from setaria.datasets_builders.mner.grounding_prompts import QUESTION
from setaria.datasets_builders.worlds.tweet_names import COLOURS, THINGS
from setaria.recipes.makar.tiny_model import tiny_model, tiny_processor


PATCH = 8
IMAGE_PIXELS = 64 * 64
POSITION_SIZE = 0.7
PIECES = (
    re.escape(QUESTION),
    f"(?:{'|'.join(COLOURS)}) (?:{'|'.join(THINGS.values())})",
    *(r"\(\d+\)", "; ", "</think><answer>", "</answer>"),
    *('Tweet: "', r'"\nSaid about it: "', r'"\nEntity: "', '", "'),
    *(r", (?=\d)", r" (?:None|\[)"),
    *(r"\d+", r"[^\W\d_]+", r"\s", r"[^\w\s<]+", "<", "_"),
)


def save_model(folder: Path, texts: Iterable[str], seed: int = 0) -> None:
    """Write the untrained model, and its processor with a tokenizer for `texts`."""
    processor = tiny_processor(texts, "|".join(PIECES), PATCH, IMAGE_PIXELS)
    model = tiny_model(processor.tokenizer, seed, PATCH)
    positions = model.model.visual.pos_embed.weight
    with torch.no_grad():
        positions.copy_(POSITION_SIZE * _waves(*positions.shape))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _waves(places: int, width: int) -> torch.Tensor:
    """Sines and cosines of the row, then of the column, of each place in a square grid."""
    side = round(places**0.5)
    frequencies = torch.linspace(0.5, side / 2, width // 4)
    angles = torch.pi * torch.arange(side)[:, None] / side * frequencies
    one = torch.cat((angles.sin(), angles.cos()), 1)
    both = (one[:, None].expand(side, side, -1), one[None].expand(side, side, -1))
    return torch.cat(both, 2).reshape(places, -1)

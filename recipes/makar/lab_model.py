"""The lab's vision-language model, untrained: `tiny_model`'s, but sooner to learn where things are.

Our choices. Positions of the vision tower start as waves over rows and columns, as large as what is seen; usually they
start at random and one in forty of that. What is the same in all answers is one token, which halves them. Images are a
quarter as large with as many tokens, which costs less.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from setaria.datasets_builders.mner.grounding_prompts import QUESTION
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import tiny_qwen3_vl, trained_tokenizer
from setaria.recipes.makar.tiny_model import (
    HEAD_DIM,
    HEADS,
    KEY_HEADS,
    LAYERS,
    MERGE,
    VISION_LAYERS,
    VISION_WIDTH,
    WIDTH,
)


PATCH = 8
IMAGE_PIXELS = 64 * 64
POSITION_SIZE = 0.7
PIECES = (
    re.escape(QUESTION),
    "<think>Look for the ",
    r"\. It is (?:not )?here\.</think><answer>",
    "</answer>",
    *('Tweet: "', r'"\nSaid about it: "', r'"\nEntity: "', '", "'),
    *(r", (?=\d)", " (?:coat|tower|logo|car)", r" (?:None|\[)"),
    *(r"\d+", r"[^\W\d_]+", r"\s", r"[^\w\s<]+", "<", "_"),
)


def save_model(folder: Path, texts: Iterable[str], seed: int = 0) -> None:
    """Write the untrained model, and its processor with a tokenizer for `texts`."""
    tokenizer = trained_tokenizer(texts, vocabulary=2048, pieces="|".join(PIECES))
    tokenizer.padding_side = "left"
    model = tiny_qwen3_vl(
        tokenizer,
        seed,
        text={
            "hidden_size": WIDTH,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_HEADS,
            "head_dim": HEAD_DIM,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
        },
        vision={
            "depth": VISION_LAYERS,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 2 * VISION_WIDTH,
            "out_hidden_size": WIDTH,
            "num_heads": HEADS,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
        },
    )
    model.config.tie_word_embeddings = True
    model.tie_weights()
    with torch.no_grad():
        model.model.visual.pos_embed.weight.copy_(POSITION_SIZE * _waves(*model.model.visual.pos_embed.weight.shape))
    unit = PATCH * MERGE
    size = {"shortest_edge": unit * unit, "longest_edge": IMAGE_PIXELS}
    model.save_pretrained(folder)
    image_only_processor(tokenizer, patch_size=PATCH, merge_size=MERGE, size=size).save_pretrained(folder)


def _waves(places: int, width: int) -> torch.Tensor:
    """Sines and cosines of the row, then of the column, of each place in a square grid."""
    side = round(places**0.5)
    frequencies = torch.linspace(0.5, side / 2, width // 4)
    angles = torch.pi * torch.arange(side)[:, None] / side * frequencies
    one = torch.cat((angles.sin(), angles.cos()), 1)
    both = (one[:, None].expand(side, side, -1), one[None].expand(side, side, -1))
    return torch.cat(both, 2).reshape(places, -1)

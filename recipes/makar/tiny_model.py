"""A vision-language model from scratch that is small enough to learn grounding in the tweets world on one CPU core.

A Qwen3-VL of 1.6 M parameters: one with rotary positions alone in its vision tower did not learn to localise. It
starts with an induction circuit. Words, numbers, tags and the whole question are tokens of their own, and an image has
at most 16.

    python -m setaria.recipes.makar.tiny_model --data WORLD --output MODEL

writes it untrained, with a tokenizer for the tweets of a world.
"""

import re
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen3VLForConditionalGeneration

from setaria.agents.makar.json_lines import read_lines
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.grounding_prompts import QUESTION, describe
from setaria.datasets_builders.mner.reasoning import template_reasoning
from setaria.models.box_codec import box_codec
from setaria.models.induction import add_induction
from setaria.models.qwen_vl import ImageOnlyQwenVLProcessor, image_only_processor
from setaria.models.tiny import tiny_qwen3_vl, trained_tokenizer
from setaria.recipes.errors import one_line_errors
from setaria.rewards.grounding_answer import write_reply


FAMILY = "qwen3_vl"
PIECES = "|".join((re.escape(QUESTION), "</?(?:think|answer)>", r"\d+", r"[^\W\d_]+", r"\s", r"[^\w\s<]+", "<", "_"))
WIDTH, LAYERS, HEADS, KEY_HEADS, HEAD_DIM = 128, 4, 4, 2, 32
VISION_WIDTH, VISION_LAYERS = 96, 3
PATCH, MERGE = 16, 2
IMAGE_PIXELS = 128 * 128
INITIAL_SPREAD = 0.1
ROPE_THETA, OUTPUT_SCALE, CIRCUIT_SCALE = 1e6, 0.05, 0.15


def save_tiny_model(folder: Path, texts: Iterable[str], seed: int = 0) -> ImageOnlyQwenVLProcessor:
    """Write an untrained model, and its processor with a tokenizer for `texts`; returns the processor."""
    processor = tiny_processor(texts, PIECES, PATCH, IMAGE_PIXELS)
    tiny_model(processor.tokenizer, seed, PATCH).save_pretrained(folder)
    processor.save_pretrained(folder)
    return processor


def tiny_processor(texts: Iterable[str], pieces: str, patch: int, most_pixels: int) -> ImageOnlyQwenVLProcessor:
    """A processor with a tokenizer for `texts` that cuts them into `pieces` and their parts.

    Args:
        patch: side of an image patch, in pixels.
        most_pixels: of an image.
    """
    tokenizer = trained_tokenizer(texts, vocabulary=2048, pieces=pieces)
    tokenizer.padding_side = "left"
    unit = patch * MERGE
    return image_only_processor(
        tokenizer,
        patch_size=patch,
        merge_size=MERGE,
        size={"shortest_edge": unit * unit, "longest_edge": most_pixels},
    )


def tiny_model(tokenizer: PreTrainedTokenizerBase, seed: int, patch: int) -> Qwen3VLForConditionalGeneration:
    """The untrained model."""
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
            "initializer_range": INITIAL_SPREAD,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
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
            "patch_size": patch,
            "spatial_merge_size": MERGE,
        },
    )
    model.config.tie_word_embeddings = True
    model.tie_weights()
    language = model.model.language_model
    generator = torch.Generator().manual_seed(seed)
    add_induction(language.embed_tokens, language.layers, ROPE_THETA, OUTPUT_SCALE, generator, CIRCUIT_SCALE)
    return model


def texts_of(world: Path) -> Iterator[str]:
    """What a tokenizer has to know: the questions about training tweets and their answers."""
    looks = {(entry["name"], entry["type"]): entry["look"] for _, entry in read_lines(world / "facts.jsonl")}
    codec = box_codec(FAMILY)
    for tweet in read_gmner(world, "train"):
        for entity in tweet.entities:
            look = looks[entity.text, entity.type]
            numbers = codec.encode(entity.boxes[0], tweet.size) if entity.boxes and tweet.size else None
            reply = write_reply(template_reasoning(look, numbers is not None), numbers)
            yield f"{QUESTION}\n{describe(tweet.text, entity.text, entity.type, look)}\n{reply}"


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description="Write the untrained tiny model for a world.", allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder of a tweets world")
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    parser.add_argument("--seed", type=int, default=0, help="of its weights; default: 0")
    args = parser.parse_args(argv)
    with one_line_errors():
        save_tiny_model(args.output, texts_of(args.data), args.seed)


if __name__ == "__main__":
    main()

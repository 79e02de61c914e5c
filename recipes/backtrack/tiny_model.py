"""A vision-language model from scratch that is small enough to learn the apps world on one CPU core.

Our choices, each found by trying: the rest of an action after its reference, with its box, is one token, since copying
a box number by number does not emerge within minutes at this size; weights start five times as large as usual, which
suits width 96, and with an induction circuit; images are 96 x 160 pixels, 60 tokens.

    python -m setaria.recipes.backtrack.tiny_model --world WORLD/train --output MODEL

writes it untrained, with a tokenizer for the texts of a world.
"""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from setaria.agents.backtrack.moments import Moment, moments
from setaria.datasets_builders.gui.prompts import DESCRIBE, GENERATE, JUDGE, NAME, REFLECT, Prompts
from setaria.models.induction import add_induction
from setaria.models.qwen_vl import ImageOnlyQwenVLProcessor, image_only_processor
from setaria.models.tiny import tiny_qwen2_vl, trained_tokenizer
from setaria.recipes.backtrack.world_tasks import world_tasks
from setaria.recipes.errors import one_line_errors


PIECES = (
    r"</ref><box>\[\d+,\d+\]\[\d+,\d+\]</box>\S*",  # the end of an action on an element
    r"[a-z]+\(<ref>",  # its beginning
    r"\(\d+\)",  # the number of a name
    r"scroll\(<box>\[\d+,\d+\]\[\d+,\d+\]</box>,[a-z]+\)",
    r"\d+",
    r"[^\W\d_]+",
    r"\s",
    r"[^\w\s]+",
    r"_",
)
WIDTH, LAYERS, HEADS = 96, 3, 4
PATCH, MERGE = 8, 2
IMAGE_PIXELS = 96 * 176  # at most; a 9:16 screen becomes 96 x 160
INITIAL_SPREAD = 0.1
ROPE_THETA, OUTPUT_SCALE = 1e6, 0.1


def save_tiny_model(folder: Path, texts: Iterable[str], seed: int) -> ImageOnlyQwenVLProcessor:
    """Write an untrained model, and its processor with a tokenizer for `texts`; returns the processor."""
    numbers = [f"({number})" for number in range(1, 13)]
    questions = [GENERATE, JUDGE, DESCRIBE, *numbers, REFLECT, "These did not help:\nclick input", NAME]
    tokenizer = trained_tokenizer([*questions * 100, *texts], vocabulary=2048, pieces="|".join(PIECES))
    per_axis = WIDTH // HEADS // 6
    model = tiny_qwen2_vl(
        tokenizer,
        seed,
        text={
            "hidden_size": WIDTH,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "initializer_range": INITIAL_SPREAD,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
                "mrope_section": [per_axis, per_axis, WIDTH // HEADS // 2 - 2 * per_axis],
            },
        },
        vision={
            "depth": 2,
            "embed_dim": WIDTH // 2,
            "hidden_size": WIDTH,
            "num_heads": HEADS,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "initializer_range": INITIAL_SPREAD,
        },
        tied=True,
    )
    language = model.model.language_model
    generator = torch.Generator().manual_seed(seed)
    add_induction(language.embed_tokens, language.layers, ROPE_THETA, OUTPUT_SCALE, generator)
    unit = PATCH * MERGE
    processor = image_only_processor(
        tokenizer,
        patch_size=PATCH,
        merge_size=MERGE,
        size={"shortest_edge": 4 * unit * unit, "longest_edge": IMAGE_PIXELS},
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return processor


def texts_of(found: Iterable[Moment]) -> Iterator[str]:
    """What a tokenizer has to know: the questions of the Generator and every action that can be its answer."""
    prompts = Prompts()
    for moment in found:
        for turn in prompts.generator(moment.task.instruction, moment.page, moment.done):
            yield "".join(part["text"] for part in turn["content"] if part["type"] == "text")
        for action in moment.page.actions:
            yield prompts.write(action, moment.page)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description="Write the untrained tiny model for a world.", allow_abbrev=False)
    parser.add_argument("--world", type=Path, required=True, help="folder with graphs and tasks.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    parser.add_argument("--seed", type=int, default=0, help="of its weights; default: 0")
    args = parser.parse_args(argv)
    with one_line_errors():
        graphs, tasks = world_tasks(args.world)
        save_tiny_model(args.output, texts_of(moments(tasks, graphs)), args.seed)


if __name__ == "__main__":
    main()

"""Recall of a key's value from 2048 tokens through quantised KV caches, exact match by depth of the needle.

    python benchmarks/recall_training.py --output recall_model
    python benchmarks/kv_cache_recall.py --model recall_model

Every cache is given the keys and values of the same prefill of the context; then the model reads the query through it
and must answer with the value. With a window of 128 tokens only the last depth can be answered from full precision.
`ours` is the preset's bits and sharing with a sliding window and least squares.
"""

import argparse
import json
import platform
import statistics
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from kv_cache import OURS, make_cache
from kv_cache_quality import HF_BITS
from recall_training import CONTEXT, DEPTHS, EVALUATION_SEED, PROMPTS_PER_BATCH, QUERY_TOKENS, recall_prompts
from rich.console import Console
from rich.table import Table
from transformers import DynamicCache, LlamaForCausalLM

from setaria.generation.xquant import PRESETS


@torch.no_grad()
def exact_matches(model: LlamaForCausalLM, sides: list[tuple], count: int) -> list[list[float]]:
    """Share of `count` prompts per depth that every side answers, `[side][depth]`."""
    matches = [[0.0] * len(DEPTHS) for _ in sides]
    for index, depth in enumerate(DEPTHS):
        prompts, answers = recall_prompts(count, CONTEXT, depth, EVALUATION_SEED + index)
        for batch, expected in zip(prompts.split(PROMPTS_PER_BATCH), answers.split(PROMPTS_PER_BATCH), strict=True):
            prefill = DynamicCache(config=model.config)
            model(batch[:, :-QUERY_TOKENS], past_key_values=prefill, logits_to_keep=1)
            for side, (_, _, name, settings) in enumerate(sides):
                cache = make_cache(name, model.config, **settings)
                for layer, states in enumerate(prefill.layers):
                    cache.update(states.keys, states.values, layer)
                answered = model(batch[:, -QUERY_TOKENS:], past_key_values=cache).logits[:, -1:].argmax(-1)
                matches[side][index] += (answered == expected).sum().item() / count
    return matches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that recall_training.py has written")
    parser.add_argument("--prompts", type=int, default=64, help="per depth")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(options.model).eval()
    sides = [("transformers", side, side, {}) for side in ("dynamic", *HF_BITS)]
    sides += [("paper", preset, preset, {}) for preset in PRESETS if preset != "safe"]
    sides += [("ours", preset, preset, OURS) for preset in PRESETS if preset != "kivi-4"]
    sides += [
        ("ours", "1.16, shared codes unused", "xquant-1.16", {**OURS, "refit": "zero_bit_mean"}),
        ("ours", "1 bit", "kivi-2", {**OURS, "key_bits": 1, "value_bits": 1}),
    ]
    table = Table("group", "cache", "mean", *(f"{depth:.2f}" for depth in DEPTHS), title="Exact match by depth")
    rows = []
    for (group, label, _, _), by_depth in zip(sides, exact_matches(model, sides, options.prompts), strict=True):
        rows.append({"group": group, "cache": label, "exact_match": by_depth})
        table.add_row(group, label, f"{statistics.mean(by_depth):.3f}", *(f"{value:.2f}" for value in by_depth))
    Console(width=120).print(table)
    if options.json:
        packages = {name: version(name) for name in ("torch", "transformers", "hqq", "optimum-quanto")}
        where = {"machine": platform.machine(), "python": platform.python_version(), "date": date.today().isoformat()}
        options.json.write_text(json.dumps({"prompts": options.prompts, **where, **packages, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()

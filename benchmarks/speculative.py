"""N-gram trie decoding beside plain `generate` and prompt lookup: the same texts, and how long they take, on a CPU.

    python benchmarks/copy_training.py --output copy_model
    python benchmarks/speculative.py --model copy_model --sizes 25 130 --batch 1 4 8 --output speculative.json

Greedy, in float32, on held-out prompts of `copy_training.py` that the model answers right, in left-padded batches.
MLPs are widened with neurons that add nothing (`widen`): what is drafted and accepted is the trained model's, what a
forward costs is that of three layers with as many parameters. In every round all sides take turns on the same prompts.
Times are those of `generate`, the prompt's forward included: medians over rounds, and medians of the ratios round by
round. The trie's context stays open for all rounds of a batch size, since it learns what forwards cost.
"""

import argparse
import itertools
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from copy_training import EOS, HELD_OUT_SEED, KINDS, MAX_NEW_TOKENS, TOKENS, example
from rich.console import Console
from rich.table import Table
from transformers import DynamicCache, LlamaForCausalLM

from setaria.generation import NGramTrieConfig, ngram_trie
from setaria.generation.ngram_trie import DecodingStats


CURVE_CONTEXT, CURVE_QUERIES, CURVE_ROUNDS = 512, (1, 2, 4, 8, 16, 32, 64), 9
# Lowest plain / trie and lookup / trie at batch 1, and of no_overlap at any batch.
COPYING_GOAL, LOOKUP_GOAL, NO_OVERLAP_GOAL = 1.4, 1.15, 0.98
PER_FORWARD = {"tokens_per_forward": "tokens", "nodes_per_forward": "drafted"}

Inputs = dict[str, torch.Tensor]
Generate = Callable[..., torch.Tensor]


@dataclass
class Run:
    """One side on all prompts of a kind: seconds, texts without the padding behind them, and what drafting did."""

    seconds: float
    texts: list[list[int]]
    work: dict[str, float]


@torch.no_grad()
def widen(model: LlamaForCausalLM, intermediate_size: int) -> LlamaForCausalLM:
    """A model with the same outputs and larger MLPs: the added neurons are random and their down projection is zero.

    So a forward costs what it costs in a larger model, while drafts are accepted as often as in `model`. Compare with
    sizes, not with depths: there are as few layers as before.
    """
    config = type(model.config)(**{**model.config.to_dict(), "intermediate_size": intermediate_size})
    wide = LlamaForCausalLM(config).eval()
    wide.generation_config = model.generation_config
    trained = model.state_dict()
    for name, weight in wide.state_dict().items():
        if name.endswith("down_proj.weight"):
            weight.zero_()
        weight[tuple(map(slice, trained[name].shape))] = trained[name]
    tokens = torch.tensor([example("summarise", HELD_OUT_SEED)[0]])
    torch.testing.assert_close(wide(tokens).logits, model(tokens).logits, rtol=0, atol=1e-5)
    return wide


def intermediate_size(model: LlamaForCausalLM, millions: float) -> int:
    """Of the MLPs of `model` so that it has that many parameters."""
    config = model.config
    per_neuron = 3 * config.hidden_size * config.num_hidden_layers
    return config.intermediate_size + max(round((1e6 * millions - model.num_parameters()) / per_neuron), 0)


def answered_prompts(model: LlamaForCausalLM, kind: str, count: int) -> list[list[int]]:
    """The first held-out prompts that the trained model answers right: a wrong answer may repeat itself."""
    prompts: list[list[int]] = []
    for seed in itertools.count(HELD_OUT_SEED):
        if len(prompts) == count:
            return prompts
        prompt, answer = example(kind, seed)
        if timed(model.generate, [pad_left([prompt])])[0] == [answer[:-1]]:
            prompts.append(prompt)


def pad_left(prompts: list[list[int]]) -> Inputs:
    longest = max(map(len, prompts))
    ids = [[EOS] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def measure(
    model: LlamaForCausalLM, answered: dict[str, list[list[int]]], batch: int, options: argparse.Namespace
) -> dict[str, dict]:
    """Figures of every kind of prompt at one batch size."""
    prompts = {
        kind: [pad_left(own[start : start + batch]) for start in range(0, max(options.prompts, batch), batch)]
        for kind, own in answered.items()
    }
    sides: dict[str, Generate] = {"plain": model.generate}
    if batch == 1:
        sides["lookup"] = partial(model.generate, prompt_lookup_num_tokens=10)
    with ExitStack() as contexts:
        stats: dict[str, DecodingStats] = {}
        for drafter in ("trie", "paper") if options.paper else ("trie",):
            stats[drafter] = contexts.enter_context(ngram_trie(model, NGramTrieConfig(drafter=drafter)))
            sides[drafter] = model.generate
        for kind in KINDS:
            for generate in sides.values():
                timed(generate, prompts[kind][:1])
        runs = {kind: {side: [] for side in sides} for kind in KINDS}
        for turn in range(options.rounds):
            for kind in KINDS:
                for side in rotated(list(sides), turn):
                    before = replace(stats[side]) if side in stats else None
                    texts, seconds = timed(sides[side], prompts[kind])
                    runs[kind][side].append(Run(seconds, texts, work(before, stats[side]) if before else {}))
    return {kind: summary(runs[kind]) for kind in KINDS}


def rotated(names: list[str], turn: int) -> list[str]:
    """So that no side always follows the same one."""
    return names[turn % len(names) :] + names[: turn % len(names)]


def timed(generate: Generate, prompts: list[Inputs]) -> tuple[list[list[int]], float]:
    """The texts of all rows, and the seconds they took."""
    started = time.perf_counter()
    sequences = [generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False) for inputs in prompts]
    seconds = time.perf_counter() - started
    rows = [
        ids[inputs["input_ids"].size(1) :].tolist()
        for inputs, batch in zip(prompts, sequences, strict=True)
        for ids in batch
    ]
    return [row[: row.index(EOS)] if EOS in row else row for row in rows], seconds


def work(before: DecodingStats, after: DecodingStats) -> dict[str, float]:
    """What was counted in between."""
    names = ("tokens", "forwards", "drafted", "prefill_seconds", "draft_seconds", "verify_seconds", "decode_seconds")
    return {name: getattr(after, name) - getattr(before, name) for name in names}


def summary(runs: dict[str, list[Run]]) -> dict:
    """Medians over rounds, ratios round by round, and prompts for which a side gave another text than plain."""
    drafters = [side for side, own in runs.items() if own[0].work]
    figures = {
        "seconds": {side: statistics.median(run.seconds for run in own) for side, own in runs.items()},
        "speedup": {
            f"{other} / {drafter}": statistics.median(
                theirs.seconds / ours.seconds for theirs, ours in zip(runs[other], runs[drafter], strict=True)
            )
            for drafter in drafters
            for other in runs
            if other not in drafters
        },
        "different": {
            side: sorted(
                {
                    prompt
                    for run in own
                    for prompt, text in enumerate(run.texts)
                    if text != runs["plain"][0].texts[prompt]
                }
            )
            for side, own in runs.items()
        },
        "rounds": {side: [{"seconds": run.seconds, **run.work} for run in own] for side, own in runs.items()},
    }
    for drafter in drafters:
        total = {name: sum(run.work[name] for run in runs[drafter]) for name in runs[drafter][0].work}
        figures[drafter] = {name: total[of] / total["forwards"] for name, of in PER_FORWARD.items()}
    return figures


@torch.no_grad()
def cost_curve(model: LlamaForCausalLM) -> dict[int, float]:
    """Seconds of a forward over some tokens behind a context, as a multiple of that over one."""
    cache = DynamicCache(config=model.config)
    model(torch.randint(len(TOKENS), (1, CURVE_CONTEXT)), past_key_values=cache)
    seconds = {queries: [] for queries in CURVE_QUERIES}
    for _ in range(CURVE_ROUNDS):
        for queries, times in seconds.items():
            tokens = torch.randint(len(TOKENS), (1, queries))
            started = time.perf_counter()
            model(tokens, past_key_values=cache)
            times.append(time.perf_counter() - started)
            cache.crop(-queries)
    first = statistics.median(seconds[1])
    return {"ms": 1000 * first, **{queries: statistics.median(times) / first for queries, times in seconds.items()}}


def print_table(console: Console, rows: list[dict], drafter: str) -> None:
    table = Table(title=f"{drafter}: acceptance of the trained model, forwards of its widened MLPs")
    for header in (
        "size",
        "batch",
        "kind",
        "plain s",
        f"{drafter} s",
        "plain /",
        "lookup /",
        "tokens",
        "nodes",
        "differ",
    ):
        table.add_column(header, justify="left" if header == "kind" else "right")
    for row in rows:
        seconds = (f"{row['seconds'][side]:.2f}" for side in ("plain", drafter))
        ratios = (f"{row['speedup'].get(f'{side} / {drafter}', math.nan):.2f}" for side in ("plain", "lookup"))
        counts = (f"{row[drafter][name]:.2f}" for name in PER_FORWARD)
        differ = str(len(row["different"][drafter]))
        size, batch = f"{row['size']:g}M", str(row["batch"])
        table.add_row(
            size, batch, row["kind"], *seconds, *ratios, *counts, differ, end_section=row["kind"] == "no_overlap"
        )
    console.print(table)


def print_goals(console: Console, rows: list[dict]) -> None:
    first = [row for row in rows if row["batch"] == 1 and row["kind"] != "no_overlap"]
    for what, side, chosen, goal in (
        ("copying, batch 1", "plain / trie", first, COPYING_GOAL),
        ("copying, batch 1", "lookup / trie", first, LOOKUP_GOAL),
        ("no_overlap", "plain / trie", [row for row in rows if row["kind"] == "no_overlap"], NO_OVERLAP_GOAL),
    ):
        ratios = [row["speedup"][side] for row in chosen]
        if ratios:
            met = sum(ratio >= goal for ratio in ratios)
            console.print(f"{what}: {side} >= {goal:g} in {met} of {len(ratios)}, lowest {min(ratios):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that copy_training.py has written")
    parser.add_argument("--sizes", nargs="+", type=float, default=[25, 130], help="millions of parameters")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--prompts", type=int, default=8, help="of each kind; at least a batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--paper", action="store_true", help="time the paper's drafter, too")
    parser.add_argument("--curve", action="store_true", help="time forwards over several tokens, too")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    console = Console(width=130)
    trained = LlamaForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    count = max(options.prompts, *options.batch)
    answered = {kind: answered_prompts(trained, kind, count) for kind in KINDS}
    curves, rows = {}, []
    for size in options.sizes:
        model = widen(trained, intermediate_size(trained, size))
        if options.curve:
            curves[size] = cost_curve(model)
            times = ", ".join(f"{queries} {ratio:.2f}" for queries, ratio in curves[size].items() if queries != "ms")
            console.print(f"{size:g}M: a token takes {curves[size]['ms']:.1f} ms; relative to it, tokens: {times}")
        for batch in options.batch:
            for kind, figures in measure(model, answered, batch, options).items():
                rows.append({"size": size, "batch": batch, "kind": kind, **figures})
            print(f"{size:g}M, batch {batch}: done", flush=True)
    for drafter in ("trie", "paper") if options.paper else ("trie",):
        print_table(console, rows, drafter)
    for row in rows:
        for side, prompts in row["different"].items():
            if prompts:
                where = f"{row['size']:g}M, batch {row['batch']}, {row['kind']}"
                console.print(f"{where}: {side} gives other texts than plain for prompts {prompts}")
    print_goals(console, rows)
    if options.output:
        settings = {name: value for name, value in vars(options).items() if name not in ("model", "output")}
        where = {"machine": platform.machine(), "python": platform.python_version(), "date": date.today().isoformat()}
        packages = {name: version(name) for name in ("torch", "transformers")}
        figures = {"options": settings, **where, **packages, "curves": curves, "rows": rows}
        options.output.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

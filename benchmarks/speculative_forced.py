r"""N-gram trie decoding at the shapes of real models, without their weights: recorded answers are decoded again.

    python benchmarks/speculative_forced.py --answers spec_bench.jsonl --tokenizer DIR --shape llama-2-7b
    python benchmarks/speculative_forced.py --answers spec_bench.jsonl --tokenizer DIR --shape small --device cpu \
        --dtype float32 --threads 1 --max_prompt 1000 --per_category 5

The model has random weights; behind its forward, the logit of the token that the recorded answer has at a position is
raised above all others. So every forward costs what it costs, and as many drafted tokens are accepted as if the model
of the recording ran. This is done to logits and not by a `LogitsProcessor`, since prompt lookup asks that one which
drafts are allowed, and would draft from the answer.

Plain `generate`, prompt lookup (10 tokens behind 3 or fewer) and the trie take turns on every prompt. Speed-ups over
plain are ratios of total times and medians of the ratios by prompt, also without the prompt's forward, which is timed
by itself. Answers are in the tokens of the given tokenizer.
"""

import argparse
import json
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from setaria.generation import ngram_trie
from setaria.generation.ngram_trie.replay import Turn, read_turns


SHAPES = {
    "llama-2-7b": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "llama-3-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "small": {
        "vocab_size": 32000,
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
    },
    "tiny": {
        "vocab_size": 1000,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
}
TASKS = ("summarization", "rag", "qa", "math_reasoning", "translation")
CONVERSATION = "mt_bench"  # the other categories
# Lowest speed-ups: over plain by category, and over prompt lookup overall.
GOALS = {("plain", "summarization"): 2.3, ("plain", "rag"): 1.6, ("lookup", "overall"): 1.1}

Generate = Callable[..., torch.Tensor]


class Recorded:
    """A forward hook under which the model answers as recorded; also counts forwards and drafted tokens."""

    def __init__(self, device: str):
        self.device = device

    def start(self, turn: Turn) -> None:
        self.before = len(turn.prompt) - 1  # position whose logits give the first token of the answer
        self.answer = torch.tensor(turn.answer, device=self.device)
        self.forwards = self.nodes = 0

    def __call__(self, model, args, kwargs, output):
        queries = output.logits.size(1)
        positions = kwargs["position_ids"][:, -queries:]
        tokens = self.answer[(positions - self.before).clamp(max=len(self.answer) - 1)]
        output.logits.scatter_(2, tokens[..., None], torch.finfo(output.logits.dtype).max)
        self.forwards += 1
        self.nodes += queries - 1


@dataclass
class Run:
    """One side on one prompt: seconds, and forwards and drafted tokens behind the prompt's forward."""

    seconds: float
    forwards: int
    nodes: int


@dataclass
class Case:
    """One prompt: tokens behind the first, seconds of the prompt's forward and its token, and the run of each side."""

    tokens: int
    prefill: float
    runs: dict[str, Run]


def build_model(options: argparse.Namespace, vocabulary: int) -> LlamaForCausalLM:
    shape = {**SHAPES[options.shape]}
    shape["vocab_size"] = max(shape["vocab_size"], vocabulary)
    config = LlamaConfig(**shape, max_position_embeddings=8192, bos_token_id=None, eos_token_id=None, pad_token_id=0)
    torch.manual_seed(0)
    with torch.device(options.device):
        return LlamaForCausalLM._from_config(config, dtype=getattr(torch, options.dtype)).eval()


def choose_turns(options: argparse.Namespace, tokenizer) -> tuple[dict[str, list[Turn]], dict[str, int]]:
    """`per_category` turns of each category, evenly spread over the file, and how many were too long."""
    turns: dict[str, list[Turn]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    for turn in read_turns(options.answers, tokenizer):
        category = turn.category if turn.category in TASKS else CONVERSATION
        if len(turn.prompt) > options.max_prompt:
            skipped[category] += 1
        elif len(turn.answer) > 1:
            turns[category].append(turn)
    chosen = {}
    for category, own in turns.items():
        count = min(options.per_category, len(own))
        chosen[category] = [own[index * len(own) // count] for index in range(count)]
    return chosen, dict(skipped)


def run(generate: Generate, turn: Turn, recorded: Recorded, new_tokens: int) -> Run:
    """Decode `new_tokens` tokens of the recorded answer."""
    prompt = torch.tensor([turn.prompt], device=recorded.device)
    mask = torch.ones_like(prompt)  # given, since a prompt may hold the padding token
    recorded.start(turn)
    synchronize(recorded.device)
    started = time.perf_counter()
    sequence = generate(prompt, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False)
    synchronize(recorded.device)
    seconds = time.perf_counter() - started
    if sequence[0, len(turn.prompt) :].tolist() != turn.answer[:new_tokens]:
        raise RuntimeError(f"the text is not the recorded one, for a prompt of {turn.category}")
    return Run(seconds, recorded.forwards - 1, recorded.nodes)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure(model: LlamaForCausalLM, turns: dict[str, list[Turn]], device: str) -> dict[str, list[Case]]:
    """All sides in turns on every prompt, after a warm-up on the first one of each category."""
    recorded = Recorded(device)
    sides: dict[str, Generate] = {
        "plain": model.generate,
        "lookup": partial(model.generate, prompt_lookup_num_tokens=10, max_matching_ngram_size=3),
    }
    cases: dict[str, list[Case]] = defaultdict(list)
    hook = model.register_forward_hook(recorded, with_kwargs=True)
    with ngram_trie(model):
        sides["trie"] = model.generate
        names = list(sides)
        for generate in sides.values():
            for own in turns.values():
                run(generate, own[0], recorded, min(len(own[0].answer), 64))
        for category, own in turns.items():
            for number, turn in enumerate(own):
                first = number % len(names)
                order = names[first:] + names[:first]
                prefill = run(sides["plain"], turn, recorded, 1).seconds
                runs = {side: run(sides[side], turn, recorded, len(turn.answer)) for side in order}
                cases[category].append(Case(len(turn.answer) - 1, prefill, runs))
            print(f"{category}: {len(own)} prompts", flush=True)
    hook.remove()
    return cases


def summary(cases: list[Case]) -> dict:
    """Per side: ratios of plain's seconds to its own, with and without the prompt's forward; counts per forward."""
    figures = {"prompts": len(cases), "tokens": sum(case.tokens for case in cases)}
    figures["prefill_seconds"] = sum(case.prefill for case in cases)
    for side in cases[0].runs:
        runs = [case.runs[side] for case in cases]
        forwards = sum(run.forwards for run in runs)
        whole = [(case.runs["plain"].seconds, case.runs[side].seconds) for case in cases]
        decoding = [
            (plain - case.prefill, own - case.prefill) for (plain, own), case in zip(whole, cases, strict=True)
        ]
        figures[side] = {
            "seconds": sum(run.seconds for run in runs),
            **{f"speedup{name}": value for name, value in ratios(whole).items()},
            **{f"decoding_speedup{name}": value for name, value in ratios(decoding).items()},
            "tokens_per_forward": figures["tokens"] / forwards,
            "nodes_per_forward": sum(run.nodes for run in runs) / forwards,
        }
    return figures


def ratios(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Of the sums, and the median of those by pair."""
    plain, own = map(sum, zip(*pairs, strict=True))
    return {"": plain / own, "_median": statistics.median(plain / own for plain, own in pairs)}


def print_results(console: Console, results: dict[str, dict]) -> None:
    table = Table(title="Times as fast as plain: of totals, and median by prompt")
    columns = ("speedup", "speedup_median", "decoding_speedup", "decoding_speedup_median")
    headers = ("speed-up", "median", "decoding only", "median", "tokens/forward", "nodes/forward")
    for header in ("category", "prompts", "side", *headers):
        table.add_column(header, justify="left" if header in ("category", "side") else "right")
    for category, figures in results.items():
        for side in ("lookup", "trie"):
            own = figures[side]
            counts = (f"{own[f'{what}_per_forward']:.2f}" for what in ("tokens", "nodes"))
            values = (f"{own[name]:.2f}" for name in columns)
            end = side == "trie"
            table.add_row(category, str(figures["prompts"]), side, *values, *counts, end_section=end)
    console.print(table)
    for (side, category), goal in GOALS.items():
        if category in results:
            ratio = results[category][side]["seconds"] / results[category]["trie"]["seconds"]
            console.print(f"{category}: {ratio:.2f} times as fast as {side}; the goal is {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, required=True, help="JSON lines with category, turns and answers")
    parser.add_argument("--tokenizer", required=True, help="folder or Hub name")
    parser.add_argument("--shape", choices=list(SHAPES), default="llama-2-7b")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--threads", type=int, help="of torch on a CPU; default: torch's")
    parser.add_argument("--per_category", type=int, default=10, help="prompts")
    parser.add_argument("--max_prompt", type=int, default=3500, help="tokens; longer prompts are skipped and counted")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console(width=120)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    turns, skipped = choose_turns(options, tokenizer)
    model = build_model(options, len(tokenizer))
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    vocabulary, own = model.config.vocab_size, SHAPES[options.shape]["vocab_size"]
    note = f", the tokenizer's (the shape has {own})" if vocabulary > own else ""
    console.print(f"{options.shape} in {options.dtype} on {name}; vocabulary {vocabulary}{note}")
    console.print(f"prompts longer than {options.max_prompt} tokens, skipped: {skipped or 'none'}")

    cases = measure(model, turns, options.device)
    results = {category: summary(own) for category, own in cases.items()}
    results["overall"] = summary([case for own in cases.values() for case in own])
    print_results(console, results)
    if options.output:
        settings = {
            key: value for key, value in vars(options).items() if key not in ("answers", "tokenizer", "output")
        }
        where = {"device_name": name, "python": platform.python_version(), "date": date.today().isoformat()}
        packages = {package: version(package) for package in ("torch", "transformers")}
        run_settings = {"options": settings, "vocabulary": vocabulary, "skipped": skipped, **where, **packages}
        options.output.write_text(json.dumps({**run_settings, "results": results}, indent=2))


if __name__ == "__main__":
    main()

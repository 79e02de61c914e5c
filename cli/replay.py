"""`setaria replay`: tokens per forward that a drafter would have given on recorded answers, without a model."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path


# Most draft nodes per forward: as many as prompt lookup drafts in Spec-Bench, and the 64 of the paper's trie.
BUDGETS = {"trie": 10, "paper": 64, "prompt-lookup": 10}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--answers", type=Path, required=True, help="JSON lines with category, turns and answers (Spec-Bench)"
    )
    parser.add_argument("--tokenizer", required=True, help="folder or Hub name")
    parser.add_argument("--drafter", choices=list(BUDGETS), default="trie", help="default: trie")
    parser.add_argument(
        "--budget",
        type=int,
        help="most draft nodes per forward; default: " + str(BUDGETS).strip("{}").replace("'", ""),
    )
    parser.add_argument("--max_order", type=int, help="longest context of the trie, in tokens")
    parser.add_argument("--min_probability", type=float, help="least likely draft node of the trie")
    parser.add_argument("--json", type=Path, help="write the table as JSON")


def run(args: Namespace) -> int:
    """Print the table and return the exit code."""
    try:
        summary = _replay(args)
        if args.json:
            args.json.write_text(json.dumps(summary, indent=2) + "\n")
    except (ValueError, OSError) as error:
        print(f"setaria replay: {error}", file=sys.stderr)
        return 2
    _print(summary)
    return 0


def _replay(args: Namespace) -> dict:
    from transformers import AutoTokenizer

    from setaria.generation.ngram_trie.config import NGramTrieConfig
    from setaria.generation.ngram_trie.drafter import Drafter
    from setaria.generation.ngram_trie.paper_drafter import PaperDrafter
    from setaria.generation.ngram_trie.prompt_lookup import PromptLookupDrafter
    from setaria.generation.ngram_trie.replay import ReplayResult, read_turns, replay
    from setaria.generation.ngram_trie.trie import NGramTrie
    from setaria.generation.ngram_trie.trie_drafter import TrieDrafter

    given = {name: getattr(args, name) for name in ("max_order", "min_probability") if getattr(args, name) is not None}
    budget = BUDGETS[args.drafter] if args.budget is None else args.budget
    config = NGramTrieConfig(budget=budget, **given)
    makers: dict[str, Callable[[list[int]], Drafter]] = {
        "trie": lambda prompt: TrieDrafter(NGramTrie(config.max_order).sequence(prompt), config),
        "paper": PaperDrafter,
        "prompt-lookup": PromptLookupDrafter,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    except (ValueError, OSError) as error:
        raise ValueError(f"--tokenizer {args.tokenizer}: {str(error).splitlines()[0]}") from None
    results = replay(read_turns(args.answers, tokenizer), makers[args.drafter], config)
    if not results:
        raise ValueError(f"{args.answers} holds no answers")
    return {
        "drafter": args.drafter,
        "budget": config.budget,
        "overall": sum(results.values(), ReplayResult()).summary(),
        "categories": {category: result.summary() for category, result in results.items()},
    }


def _print(summary: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['drafter']}, at most {summary['budget']} draft nodes")
    table.add_column("category")
    for column in ("tokens per forward", "nodes per forward", "hit rate", "draft, us"):
        table.add_column(column, justify="right")
    for name, means in {**summary["categories"], "overall": summary["overall"]}.items():
        table.add_row(
            name,
            f"{means['tokens_per_forward']:.3f}",
            f"{means['nodes_per_forward']:.1f}",
            f"{means['hit_rate']:.1%}",
            f"{means['draft_us']:.0f}",
        )
    Console().print(table)

"""What an n-gram trie costs without a model: building it, drafting from it, memory, by the length of the context.

    python benchmarks/ngram_trie_speed.py --text FILE --tokenizer DIR [--output JSON]

The text is continued from where the trie ends, a token at a time, as if a model wrote it; each step drafts and learns
the token. `copied` is the first quarter of a context repeated four times, where every n-gram is known.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from setaria.generation import NGramTrieConfig
from setaria.generation.ngram_trie.trie import NGramTrie
from setaria.generation.ngram_trie.trie_drafter import TrieDrafter


LENGTHS = (4096, 32768, 65536)
BUDGETS = (10, 64)
STEPS = 300


def measure(context: list[int], following: list[int], config: NGramTrieConfig) -> dict[str, float]:
    """Microseconds per token to build, medians per step to draft and to learn, and bytes per token."""
    started = time.perf_counter()
    trie = NGramTrie(config.max_order)
    prompt = trie.sequence(context)
    build = (time.perf_counter() - started) / len(context)
    figures = {"build us/token": 1e6 * build, "bytes/token": trie.memory_bytes() / len(context)}
    drafter = TrieDrafter(prompt, config)
    drafting: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    learning = []
    for token in following:
        for budget, seconds in drafting.items():
            started = time.perf_counter()
            drafter.propose(budget, config.max_depth, config.min_probability)
            seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        drafter.extend([token])
        learning.append(time.perf_counter() - started)
    figures |= {f"draft us, budget {budget}": 1e6 * statistics.median(own) for budget, own in drafting.items()}
    return {**figures, "learn us/token": 1e6 * statistics.median(learning)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="a long text file")
    parser.add_argument("--tokenizer", required=True, help="folder or Hub name")
    parser.add_argument("--max_order", type=int, default=NGramTrieConfig.max_order)
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    config = NGramTrieConfig(max_order=options.max_order)
    tokens = AutoTokenizer.from_pretrained(options.tokenizer).encode(
        options.text.read_text(), add_special_tokens=False
    )
    rows = {}
    for length in LENGTHS:
        if length + STEPS <= len(tokens):
            rows[f"{length} tokens"] = measure(tokens[:length], tokens[length : length + STEPS], config)
            copied = tokens[: length // 4] * 4
            rows[f"{length} tokens, copied"] = measure(copied, tokens[:STEPS], config)
    if not rows:
        parser.error(f"{options.text} has {len(tokens)} tokens, {LENGTHS[0] + STEPS} are needed")
    table = Table("context", *next(iter(rows.values())))
    for name, figures in rows.items():
        table.add_row(name, *(f"{value:.1f}" for value in figures.values()))
    Console().print(table)
    if options.output:
        options.output.write_text(json.dumps({"max_order": options.max_order, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()

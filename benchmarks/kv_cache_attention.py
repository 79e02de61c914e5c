"""Decode attention over packed codes beside SDPA over a full cache, one layer: speed, exactness, and what fits.

    python benchmarks/kv_cache_attention.py                                      # needs a CUDA GPU; some minutes
    python benchmarks/kv_cache_attention.py --device cpu --contexts 1024 4096 --batches 1 --dtype float32

Shapes are those of Llama-3.1-8B and Llama-2-7B, codes and states are random. SDPA reads keys and values in the model's
dtype, with native grouped queries, and picks its own kernel (split-KV FlashAttention for half precision on CUDA). Both
sides take turns; a time is the median over rounds. Before a shape is timed, its kernel is checked against float64 on
fresh inputs. `fits` is how many tokens of the whole model's cache fit in the memory that is free, for both sides.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from rich.console import Console
from rich.table import Table

from setaria.generation.xquant.attention import packed_attention
from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.past import PackedStates, QuantizedPast


HEAD_DIM, TAIL, GROUP_SIZE = 128, 128, 32
SHAPES = {"llama-3.1-8b": (32, 8, 32), "llama-2-7b": (32, 32, 32)}  # heads, key heads, layers
CHECKED_TOKENS = 2048


def random_past(
    batch: int, kv_heads: int, tokens: int, bits: tuple[int, int], dtype: torch.dtype, device: str
) -> QuantizedPast:
    """A past of `tokens` packed tokens and a full-precision tail, filled with random codes."""
    packed = []
    for layout in (KeyLayout(bits[0], GROUP_SIZE, HEAD_DIM), ValueLayout(bits[1], GROUP_SIZE, HEAD_DIM)):
        width = HEAD_DIM if isinstance(layout, KeyLayout) else HEAD_DIM * layout.bits // 8
        columns = HEAD_DIM if isinstance(layout, KeyLayout) else HEAD_DIM // GROUP_SIZE
        codes = (batch, kv_heads, layout.code_rows(tokens), width)
        metadata = (batch, kv_heads, layout.metadata_rows(tokens), columns)
        packed.append(
            PackedStates(
                torch.randint(256, codes, dtype=torch.uint8, device=device),
                torch.rand(metadata, dtype=torch.float16, device=device),
                torch.randn(metadata, dtype=torch.float16, device=device),
                layout,
            )
        )
    tail = torch.randn(2, batch, kv_heads, TAIL, HEAD_DIM, dtype=dtype, device=device)
    return QuantizedPast(*packed, tokens, (0,) * batch, *tail)


def error(query: torch.Tensor, past: QuantizedPast) -> float:
    """Largest difference to float64 attention over the dequantised states, relative to the largest output."""
    group = query.size(1) // past.tail_keys.size(1)
    keys, values = (states.double().repeat_interleave(group, 1) for states in (past.dense_keys(), past.dense_values()))
    expected = (query.double() @ keys.transpose(-1, -2) * HEAD_DIM**-0.5).softmax(-1) @ values
    difference = packed_attention(query, past, None, HEAD_DIM**-0.5) - expected
    return (difference.abs().max() / expected.abs().max()).item()


def measure(shape: str, batch: int, context: int, options: argparse.Namespace) -> dict[str, float]:
    """Median microseconds of both sides, their ratio round by round, and the kernel's error."""
    heads, kv_heads, _ = SHAPES[shape]
    dtype = getattr(torch, options.dtype)
    query = torch.randn(batch, heads, 1, HEAD_DIM, dtype=dtype, device=options.device)
    checked = random_past(batch, kv_heads, min(context, CHECKED_TOKENS), options.bits, dtype, options.device)
    worst = error(query[:1], first_row(checked))
    past = random_past(batch, kv_heads, context - TAIL, options.bits, dtype, options.device)
    keys, values = torch.randn(2, batch, kv_heads, context, HEAD_DIM, dtype=dtype, device=options.device)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    sides = {
        "sdpa": lambda: sdpa(query, keys, values, enable_gqa=heads != kv_heads),
        "packed": lambda: packed_attention(query, past, None, HEAD_DIM**-0.5),
    }
    microseconds = {side: [] for side in sides}
    for side in sides.values():
        side()
    for _ in range(options.rounds):
        for name, side in sides.items():
            microseconds[name].append(timed(side, options.device))
    speedups = [full / packed for full, packed in zip(*microseconds.values(), strict=True)]
    return {
        **{name: statistics.median(times) for name, times in microseconds.items()},
        "speedup": statistics.median(speedups),
        "error": worst,
    }


def first_row(past: QuantizedPast) -> QuantizedPast:
    parts = {
        name: replace(states, codes=states.codes[:1], scale=states.scale[:1], zero=states.zero[:1])
        for name, states in (("keys", past.keys), ("values", past.values))
    }
    return replace(past, **parts, padding=(0,), tail_keys=past.tail_keys[:1], tail_values=past.tail_values[:1])


def timed(run: Callable[[], torch.Tensor], device: str, repeats: int = 10) -> float:
    """Microseconds of one run, the mean of a few in a row."""
    if device == "cpu":
        started = time.perf_counter()
        run()
        return 1e6 * (time.perf_counter() - started)
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        run()
    stop.record()
    stop.synchronize()
    return 1000 * start.elapsed_time(stop) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], default="float16")
    parser.add_argument("--bits", nargs=2, type=int, default=[2, 2], help="of keys and of values")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--contexts", nargs="+", type=int, default=[1024, 2048, 4096, 8192, 32768, 131072])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 16])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    torch.manual_seed(0)
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    free = torch.cuda.mem_get_info()[0] if options.device == "cuda" else psutil.virtual_memory().available
    element = torch.finfo(getattr(torch, options.dtype)).bits // 8
    packed_bits = sum(options.bits) / 2 + 32 / GROUP_SIZE
    table = Table("shape", "batch", "context", "SDPA us", "packed us", "speed-up", "error", title=name)
    rows = []
    for shape in options.shapes:
        for context in options.contexts:
            for batch in options.batches:
                needed = 2 * batch * SHAPES[shape][1] * context * HEAD_DIM * element
                if needed > free / 2:
                    table.add_row(shape, str(batch), str(context), "does not fit", "", "", "")
                    continue
                row = measure(shape, batch, context, options)
                rows.append({"shape": shape, "batch": batch, "context": context, **row})
                numbers = (
                    f"{row['sdpa']:.0f}",
                    f"{row['packed']:.0f}",
                    f"{row['speedup']:.2f}",
                    f"{row['error']:.1e}",
                )
                table.add_row(shape, str(batch), str(context), *numbers)
    console = Console(width=100)
    console.print(table)
    for shape in options.shapes:
        _, kv_heads, layers = SHAPES[shape]
        elements = 2 * layers * kv_heads * HEAD_DIM
        full, packed = free / (elements * element), free / (elements * packed_bits / 8)
        console.print(f"{shape}: fits {full:,.0f} tokens in {options.dtype}, {packed:,.0f} packed (batch x context)")
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        where = {"device": name, "date": date.today().isoformat(), "torch": version("torch"), "free_bytes": free}
        options.json.write_text(json.dumps({"options": settings, **where, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()

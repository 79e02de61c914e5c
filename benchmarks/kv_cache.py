"""Decode speed and memory of quantised KV caches beside transformers' own, in one run.

    python benchmarks/kv_cache.py                                  # the CPU reference point: 4 layers, 2 threads
    python benchmarks/kv_cache.py --device cuda --dtype bfloat16 --layers 32 --contexts 4096 32768

A random model with the attention shapes of Llama-3-8B (32 heads, 8 key heads, head_dim 128) and a narrow rest, so that
the cache is what is timed. Every side's cache is filled with the same random states of a context, one update per layer
as in a prefill; then the sides take turns, a decode step each. The table holds medians over rounds, and medians of the
ratios round by round to DynamicCache. Memory is that of a process of its own that fills one cache: resident bytes
(allocated ones on CUDA) after the last layer and at the peak, above the level before, and what the cache says it
holds.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import Cache, DynamicCache, QuantizedCache

from setaria.generation import XQuantCache, XQuantConfig
from setaria.generation.xquant import PRESETS, use_packed_attention


HEADS = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
SIDES = ["dynamic", "hqq-2", "quanto-2", "kivi-2", "xquant-1.38", "xquant-1.38 ours", "safe"]
# The bits and sharing of a preset, with the window and the fit that keep most.
OURS = {"window": "sliding", "calibration": "least_squares", "refit": "least_squares"}
# hqq needs minutes to quantise a prompt in float16 on a CPU.
MEMORY_SIDES = [side for side in SIDES if side != "hqq-2"]


def make_cache(side: str, config: LlamaConfig, residual_length: int = 128, **xquant_settings) -> Cache:
    """A cache by name: `dynamic`, `hqq-2`, `quanto-4` and the like, `fp8`, a preset, or `PRESET ours`.

    hqq and quanto get the axis with which they keep more of a real model, see docs/results.md.
    """
    if side == "dynamic":
        return DynamicCache(config=config)
    if side == "fp8":
        return QuantizedCache("fp8", config)
    preset = side.removesuffix(" ours")
    if preset in PRESETS:
        settings = {**(OURS if side != preset else {}), **xquant_settings, "residual_length": residual_length}
        return XQuantCache(config, XQuantConfig.preset(preset, **settings))
    backend, bits = side.split("-")
    axis = {"hqq": 1, "quanto": -1}[backend]
    return QuantizedCache(
        backend,
        config,
        nbits=int(bits),
        axis_key=axis,
        axis_value=axis,
        q_group_size=32,
        residual_length=residual_length,
    )


def build_model(options: argparse.Namespace) -> LlamaForCausalLM:
    config = LlamaConfig(
        **HEADS,
        hidden_size=512,
        intermediate_size=1024,
        vocab_size=1000,
        num_hidden_layers=options.layers,
        max_position_embeddings=2**20,
    )
    torch.manual_seed(0)
    with torch.device(options.device):
        return LlamaForCausalLM(config).to(getattr(torch, options.dtype)).eval()


@torch.no_grad()
def fill(cache: Cache, model: LlamaForCausalLM, tokens: int) -> None:
    """Put random keys and values of `tokens` tokens into every layer."""
    generator = torch.Generator(model.device).manual_seed(0)
    shape = (2, 1, HEADS["num_key_value_heads"], tokens, HEADS["head_dim"])
    for layer in range(model.config.num_hidden_layers):
        keys, values = torch.randn(shape, generator=generator, device=model.device, dtype=model.dtype)
        cache.update(keys.clone(), values.clone(), layer)
        del keys, values


@torch.no_grad()
def step_seconds(model: LlamaForCausalLM, cache: Cache) -> float:
    """Seconds of one decode step."""
    token = torch.ones(1, 1, dtype=torch.long, device=model.device)
    if isinstance(cache, XQuantCache):
        use_packed_attention(model)
    else:
        model.set_attn_implementation("sdpa")
    synchronize(model.device)
    started = time.perf_counter()
    model(token, past_key_values=cache)
    synchronize(model.device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure_speed(context: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per decode step of every side at `context` tokens, `options.rounds` each, the sides taking turns."""
    torch.set_num_threads(options.threads)
    model = build_model(options)
    caches = {side: make_cache(side, model.config) for side in options.sides}
    for cache in caches.values():
        fill(cache, model, context)
        for _ in range(2):
            step_seconds(model, cache)
    seconds = {side: [] for side in caches}
    for _ in range(options.rounds):
        for side, cache in caches.items():
            seconds[side].append(step_seconds(model, cache))
    return seconds


def measure_memory(side: str, context: int, options: argparse.Namespace, result) -> None:
    """Send the bytes of a filled cache: at the peak, after filling, and by the cache's own account."""
    torch.set_num_threads(options.threads)
    model = build_model(options)
    fill(make_cache(side, model.config), model, 256)  # what libraries allocate once
    cache = make_cache(side, model.config)
    before = reset_peak(options.device)
    fill(cache, model, context)
    counted = cache.memory().total if isinstance(cache, XQuantCache) else 0
    result.send({"peak": peak(options.device) - before, "held": level(options.device) - before, "counted": counted})


def reset_peak(device: str) -> int:
    """Make the present level the peak, and return it in bytes."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")
    return level(device)


def level(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else resident("VmRSS")


def peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else resident("VmHWM")


def resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


def in_own_process(side: str, context: int, options: argparse.Namespace) -> dict[str, int]:
    """`measure_memory` of a fresh process, in which freed memory goes back at once: what is resident is alive."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**18)
    processes = multiprocessing.get_context("spawn")
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=measure_memory, args=(side, context, options, sender))
    process.start()
    sender.close()
    measured = receiver.recv()
    process.join()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--contexts", nargs="+", type=int, default=[1024, 4096, 16384], help="tokens, for speed")
    parser.add_argument("--memory_context", type=int, default=8192, help="tokens, for memory in float16; 0 skips it")
    parser.add_argument("--memory_layers", type=int, default=32)
    parser.add_argument("--sides", nargs="+", default=SIDES, help="the first is what others relate to")
    parser.add_argument("--memory_sides", nargs="+", default=MEMORY_SIDES, help="the first is what others relate to")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    figures: dict[str, dict] = {"speed": {}, "memory": {}}
    speed = Table("context", "cache", "ms/step", "min", "max", "time / dynamic", title="Decode step")
    for context in options.contexts:
        seconds = figures["speed"][context] = measure_speed(context, options)
        for side, own in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(own, seconds[options.sides[0]], strict=True))
            times = (1000 * statistics.median(own), 1000 * min(own), 1000 * max(own), ratio)
            speed.add_row(str(context), side, *(f"{x:.3g}" for x in times))
    Console(width=100).print(speed)
    if options.memory_context:
        settings = argparse.Namespace(**{**vars(options), "dtype": "float16", "layers": options.memory_layers})
        memory = Table("cache", "peak MB", "held MB", "counted MB", "held / dynamic", title="Memory in float16")
        for side in options.memory_sides:
            figures["memory"][side] = in_own_process(side, options.memory_context, settings)
            measured = figures["memory"][side]
            full = figures["memory"][options.memory_sides[0]]["held"]
            megabytes = (f"{measured[name] / 1e6:.4g}" for name in ("peak", "held", "counted"))
            memory.add_row(side, *megabytes, f"{measured['held'] / full:.3f}")
        Console(width=100).print(memory)
    if options.json:
        packages = {name: version(name) for name in ("torch", "transformers", "hqq", "optimum-quanto")}
        where = {"machine": platform.machine(), "python": platform.python_version(), "date": date.today().isoformat()}
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        options.json.write_text(json.dumps({"options": settings, **where, **packages, **figures}, indent=2))


if __name__ == "__main__":
    main()

"""What quantised KV caches cost a real model: likelihood, divergence and top-1 agreement against true bits.

    python benchmarks/kv_cache_quality.py --data $SETARIA_DATA --plot docs/xquant_pareto.svg
    python benchmarks/kv_cache_quality.py --data $SETARIA_DATA --ablation

The stories of `text/tinystories_sample.txt` are one left-padded batch for `models/stories260K`. After a prefill of 64
tokens they are fed through every cache token by token, and the predictions compared with those through a
`DynamicCache`. True bits count the metadata: ours as `memory()` does, transformers' as a float16 scale and zero for
each group of 32, which its backends need at least. `paper` are the presets as published, `ours` the same bits and
sharing with a sliding window and least squares.
"""

import argparse
import json
import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

import matplotlib
import torch
from kv_cache import OURS, make_cache
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.cache_utils import Cache

from setaria.generation import XQuantCache
from setaria.generation.xquant import PRESETS


PREFILL = 64
HF_BITS = {"hqq-1": 2.0, "hqq-2": 3.0, "hqq-4": 5.0, "quanto-2": 3.0, "quanto-4": 5.0, "fp8": 8.0}
COLORS = {"transformers": "tab:gray", "paper": "tab:orange", "ours": "tab:blue"}


def load(data: Path) -> tuple[PreTrainedModel, torch.Tensor, torch.Tensor]:
    """The model, and the stories with their mask `[stories, tokens]`."""
    folder = data / "models" / "stories260K"
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    text = (data / "text" / "tinystories_sample.txt").read_text(encoding="utf-8")
    stories = [story.strip() for story in text.split("<|endoftext|>") if story.strip()]
    batch = tokenizer(stories, return_tensors="pt", padding=True)
    return model, batch["input_ids"], batch["attention_mask"]


@torch.no_grad()
def predict(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, cache: Cache) -> torch.Tensor:
    """Log-probabilities `[stories, tokens - 1, vocabulary]` of every next token, read through `cache`."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    starts = [0, *range(PREFILL, ids.size(1) - 1)]
    logits = []
    for start, stop in zip(starts, [*starts[1:], ids.size(1) - 1], strict=True):
        inputs = {"attention_mask": mask[:, :stop], "position_ids": positions[:, start:stop]}
        logits.append(model(ids[:, start:stop], **inputs, past_key_values=cache).logits)
    return torch.cat(logits, dim=1).log_softmax(-1)


def compare(now: torch.Tensor, full: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """Nats per token and shares, over tokens whose predecessor is a token too."""
    counted = (mask[:, :-1] * mask[:, 1:]).bool()
    targets = ids[:, 1:, None]
    return {
        "delta_nll": (full - now).gather(-1, targets)[..., 0][counted].mean().item(),
        "kl": (full.exp() * (full - now)).sum(-1)[counted].mean().item(),
        "top1": (full.argmax(-1) == now.argmax(-1))[counted].float().mean().item(),
    }


def sides(options: argparse.Namespace) -> Iterator[tuple[int, str, str, str, dict]]:
    """Residual length, group, label, name for `make_cache` and settings of every cache."""
    for residual_length in options.residual_lengths:
        for side in HF_BITS:
            yield residual_length, "transformers", side, side, {}
        for preset in PRESETS:
            if preset != "safe":
                yield residual_length, "paper", preset, preset, {}
        for preset in PRESETS:
            yield residual_length, "ours", preset, preset, OURS
        yield residual_length, "ours", "1 bit", "kivi-2", {**OURS, "key_bits": 1, "value_bits": 1}


def ablation() -> Iterator[tuple[int, str, str, str, dict]]:
    """Calibrations and windows, one at a time. A window of 32 that slides and the paper's of 64 hold about 48 tokens
    each in the mean of keys and values."""
    for preset in ("kivi-2", "asymkv-1.5"):
        for residual_length, window in ((32, "paper"), (64, "paper"), (32, "sliding")):
            for calibration in ("none", "eta", "least_squares"):
                label = f"{preset} {calibration}"
                yield residual_length, window, label, preset, {"window": window, "calibration": calibration}
    shared = {**OURS, "value_bits": 1, "k_share_from": 0, "v_share_from": 0}
    for refit in ("own_minmax", "least_squares", "zero_bit_mean"):
        yield 32, "sliding", f"all odd layers share, {refit}", "kivi-2", {**shared, "refit": refit}
    yield (
        32,
        "sliding",
        "the same with eta, own_minmax",
        "kivi-2",
        {**shared, "calibration": "eta", "refit": "own_minmax"},
    )
    yield 32, "sliding", "nothing shared", "asymkv-1.5", OURS
    for metadata in ("float32", "int8"):
        yield 32, "sliding", f"kivi-2, metadata {metadata}", "kivi-2", {**OURS, "metadata": metadata}


def plot(rows: list[dict], residual_length: int, file: Path) -> None:
    """NLL lost over true bits, one colour per group; caches at the same point share a label."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for group, color in COLORS.items():
        points: dict[tuple[float, float], list[str]] = {}
        for row in sorted(rows, key=lambda row: row["bits"]):
            if row["group"] == group and row["residual_length"] == residual_length:
                points.setdefault((row["bits"], max(row["delta_nll"], 1e-4)), []).append(row["cache"])
        axes.plot(*zip(*points, strict=True), "o" if group == "transformers" else "o-", color=color, label=group, lw=1)
        for point, caches in points.items():
            label = {"rotation": 55, "rotation_mode": "anchor", "fontsize": 7, "color": color}
            axes.annotate(", ".join(caches), point, textcoords="offset points", xytext=(3, 6), **label)
    axes.set(xscale="log", xlabel="true bits per element, metadata included", xlim=(1.8, 9))
    axes.set(yscale="log", ylabel="NLL lost, nats per token", ylim=(4e-4, 20))
    axes.set_xticks([2, 2.5, 3, 4, 5, 6, 8], ["2", "2.5", "3", "4", "5", "6", "8"], minor=False)
    axes.minorticks_off()
    axes.set_title(f"stories260K, the last {residual_length} tokens in full precision", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with models/stories260K and text/")
    parser.add_argument("--residual_lengths", nargs="+", type=int, default=[32, 128])
    parser.add_argument("--ablation", action="store_true", help="calibrations, windows and refits instead")
    parser.add_argument("--plot", type=Path, help="write the plot for the first residual length to this SVG file")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    torch.set_num_threads(1)
    model, ids, mask = load(options.data)
    full = predict(model, ids, mask, make_cache("dynamic", model.config))
    rows = []
    for residual_length, group, label, preset, settings in ablation() if options.ablation else sides(options):
        cache = make_cache(preset, model.config, residual_length, **settings)
        if isinstance(cache, XQuantCache):
            cache.set_padding(mask)
        measured = compare(predict(model, ids, mask, cache), full, ids, mask)
        bits = cache.memory().stored_bits if isinstance(cache, XQuantCache) else HF_BITS[preset]
        rows.append({"residual_length": residual_length, "group": group, "cache": label, "bits": bits, **measured})
    table = Table("residual", "group", "cache", "true bits", "delta NLL", "KL", "top-1")
    for row in rows:
        numbers = (f"{row['bits']:.3f}", *(f"{row[name]:.4f}" for name in ("delta_nll", "kl", "top1")))
        table.add_row(str(row["residual_length"]), row["group"], row["cache"], *numbers)
    Console(width=100).print(table)
    if options.plot:
        plot(rows, options.residual_lengths[0], options.plot)
    if options.json:
        packages = {name: version(name) for name in ("torch", "transformers", "hqq", "optimum-quanto")}
        where = {"machine": platform.machine(), "python": platform.python_version(), "date": date.today().isoformat()}
        options.json.write_text(json.dumps({**where, **packages, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()

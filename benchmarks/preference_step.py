"""Step time and peak memory of SPOTrainer beside TRL's DPOTrainer and CPOTrainer (SimPO) in one run.

    python benchmarks/preference_step.py                                       # the CPU reference point
    python benchmarks/preference_step.py --sides spo spo_shared --ratio 8      # prompts shared or not, at 8 : 1
    python benchmarks/preference_step.py --preset llama3_8b_lora --device cuda

All sides train the same random weights on the same rows through their trainer's own `training_step` and optimiser. The
first step of each is not counted; then the sides take turns, and the table holds medians over rounds and the median of
the ratios round by round. Memory is the peak above the level before the first step: allocator bytes on CUDA, resident
bytes on the CPU, each side in a process of its own.
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from setaria.models.tiny import byte_tokenizer
from setaria.trainers import SPOConfig, SPOTrainer


SIDES = ("dpo", "cpo", "spo", "spo_shared")
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PRESETS = {
    "cpu": {
        "architecture": (LlamaConfig, LlamaForCausalLM),
        "config": {"vocab_size": 32000, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4,
                   "num_attention_heads": 4, "num_key_value_heads": 4},
        "lora": False,
    },
    "qwen2.5_0.5b": {
        "architecture": (Qwen2Config, Qwen2ForCausalLM),
        "config": {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
                   "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True},
        "lora": False,
    },
    "llama3_8b_lora": {
        "architecture": (LlamaConfig, LlamaForCausalLM),
        "config": {"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                   "num_attention_heads": 32, "num_key_value_heads": 8},
        "lora": True,
    },
}  # fmt: skip


def build_trainer(side: str, options: argparse.Namespace, folder: str):
    """The trainer of `side`, after its first step."""
    preset = PRESETS[options.preset]
    config_class, model_class = preset["architecture"]
    tokenizer = byte_tokenizer()
    config = config_class(**preset["config"], pad_token_id=tokenizer.pad_token_id, max_position_embeddings=8192)
    on_cpu = options.device == "cpu"

    def random_model():
        torch.manual_seed(0)
        with torch.device(options.device):
            return model_class(config).to(torch.bfloat16 if preset["lora"] else torch.float32)

    shared = {
        "output_dir": folder,
        "bf16": not on_cpu,
        "disable_tqdm": True,
        "max_length": None,
        "max_steps": 1,
        "per_device_train_batch_size": options.pairs,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": on_cpu,
    }
    passed = {"train_dataset": pairs_of_length(options), "processing_class": tokenizer}
    if preset["lora"]:
        passed["peft_config"] = LoraConfig(r=16, target_modules=LORA_TARGETS)
    if side == "cpo":
        trainer = CPOTrainer(random_model(), args=CPOConfig(**shared, loss_type="simpo", cpo_alpha=0.0), **passed)
    elif side == "dpo":
        reference = None if preset["lora"] else random_model()
        trainer = DPOTrainer(random_model(), reference, DPOConfig(**shared), **passed)
    else:
        trainer = SPOTrainer(random_model(), SPOConfig(**shared, share_prompt=side == "spo_shared"), **passed)
    return trainer


def pairs_of_length(options: argparse.Namespace) -> Dataset:
    """Plain text with one byte per token: `ratio` parts prompt to one part completion, `length` tokens with EOS."""
    completion = options.length // (options.ratio + 1)
    letters = "".join(chr(ord("a") + index % 26) for index in range(options.length))
    row = {
        "prompt": letters[: options.length - completion],
        "chosen": letters[: completion - 1],
        "rejected": letters[: completion - 1][::-1],
    }
    return Dataset.from_list([row] * options.pairs)


def step(trainer, batch) -> float:
    """Seconds of one training step on `batch`."""
    synchronize = torch.cuda.synchronize if trainer.args.device.type == "cuda" else lambda: None
    synchronize()
    started = time.perf_counter()
    trainer.training_step(trainer.model_wrapped, dict(batch))
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    synchronize()
    return time.perf_counter() - started


def measure_time(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds per step of every side, `options.rounds` each, the sides taking turns."""
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        trainers = {side: build_trainer(side, options, folder) for side in options.sides}
        batches = {}
        for side, trainer in trainers.items():
            trainer.train()
            batches[side] = next(iter(trainer.get_train_dataloader()))
        seconds = {side: [] for side in options.sides}
        for _ in range(options.rounds):
            for side, trainer in trainers.items():
                seconds[side].append(step(trainer, batches[side]))
    return seconds


def measure_memory(side: str, options: argparse.Namespace, result) -> None:
    """Send the peak bytes of training steps above the level before the first."""
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(side, options, folder)
        trainer.args.max_steps = 3
        before = reset_peak(options.device)
        trainer.train()
        result.send(peak(options.device) - before)


def reset_peak(device: str) -> int:
    """Make the present level the peak, and return it in bytes."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return peak(device)


def peak(device: str) -> int:
    """Highest level since `reset_peak`, in bytes."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def in_own_process(side: str, options: argparse.Namespace) -> int:
    """`measure_memory` of a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure_memory, args=(side, options, sender))
    process.start()
    sender.close()
    bytes_above = receiver.recv()
    process.join()
    return bytes_above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(PRESETS), default="cpu")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["dpo", "cpo", "spo"])
    parser.add_argument("--length", type=int, default=512, help="tokens of prompt and completion")
    parser.add_argument("--ratio", type=int, default=1, help="prompt tokens per completion token")
    parser.add_argument("--pairs", type=int, default=2, help="pairs per step")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    memory = {side: in_own_process(side, options) for side in options.sides}
    seconds = measure_time(options)
    first = options.sides[0]
    table = Table("side", "s/step", "min", "max", f"time / {first}", "peak GB", f"peak / {first}")
    figures = {}
    for side in options.sides:
        ratio = statistics.median(own / other for own, other in zip(seconds[side], seconds[first], strict=True))
        figures[side] = {"seconds": seconds[side], "time_ratio": ratio, "peak_bytes": memory[side]}
        times = (statistics.median(seconds[side]), min(seconds[side]), max(seconds[side]), ratio)
        table.add_row(side, *(f"{x:.3g}" for x in (*times, memory[side] / 1e9, memory[side] / memory[first])))
    Console(width=100).print(table)
    if options.json:
        packages = {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")}
        where = {"machine": platform.machine(), "python": platform.python_version(), "date": date.today().isoformat()}
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        options.json.write_text(json.dumps({"options": settings, **where, **packages, "sides": figures}, indent=2))


if __name__ == "__main__":
    main()

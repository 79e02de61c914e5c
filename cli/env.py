"""`setaria env`: what this machine has, for a bug report and before a long run."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

from setaria.recipes.torchvision_guard import torchvision_problem


CORE = ("setaria", "torch", "transformers", "trl", "peft", "accelerate", "datasets")
OPTIONAL = {
    "deepspeed": "pip install -e '.[deepspeed]'",
    "bitsandbytes": "pip install -e '.[bitsandbytes]'",
    "vllm": "pip install -e '.[vllm]'",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    rows = [("python", f"{platform.python_version()} on {platform.platform()}")]
    rows += [(name, _version(name) or "missing") for name in CORE]
    rows += [(name, _version(name) or f"not installed ({install})") for name, install in OPTIONAL.items()]
    rows += _torch_rows()
    problem = torchvision_problem()
    rows.append(("torchvision", problem or _version("torchvision") or "not installed; Qwen-VL works without it"))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 1 if problem else 0


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torch_rows() -> list[tuple[str, str]]:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "CPU"
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return [
        ("torch build", build),
        ("devices", ", ".join(devices) or f"CPU only, {torch.get_num_threads()} threads"),
        ("bf16", "yes" if bf16 else "no GPU with bf16: recipes need use_cpu: true, bf16: false"),
    ]

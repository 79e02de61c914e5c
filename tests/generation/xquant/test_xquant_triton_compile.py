"""The Triton kernels compile for GPUs that are not there, and are not compiled again as the past grows."""

import os
import subprocess
import sys

import pytest


pytest.importorskip("triton")

COMPILE = """
from importlib import import_module

import torch
import triton
from triton.backends.compiler import GPUTarget

from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.past import PackedStates, QuantizedPast

torch.set_num_threads(1)
kernels = import_module("setaria.generation.xquant.triton_attention")


class Driver:
    def __init__(self, capability):
        self.target = GPUTarget("cuda", capability, 32)

    get_current_target = lambda self: self.target
    get_current_device = lambda self: self.target.arch
    get_current_stream = lambda self, device: 0


class Compiled:
    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        return lambda *args, **kwargs: compiled.append(self.kernel.warmup(*args, grid=grid, **kwargs))


kernels.split_kernel, kernels.merge_kernel = Compiled(kernels.split_kernel), Compiled(kernels.merge_kernel)
codes, half = torch.zeros(2, 2, 128, 128, dtype=torch.uint8), torch.zeros(2, 2, 128, 128, dtype=torch.float16)
keys = PackedStates(codes, half, half, KeyLayout(2, 32, 128))
values = PackedStates(codes[..., :16], half[..., :4], half[..., :4], ValueLayout(1, 32, 128))


def attend(packed, tail, heads, queries, padding, softcap=None):
    past = QuantizedPast(keys, values, packed, padding, half[:, :, :tail], half[:, :, :tail])
    mask = torch.ones(2, 1, queries, packed + tail, dtype=torch.bool) if any(padding) else None
    query = torch.zeros(2, heads, queries, 128, dtype=torch.float16)
    kernels.triton_attention(query, past, mask, 1.0, softcap)


for capability in (80, 90):
    triton.runtime.driver.set_active(Driver(capability))
    for packed, tail in ((128, 16), (97, 1), (128, 128)):
        compiled = []
        attend(packed, tail, 2, 1, (0, 0))
        attend(packed, tail, 16, 16, (0, 3), 30.0)
        print(*(f"{kernel.hash[:8]}:{kernel.metadata.shared}" for kernel in compiled))
"""


def test_kernels_compile_without_a_gpu(tmp_path):
    """For Ampere and Hopper, the smallest query and the largest; once for all lengths of the past."""
    compiler = pytest.importorskip("triton.backends.compiler")
    if not hasattr(compiler, "GPUTarget"):
        pytest.skip("this version of Triton names its targets otherwise")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    run = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lengths = run.stdout.splitlines()
    assert len(lengths) == 6
    for start in (0, 3):
        assert len(set(lengths[start : start + 3])) == 1
    # what a program can have on the GPUs of compute capability 8.6 and 8.9, which have least
    assert all(int(kernel.split(":")[1]) <= 99 * 1024 for line in lengths for kernel in line.split())

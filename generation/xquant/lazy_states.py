"""Keys or values that look dense and are dequantised only if something other than packed attention touches them."""

from typing import Any

import torch
from torch.utils._pytree import tree_map

from setaria.generation.xquant.past import QuantizedPast


class LazyStates(torch.Tensor):
    """A tensor `[batch, kv_heads, slots, head_dim]` without memory of its own; any operation on it first makes it
    dense.

    Packed attention reads `past` instead. A model that works on keys or values between cache and attention thus gets
    right, if slow, results.
    """

    past: QuantizedPast

    @staticmethod
    def __new__(cls, past: QuantizedPast, tail: torch.Tensor):
        shape = (*tail.shape[:2], past.slots, tail.size(3))
        return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=tail.dtype, device=tail.device)

    def __init__(self, past: QuantizedPast, tail: torch.Tensor):
        self.past, self.is_keys = past, tail is past.tail_keys

    def dense(self) -> torch.Tensor:
        return self.past.dense_keys() if self.is_keys else self.past.dense_values()

    def __repr__(self) -> str:
        return f"LazyStates({tuple(self.shape)}, {self.dtype}, {self.device})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None) -> Any:
        def densify(x):
            return x.dense() if isinstance(x, LazyStates) else x

        return func(*tree_map(densify, args), **tree_map(densify, kwargs or {}))

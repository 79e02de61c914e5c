"""What a cache really holds, in bytes, and the bits per element that follow."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from setaria.generation.xquant.layer import XQuantLayer


@dataclass(frozen=True)
class CacheMemory:
    """Memory of an [`XQuantCache`].

    codes: bytes of packed codes in use.
    metadata: bytes of scales and zeros in use.
    residual: bytes in full precision: the windows, layers that are not quantised, and simulated states.
    slack: bytes allocated ahead and not in use.
    total: their sum, all that the cache holds.
    equivalent_bits: bits per quantised element by the paper's formula, mean over the layers: codes alone, 0 for a
        layer that reads another's.
    stored_bits: true bits per quantised element, codes and metadata; 0 as long as nothing is quantised.
    """

    codes: int
    metadata: int
    residual: int
    slack: int
    total: int
    equivalent_bits: float
    stored_bits: float


def measure(layers: Iterable[Any]) -> CacheMemory:
    """Memory of the layers of a cache, of which those that are no `XQuantLayer` are in full precision."""
    codes = metadata = residual = slack = elements = bits = sides = 0
    for layer in layers:
        if not isinstance(layer, XQuantLayer):
            residual += sum(tensor.untyped_storage().nbytes() for tensor in _tensors(vars(layer)))
        elif layer.is_initialized:
            for states in (layer.key_states, layer.value_states):
                usage = states.store.usage()
                codes += usage.codes
                metadata += usage.metadata
                slack += usage.slack
                residual += usage.simulated + states.window.untyped_storage().nbytes()
                elements += usage.elements
                bits += states.store.layout.bits if states.store.anchor is None else 0
                sides += 1
    return CacheMemory(
        codes=codes,
        metadata=metadata,
        residual=residual,
        slack=slack,
        total=codes + metadata + residual + slack,
        equivalent_bits=bits / max(sides, 1),
        stored_bits=8 * (codes + metadata) / max(elements, 1),
    )


def _tensors(attributes: dict[Any, Any]) -> list[torch.Tensor]:
    found = []
    for value in attributes.values():
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, dict):
            found += _tensors(value)
    return found

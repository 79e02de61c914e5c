"""Verify, then commit: a cache that shows drafts to the model and keeps only what was accepted.

Nothing is ever rolled back, so that quantised caches work, which cannot forget tokens. The rows of a batch grow at
their own pace. In dense layers accepted tokens move next to the others of their row. Quantised layers append for all
rows at once, so that a row which accepted fewer tokens than another gets slots that it never sees.
"""

import copy
import sys
from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from transformers import PreTrainedConfig
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    Fp8QuantizedLayer,
    QuantizedLayer,
    get_layer_types_and_kwargs,
)

from setaria.generation.ngram_trie.slots import AppendedSlots, PackedSlots, Slots


# A quarter more at a time: a slot is copied a few times in all, where DynamicCache copies it at every step.
GROWTH = 1.25


class StagedLayer(CacheLayerMixin):
    """One layer of the cache as the model sees it while drafts are verified."""

    is_sliding = False

    def __init__(self, layer: CacheLayerMixin, slots: Slots):
        super().__init__()
        self.layer, self.slots = layer, slots
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do, the prompt has filled the layer."""

    @abstractmethod
    def restore(self) -> None:
        """Leave the layer as plain decoding does; for a batch of one row."""

    def get_seq_length(self) -> int:
        return len(self.slots)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return len(self.slots) + query_length, 0

    def get_max_length(self) -> int:
        return -1


class DenseStagedLayer(StagedLayer):
    """Keys and values in a buffer with room at its end, which the layer gets back by `restore`."""

    def __init__(self, layer: DynamicLayer, slots: Slots):
        super().__init__(layer, slots)
        self.keys, self.values = layer.keys, layer.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write staged tokens behind the committed ones and return all `[batch, kv_heads, slots + tokens,
        head_dim]`."""
        committed, end = len(self.slots), len(self.slots) + key_states.size(2)
        self.keys = _with_room(self.keys, committed, end)
        self.values = _with_room(self.values, committed, end)
        self.keys[:, :, committed:end] = key_states
        self.values[:, :, committed:end] = value_states
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, moves: torch.Tensor, unseen: int) -> None:
        """Move staged tokens, by their rows, slots and new slots `[moves, 3]`, and drop `unseen` slots in front."""
        if len(moves):
            rows, sources, targets = moves.to(self.keys.device).unbind(dim=1)
            for states in (self.keys, self.values):
                states[rows, :, targets] = states[rows, :, sources]
        if unseen:
            self.keys, self.values = self.keys[:, :, unseen:].clone(), self.values[:, :, unseen:].clone()

    def restore(self) -> None:
        first, end = 0, len(self.slots)
        if isinstance(self.layer, DynamicSlidingWindowLayer):
            first = max(end - (self.layer.sliding_window - 1), 0)
            self.layer.cumulative_length = max(self.slots.lengths)
        self.layer.keys, self.layer.values = self.keys[:, :, first:end], self.values[:, :, first:end]


class AppendingStagedLayer(StagedLayer):
    """A layer that can only append: a quantised one.

    Args:
        preview: keys and values with staged tokens behind the committed ones, which leaves the layer as it is.
        append: add tokens for good.
    """

    def __init__(self, layer: CacheLayerMixin, slots: Slots, preview: Callable, append: Callable):
        super().__init__(layer, slots)
        self.preview, self.append = preview, append

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = key_states, value_states
        return self.preview(key_states, value_states)

    def keep(self, nodes: torch.Tensor) -> None:
        """Append the staged tokens `nodes` `[batch, tokens]`."""
        index = nodes[:, None, :, None]
        self.append(*(states.take_along_dim(index.to(states.device), dim=2) for states in (self.keys, self.values)))

    def restore(self) -> None:
        """Nothing to do, the layer has what was committed."""


class StagedCache(Cache):
    """The cache of a model that verifies drafts.

    Args:
        base: a filled cache for which `can_stage` is true.
        config: of the model.
        attended: `[batch, tokens]` bool, the attention mask of the tokens in `base`.
    """

    def __init__(self, base: Cache, config: PreTrainedConfig, attended: torch.Tensor):
        self.base = base
        text = config.get_text_config(decoder=True)
        self.slots: dict[str, Slots] = {}
        layers: list[StagedLayer] = []
        for index, (layer_type, layer) in enumerate(zip(_attention_types(text), base.layers, strict=True)):
            if layer_type not in self.slots:
                held = layer.keys.size(2) if isinstance(layer, DynamicSlidingWindowLayer) else attended.size(1)
                window = text.sliding_window if layer_type == "sliding_attention" else None
                kind = AppendedSlots if _can_append(base, layer) else PackedSlots
                self.slots[layer_type] = kind(attended, held, window)
            layers.append(_staged(base, index, self.slots[layer_type]))
        super().__init__(layers=layers)

    def commit(self, paths: list[list[int]]) -> None:
        """Keep these of the tokens that the last forward has staged; a row may keep none."""
        for slots in self.slots.values():
            layers = [layer for layer in self.layers if layer.slots is slots]
            if isinstance(slots, PackedSlots):
                moves = slots.moves(paths)
                slots.keep(paths)
                unseen = slots.drop_unseen()
                if moves or unseen:
                    index = torch.tensor(moves, device=slots.prompt.device).reshape(-1, 3)
                    for layer in layers:
                        layer.keep(index, unseen)
            else:
                longest = max(map(len, paths))
                nodes = torch.tensor([path + [0] * (longest - len(path)) for path in paths])
                slots.keep(paths)
                for layer in layers:
                    layer.keep(nodes)

    def restore(self) -> None:
        """Leave `base` as plain decoding does; for a batch of one row."""
        for layer in self.layers:
            layer.restore()

    def max_draft_depth(self) -> int:
        """How deep a draft may go so that no token in it would have seen another state of a quantised cache."""
        if hasattr(self.base, "max_draft_tokens"):
            return self.base.max_draft_tokens(self.get_seq_length() + 1)
        room = [
            layer.residual_length - 1 - (layer.keys.size(2) if layer.keys.dim() == 4 else 0)
            for layer in self.base.layers
            if isinstance(layer, QuantizedLayer)
        ]
        return max(min(room, default=sys.maxsize), 0)


def can_stage(cache: Cache, config: PreTrainedConfig) -> bool:
    """Whether `StagedCache` knows the layers of `cache`."""
    types = _attention_types(config.get_text_config(decoder=True))
    if cache.offloading or not set(types) <= {"full_attention", "sliding_attention"}:
        return False
    if type(cache) is DynamicCache and not cache.layers:
        return True  # made without a configuration, it gets dense layers
    if len(cache.layers) != len(types):
        return False
    known = (DynamicLayer, DynamicSlidingWindowLayer)
    return all(
        type(layer) in known or (_can_append(cache, layer) and layer_type == "full_attention")
        for layer, layer_type in zip(cache.layers, types, strict=True)
    )


def _attention_types(text: PreTrainedConfig) -> list[str]:
    return list(get_layer_types_and_kwargs(text)[0])


def _can_append(cache: Cache, layer: CacheLayerMixin) -> bool:
    return isinstance(layer, (QuantizedLayer, Fp8QuantizedLayer)) or hasattr(layer, "preview")


def _staged(base: Cache, index: int, slots: Slots) -> StagedLayer:
    layer = base.layers[index]
    if hasattr(layer, "preview"):
        preview, append = partial(base.preview, layer_idx=index), partial(base.append, layer_idx=index)
        return AppendingStagedLayer(layer, slots, preview, append)
    if isinstance(layer, (QuantizedLayer, Fp8QuantizedLayer)):
        return AppendingStagedLayer(layer, slots, partial(_preview, layer), layer.update)
    return DenseStagedLayer(layer, slots)


def _preview(
    layer: QuantizedLayer | Fp8QuantizedLayer, key_states: torch.Tensor, value_states: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `update` returns, of a layer that stays as it is: it sets new attributes and changes no tensor."""
    ahead = copy.copy(layer)
    ahead.residual_length = sys.maxsize  # quantise nothing
    return ahead.update(key_states, value_states)


def _with_room(states: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    """`states` `[batch, heads, slots, head_dim]` with at least `needed` slots, of which the first `used` are kept."""
    if states.size(2) >= needed:
        return states
    batch, heads, _, head_dim = states.shape
    grown = states.new_empty(batch, heads, int(needed * GROWTH), head_dim)
    grown[:, :, :used] = states[:, :, :used]
    return grown

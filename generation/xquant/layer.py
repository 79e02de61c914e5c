"""One quantised layer of the cache, in transformers' layer contract.

The last tokens are held in full precision, older ones are packed. How many depends on the number of tokens alone
(`LayerSettings.packed_tokens`), not on how they came: in one prefill, in chunks or one by one. New tokens are attended
to in full precision, and what leaves the window is quantised after that.
"""

import copy
from functools import partial

import torch
from transformers.cache_utils import CacheLayerMixin
from transformers.utils import logging

from setaria.generation.xquant.config import LayerSettings
from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.lazy_states import LazyStates
from setaria.generation.xquant.past import QuantizedPast
from setaria.generation.xquant.quantize import GroupQuantizer
from setaria.generation.xquant.store import QuantizedStore
from setaria.generation.xquant.window import WindowedStates


logger = logging.get_logger(__name__)

# Tokens that may be taken back, where past is recorded, without having been quantised: more than anyone drafts.
ROLLBACK = 256


class XQuantLayer(CacheLayerMixin):
    """A full-attention layer whose older keys and values are quantised.

    Args:
        settings: of this layer.
        index: of this layer.
        below: the layer whose codes this one may read, updated before it in every forward; None where there is none.
        simulate: see `QuantizedStore`.
    """

    is_compileable = False
    is_croppable = True
    is_sliding = False

    def __init__(
        self, settings: LayerSettings, index: int, below: "XQuantLayer | None" = None, simulate: bool = False
    ):
        super().__init__()
        self.settings, self.index, self.below, self.simulate = settings, index, below, simulate
        self.padding: tuple[int, ...] = ()
        self.record_past = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device, self.batch_size = key_states.dtype, key_states.device, key_states.size(0)
        if self.batch_size % max(len(self.padding), 1):
            raise ValueError(f"the padding of {len(self.padding)} rows does not fit a batch of {self.batch_size}")
        # generate expands rows for beams and return sequences after the mask was read
        repeats = self.batch_size // max(len(self.padding), 1)
        padding = tuple(slots for slots in self.padding or (0,) for _ in range(repeats))
        self.key_states, self.value_states = (
            WindowedStates(self._new_store(name, states), states, padding)
            for name, states in (("key", key_states), ("value", value_states))
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, lazy: bool = False, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens and return all keys and values.

        Args:
            key_states, value_states: `[batch, kv_heads, tokens, head_dim]`.
            lazy: return `LazyStates`, which packed attention reads without dequantising them.

        Returns:
            Keys and values `[batch, kv_heads, all tokens, head_dim]`; the new ones as they were given.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._add(key_states, value_states)
        attended = self._read(lazy)
        self.quantize(held_back=ROLLBACK if self.record_past else 0)
        return attended

    def preview(
        self, key_states: torch.Tensor, value_states: torch.Tensor, lazy: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `update` would return, of a layer that stays as it is."""
        ahead = copy.copy(self)
        ahead.key_states, ahead.value_states = copy.copy(self.key_states), copy.copy(self.value_states)
        ahead._add(key_states, value_states)
        return ahead._read(lazy)

    def append(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Add tokens and quantise what leaves the window."""
        self._add(key_states, value_states)
        self.quantize()

    def quantize(self, held_back: int = 0) -> None:
        """Pack what has left the window, or would have if the last `held_back` tokens were not there."""
        for states, values in ((self.key_states, False), (self.value_states, True)):
            states.quantize(partial(self.settings.packed_tokens, values=values), held_back)

    def activate_past_recording(self) -> None:
        """Treat the last `ROLLBACK` tokens as drafts, until `XQuantCache.crop` says which of them stay."""
        self.record_past = True

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the last `-tokens_to_remove` tokens. A group of keys that is cut is dequantised into the window.

        Raises:
            ValueError: for a positive number, as transformers' layers do.
        """
        if tokens_to_remove > 0:
            raise ValueError(f"tokens_to_remove={tokens_to_remove} must be 0 or negative")
        if self.is_initialized and tokens_to_remove:
            slots = max(self.get_seq_length() + tokens_to_remove, 0)
            self.key_states.crop(slots)
            self.value_states.crop(slots)

    def max_draft_tokens(self, input_length: int) -> int:
        """See `XQuantCache.max_draft_tokens`."""
        padding = self.key_states.padding if self.is_initialized else self.padding or (0,)
        seen = self.get_seq_length()
        return min(
            self._steps_without_packing(seen - padded, input_length - padded, values)
            for padded in set(padding)
            for values in (False, True)
        )

    def _steps_without_packing(self, seen: int, tokens: int, values: bool) -> int:
        packed = self.settings.packed_tokens(max(seen, 0), values)
        steps = 0
        while self.settings.packed_tokens(max(tokens + steps, 0), values) <= packed:
            steps += 1
        return steps

    def get_seq_length(self) -> int:
        return self.key_states.slots if self.is_initialized else 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1

    def reset(self) -> None:
        """Empty the layer; the next batch may have another size."""
        if self.is_initialized:
            del self.key_states, self.value_states
        self.is_initialized = False
        self.padding = ()

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        self._select(beam_idx.tolist())

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self._select(torch.arange(self.batch_size)[indices.cpu()].tolist())

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._select([row for row in range(self.batch_size) for _ in range(repeats)])

    def offload(self) -> None:
        self._move("cpu")

    def prefetch(self) -> None:
        self._move(self.device)

    def _select(self, rows: list[int]) -> None:
        if self.is_initialized and rows != list(range(self.batch_size)):
            self.key_states.select(rows)
            self.value_states.select(rows)
            self.batch_size = len(rows)

    def _move(self, device: torch.device | str) -> None:
        if self.is_initialized:
            self.key_states.to(device)
            self.value_states.to(device)

    def _check(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        for name, states, held in (
            ("key_states", key_states, self.key_states.window),
            ("value_states", value_states, self.value_states.window),
        ):
            given, expected = _form(states), (*_form(held)[:-1], self.device)
            if given != expected:
                raise ValueError(
                    f"layer {self.index}: {name} with batch, heads, head_dim, dtype and device {given} do not fit "
                    f"this cache, which holds {expected}; make a new cache, or reset() it"
                )

    def _add(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self._check(key_states, value_states)
        self.key_states.append(key_states)
        self.value_states.append(value_states)

    def _read(self, lazy: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return self._lazy() if lazy else (self.key_states.read(0), self.value_states.read(0))

    def _lazy(self) -> tuple[torch.Tensor, torch.Tensor]:
        packed_slots = min(self.key_states.packed_slots, self.value_states.packed_slots)
        if not packed_slots:
            return self.key_states.read(0), self.value_states.read(0)
        past = QuantizedPast(
            keys=self.key_states.store.packed(),
            values=self.value_states.store.packed(),
            packed_slots=packed_slots,
            padding=self.key_states.padding,
            tail_keys=self.key_states.read(packed_slots),
            tail_values=self.value_states.read(packed_slots),
        )
        return LazyStates(past, past.tail_keys), LazyStates(past, past.tail_values)

    def _new_store(self, name: str, states: torch.Tensor) -> QuantizedStore:
        settings = self.settings
        bits = settings.key_bits if name == "key" else settings.value_bits
        layout = (KeyLayout if name == "key" else ValueLayout).of(bits, settings.group_size, states)
        anchor = self._anchor(name, layout, states) if getattr(settings, f"share_{name}s") else None
        quantizer = GroupQuantizer.of_layer(settings, layout, shared=anchor is not None, device=states.device)
        return QuantizedStore(layout, quantizer, settings.metadata, states, anchor, self.simulate)

    def _anchor(self, name: str, layout: KeyLayout | ValueLayout, states: torch.Tensor) -> QuantizedStore | None:
        """The store below whose codes fit, or None with a warning."""
        below = self.below
        if below is None or not below.is_initialized:
            reason = "there is none of full attention"
        else:
            held = getattr(below, f"{name}_states")
            window = ("residual_length", "window")
            if _form(held.window) != _form(states):
                reason = f"its batch, heads, head_dim, dtype and device are {_form(held.window)}, not {_form(states)}"
            elif held.store.layout != layout:
                reason = f"it has {held.store.layout}, not {layout}"
            elif any(getattr(below.settings, field) != getattr(self.settings, field) for field in window):
                reason = "its window is another one"
            else:
                return held.store
        logger.warning_once(
            f"XQuant: layer {self.index} keeps {name} codes of its own instead of reading those of the layer below: "
            f"{reason}."
        )
        return None


def _form(states: torch.Tensor) -> tuple:
    """What states of one layer have in common: batch, heads, head_dim, dtype and device."""
    return states.size(0), states.size(1), states.size(3), states.dtype, states.device

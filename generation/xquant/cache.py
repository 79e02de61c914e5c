"""The XQuant cache: a transformers `Cache` whose full-attention layers quantise their older keys and values."""

import torch
from transformers import PreTrainedConfig
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING, Cache, get_layer_types_and_kwargs

from setaria.generation.xquant.attention import XQUANT_ATTENTION
from setaria.generation.xquant.config import XQuantConfig
from setaria.generation.xquant.layer import XQuantLayer
from setaria.generation.xquant.memory import CacheMemory, measure


class XQuantCache(Cache):
    """A cache for `generate(past_key_values=...)` or a model's forward, inference only.

    Full-attention layers are quantised; sliding-window, chunked and linear layers stay transformers' own. A cache
    serves one batch: make another for the next, or `reset()` it.

    Args:
        config: of the model, the whole or its text part.
        quantization: bits, groups, sharing; or the name of a preset.
        attention_mask: `[batch, tokens]` of a left-padded batch, 0 at padding. With it, every row is quantised as it
            would be alone; without, padding shifts the groups of a row, and up to a group of keys mixes with padding.
        simulate: keep dequantised states in memory instead of packed codes: the same numbers, faster, no memory saved.
        offloading: keep layers on the CPU and bring each to the GPU when it is its turn.

    Raises:
        ValueError: for a model whose cache has another form.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        quantization: XQuantConfig | str | None = None,
        attention_mask: torch.Tensor | None = None,
        simulate: bool = False,
        offloading: bool = False,
    ):
        check_model(config)
        self.config = config.get_text_config(decoder=True)
        self.quantization = XQuantConfig.of(quantization)
        self.simulate = simulate
        types, arguments = get_layer_types_and_kwargs(self.config)
        layers: list = []
        for index, settings in enumerate(self.quantization.resolve(len(types))):
            if types[index] == "full_attention":
                below = layers[-1] if layers and isinstance(layers[-1], XQuantLayer) else None
                layers.append(XQuantLayer(settings, index, below, simulate))
            else:
                layers.append(DYNAMIC_LAYER_TYPE_MAPPING[types[index]](**arguments[index]))
        super().__init__(layers=layers, offloading=offloading)
        if attention_mask is not None:
            self.set_padding(attention_mask)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if layer_idx >= len(self.layers):
            raise ValueError(
                f"layer_idx={layer_idx}: this cache was made for a model with {len(self.layers)} layers; make one "
                "from the configuration of the model that uses it"
            )
        if isinstance(self.layers[layer_idx], XQuantLayer):
            kwargs["lazy"] = self._attends_packed
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)

    def preview(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `update` of a quantised layer would return, which stays as it is: for drafts that may be rejected."""
        return self.layers[layer_idx].preview(key_states, value_states, lazy=self._attends_packed)

    def append(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int) -> None:
        """Add tokens to a quantised layer that holds some already, for good."""
        self.layers[layer_idx].append(key_states, value_states)

    def crop(self, tokens_to_remove: int) -> None:
        """Remove the last `-tokens_to_remove` tokens; where past is recorded, commit the others, which may be
        quantised from then on."""
        super().crop(tokens_to_remove)
        # After all layers have been cropped: quantising overwrites codes that the layer above may still need for that.
        for layer in self.quantized_layers:
            if layer.record_past and layer.is_initialized:
                layer.quantize()

    def set_padding(self, attention_mask: torch.Tensor) -> None:
        """Tell an empty cache which slots of the next batch are left padding: `attention_mask` `[batch, tokens]`."""
        if attention_mask.dim() != 2:
            raise ValueError(f"attention_mask has shape {tuple(attention_mask.shape)}, it must be [batch, tokens]")
        if self.get_seq_length():
            raise ValueError("padding is set before the first token; reset() the cache first")
        padding = tuple(attention_mask.long().argmax(dim=1).tolist())
        for layer in self.quantized_layers:
            layer.padding = padding

    def max_draft_tokens(self, input_length: int) -> int:
        """How many draft tokens may be verified together with an input of `input_length` tokens (those in the cache
        included) so that every one sees the same quantised past as when decoded one by one."""
        settings = ("residual_length", "group_size", "window")
        by_window = {
            tuple(getattr(layer.settings, name) for name in settings): layer for layer in self.quantized_layers
        }
        return min(layer.max_draft_tokens(input_length) for layer in by_window.values())

    def memory(self) -> CacheMemory:
        """What the cache holds now."""
        return measure(self.layers)

    @property
    def _attends_packed(self) -> bool:
        return self.config._attn_implementation == XQUANT_ATTENTION and not self.simulate

    @property
    def quantized_layers(self) -> list[XQuantLayer]:
        return [layer for layer in self.layers if isinstance(layer, XQuantLayer)]


def check_model(config: PreTrainedConfig) -> None:
    """Raise `ValueError`, naming an alternative, where the cache of a model is not one of keys and values per
    layer."""
    text = config.get_text_config(decoder=True)
    name = f"XQuant does not support {config.model_type!r}"
    if config.is_encoder_decoder:
        raise ValueError(f"{name}: encoder-decoder models keep an EncoderDecoderCache. Generate without XQuant.")
    if getattr(text, "kv_lora_rank", None) is not None:
        raise ValueError(
            f"{name}: multi-head latent attention (kv_lora_rank={text.kv_lora_rank}) caches a compressed latent "
            "already. Use transformers' DynamicCache."
        )
    if getattr(text, "num_kv_shared_layers", 0) or getattr(text, "kv_sharing_modes", None):
        raise ValueError(
            f"{name}: its layers share keys and values in full precision. Use transformers' DynamicCache."
        )
    types, _ = get_layer_types_and_kwargs(text)
    if "full_attention" not in types:
        raise ValueError(
            f"{name} with layers of {', '.join(sorted(set(types)))}: only full-attention layers are quantised, and it "
            "has none. Use transformers' DynamicCache."
        )

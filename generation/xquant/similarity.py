"""How well the layers of a model share codes, and which should.

For every pair (even, odd) of full-attention layers, the odd layer's keys and values are read from the codes of the
even one, as the cache would, and compared with what else their storage could buy. Errors are sums of squares relative
to that of the group mean, which needs no codes at all: 0 is exact, and at 1 the shared codes are worth nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from setaria.generation.xquant.config import LayerSettings, XQuantConfig
from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.quantize import GroupQuantizer, dequantize


@dataclass(frozen=True)
class PairSimilarity:
    """Sharing of one odd layer's keys or values.

    layer: index of the odd layer.
    agreement, chance: share of positions where both layers' own codes are equal, and what independent ones would give.
    own_error: relative squared error with codes of its own.
    shared_error: with the codes of the layer below and a least-squares scale and zero.
    minmax_error: with those codes and its own range, moved inwards by eta (the paper's).
    """

    layer: int
    states: Literal["keys", "values"]
    agreement: float
    chance: float
    own_error: float
    shared_error: float
    minmax_error: float


@torch.no_grad()
def similarity_report(
    model: PreTrainedModel, inputs: Mapping[str, Any], config: XQuantConfig | str | None = None
) -> list[PairSimilarity]:
    """Measure every pair on one forward.

    Args:
        inputs: of the model's forward, such as a tokenizer returns; without padding, at least `group_size` tokens.
        config: bits, group size and calibration; or the name of a preset.

    Raises:
        ValueError: if the inputs have fewer tokens than a group.
    """
    cache = DynamicCache(config=model.config)
    model(**inputs, past_key_values=cache, use_cache=True)
    settings = XQuantConfig.of(config).resolve(len(cache.layers))
    if cache.get_seq_length() < (longest := max(layer.group_size for layer in settings)):
        raise ValueError(f"the inputs have {cache.get_seq_length()} tokens, fewer than group_size={longest}")
    report = []
    for odd in range(1, len(cache.layers), 2):
        below, own = cache.layers[odd - 1], cache.layers[odd]
        if _form(below) != _form(own):
            continue
        report.append(_compare(odd, "keys", below.keys, own.keys, settings[odd]))
        report.append(_compare(odd, "values", below.values, own.values, settings[odd]))
    return report


def auto_share(config: XQuantConfig, report: list[PairSimilarity], max_error: float = 0.5) -> XQuantConfig:
    """`config` with codes shared where, and only where, `shared_error` is at most `max_error`.

    The default is our choice: 0.5 is what 1 bit per element of its own, at the same storage, keeps for Gaussian
    states.
    """
    layers: dict[int, dict[str, Any]] = {index: dict(override) for index, override in config.layers.items()}
    for pair in report:
        share = pair.shared_error <= max_error
        layers.setdefault(pair.layer, {})[f"share_{pair.states}"] = share
    return replace(config, k_share_from=None, v_share_from=None, layers=layers)


def _form(layer: Any) -> tuple:
    keys = getattr(layer, "keys", None)
    return (type(layer), None if keys is None else (keys.shape[1:], keys.dtype, keys.device))


def _compare(
    odd: int, states: Literal["keys", "values"], below: torch.Tensor, own: torch.Tensor, settings: LayerSettings
) -> PairSimilarity:
    bits, kind = (settings.key_bits, KeyLayout) if states == "keys" else (settings.value_bits, ValueLayout)
    layout = kind.of(bits, settings.group_size, own)
    tokens = own.size(2) // layout.step * layout.step
    x, other = (layout.group(part[:, :, :tokens].float()) for part in (own, below))

    def quantizer(shared: bool, **overrides) -> GroupQuantizer:
        return GroupQuantizer.of_layer(replace(settings, **overrides), layout, shared, own.device)

    def error(fit: GroupQuantizer, codes: torch.Tensor) -> float:
        scale = fit.scale(x, codes)
        read = dequantize(codes, scale, fit.zero(x, codes, scale))
        return (squares(x - read) / squares(x - mean)).item()

    def squares(difference: torch.Tensor) -> torch.Tensor:
        return layout.ungroup(difference).square().sum()

    own_fit = quantizer(shared=False)
    shared_fit = quantizer(shared=True, refit="least_squares")
    minmax_fit = quantizer(shared=True, refit="own_minmax", calibration="eta")
    mean_fit = quantizer(shared=True, refit="zero_bit_mean")
    own_codes, codes = own_fit.codes(x), own_fit.codes(other)
    mean = mean_fit.zero(x, codes, torch.zeros(()))
    frequencies = [layout.ungroup(part).flatten().bincount(minlength=2**bits).double() for part in (own_codes, codes)]
    shares = [frequency / frequency.sum() for frequency in frequencies]
    return PairSimilarity(
        layer=odd,
        states=states,
        agreement=(layout.ungroup(own_codes) == layout.ungroup(codes)).double().mean().item(),
        chance=(shares[0] * shares[1]).sum().item(),
        own_error=error(own_fit, own_codes),
        shared_error=error(shared_fit, codes),
        minmax_error=error(minmax_fit, codes),
    )

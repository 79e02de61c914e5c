"""Configuration of the XQuant cache (Yang et al., EMNLP 2025): bits, groups, window, calibration, sharing."""

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args


Bits = Literal[1, 2, 4, 8]
GroupSize = Literal[16, 32, 64, 128]
Calibration = Literal["none", "eta", "least_squares"]
Refit = Literal["own_minmax", "least_squares", "zero_bit_mean"]
Metadata = Literal["float16", "float32", "int8"]
Window = Literal["sliding", "paper"]

# One value per bit width, for keys and values alike. 1/3 and 0.045 are of the released grids {0, 1/6, 1/3} and
# {0, 0.045, 0.09}; the paper's choice per model is not published.
PAPER_ETA = {1: 1 / 3, 2: 0.045}


@dataclass(frozen=True)
class QuantizationSettings:
    """What a model and a layer have in common; see [`XQuantConfig`]."""

    key_bits: Bits = 2
    value_bits: Bits = 2
    group_size: GroupSize = 32
    residual_length: int = 128
    window: Window = "sliding"
    calibration: Calibration = "least_squares"
    eta: dict[int, float] = field(default_factory=PAPER_ETA.copy)
    refit: Refit = "least_squares"
    metadata: Metadata = "float16"

    def __post_init__(self):
        for name, allowed in (
            ("key_bits", Bits),
            ("value_bits", Bits),
            ("group_size", GroupSize),
            ("window", Window),
            ("calibration", Calibration),
            ("refit", Refit),
            ("metadata", Metadata),
        ):
            _check_choice(name, getattr(self, name), get_args(allowed))
        length = self.residual_length
        if not isinstance(length, int) or length <= 0 or length % self.group_size:
            raise ValueError(
                f"residual_length={length!r} must be a positive multiple of group_size={self.group_size}, so that "
                "whole groups of keys leave the window"
            )
        if not isinstance(self.eta, dict) or not set(self.eta) <= set(get_args(Bits)):
            raise ValueError(f"eta={self.eta!r} must map bit widths, of {get_args(Bits)}, to numbers")
        for bits, eta in self.eta.items():
            if not isinstance(eta, (int, float)) or not 0 <= eta < 0.5:
                raise ValueError(f"eta[{bits}]={eta!r} must be at least 0 and below 0.5")

    def packed_tokens(self, tokens: int, values: bool) -> int:
        """How many of a row's first `tokens` tokens are quantised: the rule of the full-precision window.

        `sliding` keeps the last `residual_length` tokens of keys and values, plus a group that is not yet full.
        `paper` empties the window of the keys whenever it holds `residual_length` tokens, and slides that of the
        values token by token.
        """
        if self.window == "sliding":
            return max(tokens - self.residual_length, 0) // self.group_size * self.group_size
        if values:
            return max(tokens - self.residual_length, 0)
        return tokens // self.residual_length * self.residual_length


@dataclass(frozen=True)
class LayerSettings(QuantizationSettings):
    """Settings of one layer; `share_keys` and `share_values` say whether it reads the codes of the layer below."""

    share_keys: bool = False
    share_values: bool = False

    def __post_init__(self):
        super().__post_init__()
        for name in ("share_keys", "share_values"):
            _check_choice(name, getattr(self, name), (False, True))


@dataclass(frozen=True)
class XQuantConfig(QuantizationSettings):
    r"""Configuration of [`XQuantCache`].

    Parameters:
        key_bits, value_bits (`int`, *optional*, defaults to 2):
            Bits per code: 1, 2, 4 or 8.
        group_size (`int`, *optional*, defaults to 32):
            Elements that share a scale and a zero: consecutive tokens of one channel for keys, consecutive channels of
            one token for values. 16, 32, 64 or 128; the last group of a head may be shorter.
        residual_length (`int`, *optional*, defaults to 128):
            Last tokens kept in full precision; a multiple of `group_size`.
        window (`str`, *optional*, defaults to `"sliding"`):
            When tokens leave that window. `sliding` (ours): group by group, never fewer than `residual_length` stay.
            `paper`: all keys at once when the window is full, values one by one.
        calibration (`str`, *optional*, defaults to `"least_squares"`):
            What follows min-max quantisation, at the same storage. `eta` is the paper's: the ends of the range move
            inwards by eta times the range. `least_squares` (ours) fits scale and zero to the elements, given the
            codes.
        eta (`dict[int, float]`, *optional*):
            eta per bit width, below 0.5; widths that are not named have 0.
        k_share_from, v_share_from (`int` or `float`, *optional*):
            Odd layers from this one on store no key (value) codes and read those of the layer below, with a scale and
            a zero of their own. A float is a share of the model's layers, rounded to the nearest pair.
        refit (`str`, *optional*, defaults to `"least_squares"`):
            Scale and zero of such a layer: `own_minmax` (the paper's: its own range), `least_squares` on the codes it
            reads (ours), or `zero_bit_mean`, the group's mean, a control that uses no codes.
        metadata (`str`, *optional*, defaults to `"float16"`):
            Storage of scales and zeros. float16 becomes float32 by itself where values are beyond its range.
            `int8` quantises them once more, over the heads and channels of a token or group of tokens.
        layers (`dict[int, dict]`, *optional*):
            Overrides per layer, by index (negative from the end): any field of [`LayerSettings`].
    """

    k_share_from: int | float | None = None
    v_share_from: int | float | None = None
    layers: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        for name in ("k_share_from", "v_share_from"):
            start = getattr(self, name)
            is_layer = isinstance(start, int) and not isinstance(start, bool) and start >= 0
            is_share = isinstance(start, float) and 0 <= start <= 1
            if start is not None and not is_layer and not is_share:
                raise ValueError(
                    f"{name}={start!r} must be a layer index of at least 0, a float share of the layers between 0 and "
                    "1, or None"
                )
        names = [setting.name for setting in fields(LayerSettings)]
        if not isinstance(self.layers, dict):
            raise ValueError(f"layers={self.layers!r} must map layer indices to settings")
        for index, override in self.layers.items():
            if not isinstance(index, int) or not isinstance(override, dict):
                raise ValueError(f"layers={{{index!r}: {override!r}}} must map a layer index to a dict of settings")
            for name in override:
                _check_choice(f"layers[{index}] has a setting", name, names)
            try:
                replace(self._common_settings(), **override)
            except ValueError as error:
                raise ValueError(f"layers[{index}]: {error}") from None

    @classmethod
    def preset(cls, name: str, **overrides) -> "XQuantConfig":
        """A named configuration, see `PRESETS`; `overrides` are fields of this class."""
        _check_choice("preset", name, list(PRESETS))
        return cls(**{**PRESETS[name], **overrides})

    @classmethod
    def of(cls, config: "XQuantConfig | str | None") -> "XQuantConfig":
        """A configuration as users give it: itself, the name of a preset, or None for the defaults."""
        if isinstance(config, str):
            return cls.preset(config)
        return cls() if config is None else config

    def resolve(self, num_layers: int) -> tuple[LayerSettings, ...]:
        """Settings of each of `num_layers` layers.

        Raises:
            ValueError: if `layers` names a layer that the model does not have, or lets an even one share.
        """
        common = self._common_settings()
        overrides: dict[int, dict[str, Any]] = {}
        for index, override in self.layers.items():
            if not -num_layers <= index < num_layers:
                raise ValueError(f"layers names layer {index}, the model has {num_layers} layers")
            if index % num_layers % 2 == 0 and (override.get("share_keys") or override.get("share_values")):
                raise ValueError(f"layers[{index}] shares codes; only odd layers read those of the layer below")
            overrides.setdefault(index % num_layers, {}).update(override)
        key_start, value_start = (_first_shared(start, num_layers) for start in (self.k_share_from, self.v_share_from))
        return tuple(
            replace(
                common,
                **{
                    "share_keys": index % 2 == 1 and index >= key_start,
                    "share_values": index % 2 == 1 and index >= value_start,
                    **overrides.get(index, {}),
                },
            )
            for index in range(num_layers)
        )

    def equivalent_bits(self, num_layers: int) -> float:
        """Bits per element as the paper counts them: codes only, neither metadata nor the window; a layer that reads
        another's codes counts 0."""
        settings = self.resolve(num_layers)
        keys = sum(layer.key_bits for layer in settings if not layer.share_keys)
        values = sum(layer.value_bits for layer in settings if not layer.share_values)
        return (keys + values) / (2 * num_layers)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _common_settings(self) -> LayerSettings:
        return LayerSettings(**{setting.name: getattr(self, setting.name) for setting in fields(QuantizationSettings)})


def _first_shared(start: int | float | None, num_layers: int) -> int:
    if start is None:
        return num_layers
    return 2 * round(start * num_layers / 2) if isinstance(start, float) else start


def _check_choice(name: str, value: Any, allowed) -> None:
    if any(value == choice and type(value) is type(choice) for choice in allowed):
        return
    near = difflib.get_close_matches(str(value), [str(choice) for choice in allowed], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}{hint}")


_PAPER: dict[str, Any] = {"window": "paper", "refit": "own_minmax"}
_KIVI: dict[str, Any] = {**_PAPER, "calibration": "none"}
_XQUANT: dict[str, Any] = {**_PAPER, "calibration": "eta", "value_bits": 1}

PRESETS: dict[str, dict[str, Any]] = {
    "kivi-4": {**_KIVI, "key_bits": 4, "value_bits": 4},
    "kivi-2": _KIVI,
    "asymkv-1.5": {**_KIVI, "value_bits": 1},
    "xquant-1.4": {**_XQUANT, "v_share_from": 20 / 32},
    "xquant-1.38": {**_XQUANT, "v_share_from": 16 / 32},
    "xquant-1.16": {**_XQUANT, "k_share_from": 16 / 32, "v_share_from": 20 / 32},
    "safe": {"key_bits": 4, "value_bits": 4},
}
"""Named configurations. The paper reports bits and thresholds nowhere together: of the thresholds that give 1.40625,
1.375 and 1.15625 bits on 32 layers, ours share values first. `safe` is what we measured to be nearly lossless."""

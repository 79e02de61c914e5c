import pytest

from setaria.generation import XQuantConfig
from setaria.generation.xquant import PRESETS


# L = 32; equivalent bits = sum of code bits over keys and values of all layers / 64, sharing layers count 0.
@pytest.mark.parametrize(
    ("config", "bits"),
    [
        (XQuantConfig.preset("kivi-4"), 4.0),
        (XQuantConfig.preset("kivi-2"), 2.0),  # 32 * (2 + 2) / 64
        (XQuantConfig.preset("asymkv-1.5"), 1.5),  # 32 * (2 + 1) / 64
        (XQuantConfig.preset("xquant-1.4"), 1.40625),  # values of 6 layers share: (96 - 6) / 64
        (XQuantConfig.preset("xquant-1.38"), 1.375),  # of 8: 88 / 64
        (XQuantConfig.preset("xquant-1.16"), 1.15625),  # keys of 8, values of 6: (96 - 2 * 8 - 6) / 64
        (XQuantConfig(value_bits=1, k_share_from=24), 1.375),  # keys of 4: (96 - 2 * 4) / 64
        (XQuantConfig(value_bits=1, k_share_from=26, v_share_from=0), 1.15625),  # keys of 3, values of 16: 74 / 64
    ],
)
def test_equivalent_bits_of_32_layers(config, bits):
    assert config.equivalent_bits(32) == bits


def test_only_odd_layers_share():
    resolved = XQuantConfig(k_share_from=3, v_share_from=0.5).resolve(8)
    assert [layer.share_keys for layer in resolved] == [False, False, False, True, False, True, False, True]
    assert [layer.share_values for layer in resolved] == [False] * 5 + [True, False, True]


def test_a_share_of_the_layers_is_rounded_to_pairs():
    assert [layer.share_values for layer in XQuantConfig(v_share_from=0.5).resolve(5)] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_overrides_per_layer():
    config = XQuantConfig(layers={0: {"key_bits": 8}, -1: {"key_bits": 4, "share_values": True}})
    resolved = config.resolve(4)
    assert [layer.key_bits for layer in resolved] == [8, 2, 2, 4]
    assert resolved[3].share_values and not resolved[1].share_values


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"key_bits": 3}, r"key_bits=3 is not one of 1, 2, 4, 8"),
        ({"value_bits": True}, r"value_bits=True is not one of 1, 2, 4, 8"),
        ({"group_size": 48}, r"group_size=48 is not one of 16, 32, 64, 128"),
        ({"residual_length": 100}, r"residual_length=100 must be a positive multiple of group_size=32"),
        ({"residual_length": 0}, r"residual_length=0 must be a positive multiple"),
        ({"calibration": "least_square"}, r"calibration='least_square' .* \(did you mean 'least_squares'\?\)"),
        ({"refit": "minmax"}, r"refit='minmax' is not one of 'own_minmax'"),
        ({"metadata": "float8"}, r"metadata='float8' is not one of 'float16', 'float32', 'int8'"),
        ({"window": "slide"}, r"did you mean 'sliding'"),
        ({"eta": {2: 0.5}}, r"eta\[2\]=0.5 must be at least 0 and below 0.5"),
        ({"eta": {3: 0.1}}, r"eta=.* must map bit widths"),
        ({"k_share_from": -1}, r"k_share_from=-1 must be a layer index"),
        ({"v_share_from": 1.5}, r"v_share_from=1.5 must be .* between 0 and 1"),
        ({"layers": {2: {"key_bit": 1}}}, r"layers\[2\] has a setting='key_bit' .*did you mean 'key_bits'"),
        ({"layers": {2: {"key_bits": 5}}}, r"layers\[2\]: key_bits=5 is not one of"),
        ({"layers": [1]}, r"layers=\[1\] must map layer indices"),
    ],
)
def test_bad_settings_are_named_with_what_is_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        XQuantConfig(**settings)


def test_unknown_preset_proposes_the_nearest():
    with pytest.raises(ValueError, match=r"preset='xquant-1.3' is not one of .*did you mean 'xquant-1.38'"):
        XQuantConfig.preset("xquant-1.3")


def test_a_layer_the_model_does_not_have():
    with pytest.raises(ValueError, match="layers names layer 4, the model has 4 layers"):
        XQuantConfig(layers={4: {"key_bits": 4}}).resolve(4)


def test_an_even_layer_cannot_share():
    with pytest.raises(ValueError, match=r"layers\[2\] shares codes; only odd layers read those of the layer below"):
        XQuantConfig(layers={2: {"share_keys": True}}).resolve(4)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_round_trip(preset):
    config = XQuantConfig.preset(preset, residual_length=64)
    assert XQuantConfig(**config.to_dict()) == config


# Sliding keeps 32 tokens and the group that is not full; the paper empties the keys at 32, 64, ... and slides values.
@pytest.mark.parametrize(
    ("window", "tokens", "keys", "values"),
    [
        ("sliding", 47, 0, 0),
        ("sliding", 48, 16, 16),
        ("sliding", 64, 32, 32),
        ("paper", 31, 0, 0),
        ("paper", 32, 32, 0),
        ("paper", 33, 32, 1),
        ("paper", 64, 64, 32),
    ],
)
def test_how_many_tokens_leave_the_window(window, tokens, keys, values):
    settings = XQuantConfig(group_size=16, residual_length=32, window=window).resolve(1)[0]
    assert settings.packed_tokens(tokens, values=False) == keys
    assert settings.packed_tokens(tokens, values=True) == values

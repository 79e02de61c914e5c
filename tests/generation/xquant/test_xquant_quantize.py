"""The quantiser on numbers worked out by hand."""

import pytest
import torch

from setaria.generation.xquant.config import LayerSettings
from setaria.generation.xquant.layout import KeyLayout, ValueLayout
from setaria.generation.xquant.metadata import decode, encode
from setaria.generation.xquant.packing import pack, packed_size, unpack
from setaria.generation.xquant.quantize import GroupQuantizer, dequantize


def read(x, bits, fit, eta=0.0, codes=None, weight=None):
    quantizer = GroupQuantizer(bits, dim=-1, fit=fit, eta=eta, weight=weight)
    codes = quantizer.codes(x) if codes is None else codes
    scale = quantizer.scale(x, codes)
    return codes, dequantize(codes, scale, quantizer.zero(x, codes, scale))


def test_min_max_at_2_bits():
    # z = -1, s = (2 - -1) / 3 = 1: (x - z) / s = 0, 1.4, 2.5 (to even: 2), 3
    codes, states = read(torch.tensor([-1.0, 0.4, 1.5, 2.0]), 2, "range")
    assert codes.tolist() == [0, 1, 2, 3]
    assert states.tolist() == [-1, 0, 1, 2]


def test_eta_moves_both_ends_inwards():
    # range 0 to 8, eta 1/4: code 0 reads as 2, code 1 as 6
    codes, states = read(torch.tensor([0.0, 1.0, 7.0, 8.0]), 1, "range", eta=0.25)
    assert codes.tolist() == [0, 0, 1, 1]
    assert states.tolist() == [2, 2, 6, 6]


def test_least_squares_at_1_bit_reads_the_means():
    # codes 0, 0, 1, 1: the best value of each code is the mean of its elements
    codes, states = read(torch.tensor([0.0, 1.0, 5.0, 8.0]), 1, "least_squares")
    assert codes.tolist() == [0, 0, 1, 1]
    assert states.tolist() == [0.5, 0.5, 6.5, 6.5]


def test_least_squares_on_codes_of_another_layer_may_turn_round():
    # x falls where the codes rise: slope cov/var = -10/5 = -2, mean 3.5 = z - 2 * 1.5 -> z = 6.5
    codes = torch.tensor([0, 1, 2, 3], dtype=torch.uint8)
    _, states = read(torch.tensor([7.0, 4.0, 2.0, 1.0]), 2, "least_squares", codes=codes)
    assert states.tolist() == pytest.approx([6.5, 4.5, 2.5, 0.5])


def test_equal_codes_of_another_layer_give_the_mean():
    codes = torch.ones(4, dtype=torch.uint8)
    assert read(torch.tensor([0.0, 1.0, 5.0, 8.0]), 2, "least_squares", codes=codes)[1].tolist() == [3.5] * 4
    assert read(torch.tensor([0.0, 1.0, 5.0, 8.0]), 2, "mean", codes=codes)[1].tolist() == [3.5] * 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("fit", ["range", "least_squares"])
def test_constant_groups_are_exact(dtype, fit):
    x = torch.tensor([[-3.140625] * 32, [0.0] * 32, [1e-3] * 32, [1000.0] * 32]).to(dtype).float()
    codes, states = read(x, 2, fit)
    assert codes.eq(0).all()
    torch.testing.assert_close(states, x, rtol=1e-6, atol=0)


def test_filling_of_a_short_group_has_no_weight():
    layout = ValueLayout(bits=1, group_size=4, head_dim=6)
    x = layout.group(torch.tensor([[[[0.0, 1, 5, 8, 2, 10]]]]))
    assert x.tolist() == [[[[[0, 1, 5, 8], [2, 10, 10, 10]]]]]
    quantizer = GroupQuantizer(1, -1, "least_squares", weight=layout.weight(x.device))
    codes = torch.tensor([[[[[0, 0, 1, 1], [0, 0, 1, 1]]]]], dtype=torch.uint8)
    # second group: both elements have code 0, so that nothing but their mean 6 is known; the filling's codes do not
    # count
    scale = quantizer.scale(x, codes)
    assert scale.flatten().tolist() == [6, 0]
    assert quantizer.zero(x, codes, scale).flatten().tolist() == [0.5, 6]


def test_which_fit_a_layer_uses():
    layout = KeyLayout(bits=2, group_size=32, head_dim=8)

    def of(shared, **settings):
        quantizer = GroupQuantizer.of_layer(LayerSettings(**settings), layout, shared, torch.device("cpu"))
        return quantizer.fit, quantizer.eta

    assert of(False, calibration="none") == ("range", 0)
    assert of(False, calibration="eta") == ("range", 0.045)
    assert of(False, calibration="eta", eta={1: 0.3}) == ("range", 0)
    assert of(False, calibration="least_squares") == ("least_squares", 0)
    assert of(True, calibration="least_squares", refit="own_minmax") == ("range", 0)
    assert of(True, calibration="eta", refit="own_minmax") == ("range", 0.045)
    assert of(True, refit="least_squares") == ("least_squares", 0)
    assert of(True, refit="zero_bit_mean") == ("mean", 0)


def test_least_squares_is_never_worse_than_range_or_mean():
    x = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    others = GroupQuantizer(2, -1, "range").codes(x.roll(1, 0))
    for bits, codes in ((1, None), (2, None), (2, others)):
        errors = [
            (read(x, bits, fit, codes=codes)[1] - x).square().sum(-1) for fit in ("least_squares", "range", "mean")
        ]
        assert (errors[0] <= errors[1] + 1e-4).all()
        assert (errors[0] <= errors[2] + 1e-4).all()


def test_bytes_hold_planes():
    # 8 codes of 2 bits in 2 bytes: byte w holds codes w, w + 2, w + 4, w + 6, lowest bits first
    packed = pack(torch.tensor([1, 2, 3, 0, 0, 1, 2, 3], dtype=torch.uint8), bits=2, dim=-1)
    assert packed.tolist() == [1 + 3 * 4 + 0 * 16 + 2 * 64, 2 + 0 * 4 + 1 * 16 + 3 * 64]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [8, 16, 80, 20, 3])
@pytest.mark.parametrize("dim", [-1, -2])
def test_packing_round_trips(bits, size, dim):
    shape = (2, 5, size) if dim == -1 else (2, size, 5)
    codes = torch.randint(0, 2**bits, shape, dtype=torch.uint8)
    packed = pack(codes, bits, dim)
    assert packed.size(dim) == packed_size(size, bits)
    assert torch.equal(unpack(packed, bits, dim, size, torch.uint8), codes)


def test_metadata_of_8_bits():
    # a row from 0 to 25.5 has steps of 0.1: 0.26 is stored as 0.3
    x = torch.tensor(
        [
            [
                [[0.0, 25.5]],
            ],
            [[[0.26, -1.0]]],
        ]
    ).permute(1, 0, 2, 3)  # one batch, two heads
    kept = encode(x, "int8")
    assert [part.dtype for part in kept] == [torch.uint8, torch.float32]
    # low = -1, step = 26.5 / 255; |error| <= step / 2
    assert (decode(kept) - x).abs().max() <= 26.5 / 255 / 2 + 1e-6
    assert encode(torch.zeros(1, 1, 1, 4), "int8")[0].eq(0).all()


def test_metadata_beyond_float16_is_float32():
    assert encode(torch.full((1, 1, 1, 1), 65504.0), "float16")[0].dtype == torch.float16
    assert encode(torch.full((1, 1, 1, 1), -70000.0), "float16")[0].dtype == torch.float32

"""A layer against the token-by-token reference: fixed cases and random sequences of operations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from xquant_reference import ReferenceSide

from setaria.generation.xquant.config import XQuantConfig
from setaria.generation.xquant.layer import XQuantLayer


HEADS, HEAD_DIM = 2, 24  # the second group of a head has 8 channels


class Twin:
    """Two paired layers, packed and simulated, and the reference of both, fed alike."""

    def __init__(self, config: XQuantConfig, padding=(0,), head_dim=HEAD_DIM, dtype=torch.float32, seed=0):
        self.padding, self.head_dim, self.dtype = list(padding), head_dim, dtype
        self.random = torch.Generator().manual_seed(seed)
        self.slots = 0
        self.settings = config.resolve(2)
        # Min-max is the same float32 operations here and there; sums may be taken in another order.
        self.tolerance = 1e-5 if "least_squares" in (config.calibration, config.refit) else 0
        self.systems = [self._layers(simulate) for simulate in (False, True)]
        self.references = []
        for index, layer in enumerate(self.settings):
            below = self.references[-1] if index else (None, None)
            shares = (layer.share_keys, layer.share_values)
            self.references.append(
                tuple(
                    ReferenceSide(layer, values, len(padding), below[values] if shares[values] else None)
                    for values in (False, True)
                )
            )

    def _layers(self, simulate):
        layers = []
        for index, settings_ in enumerate(self.settings):
            layers.append(XQuantLayer(settings_, index, layers[-1] if layers else None, simulate))
            layers[-1].padding = tuple(self.padding)
        return layers

    def check_update(self, tokens: int) -> None:
        """Add tokens to all three and compare what is read."""
        shape = (2, 2, len(self.padding), HEADS, tokens, self.head_dim)
        states = torch.randn(shape, generator=self.random).to(self.dtype)
        for index, (keys, values) in enumerate(states):
            returned = [layers[index].update(keys, values) for layers in self.systems]
            for side, reference in enumerate(self.references[index]):
                new = (keys, values)[side].float().numpy()
                for row, padding in enumerate(self.padding):
                    for token in range(max(padding - self.slots, 0), tokens):
                        reference.append(row, new[row, :, token])
                packed, simulated = returned[0][side], returned[1][side]
                assert torch.equal(packed, simulated)
                self.compare(packed, reference)
        self.slots += tokens
        for sides in self.references:
            for reference in sides:
                reference.flush()

    def compare(self, states, reference):
        for row, padding in enumerate(self.padding):
            held = reference.rows[row]
            if held:
                expected = torch.from_numpy(np.stack(held, axis=1)).to(self.dtype)
                torch.testing.assert_close(states[row, :, padding:], expected, rtol=0, atol=self.tolerance)

    def crop(self, tokens: int) -> None:
        for layers in self.systems:
            for layer in layers:
                layer.crop(-tokens)
        self.slots = max(self.slots - tokens, 0)
        for sides in self.references:
            for reference in sides:
                for row, padding in enumerate(self.padding):
                    reference.crop_row(row, max(self.slots - padding, 0))

    def select(self, index) -> None:
        for layers in self.systems:
            for layer in layers:
                layer.reorder_cache(torch.tensor(index))
        self.padding = [self.padding[row] for row in index]
        for sides in self.references:
            for reference in sides:
                reference.select(index)


SMALL = {"residual_length": 32, "group_size": 16}
EXACT = {
    "kivi, paper window": XQuantConfig(calibration="none", refit="own_minmax", window="paper", **SMALL),
    "xquant, both shared": XQuantConfig.preset("xquant-1.4", k_share_from=0, v_share_from=0, **SMALL),
    "sliding, mixed bits": XQuantConfig(
        key_bits=8, value_bits=4, v_share_from=0, calibration="none", refit="own_minmax", **SMALL
    ),
}
CONFIGS = {
    **EXACT,
    "least squares": XQuantConfig(key_bits=1, k_share_from=0, v_share_from=0, metadata="float32", **SMALL),
    "mean": XQuantConfig(v_share_from=0, refit="zero_bit_mean", metadata="float32", **SMALL),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(
    "chunks", [(70, *[1] * 40), (40, 40, 1, 1, 7), tuple([1] * 70)], ids=["decode", "chunks", "ones"]
)
def test_reads_what_the_reference_reads(config, chunks):
    twin = Twin(config)
    for tokens in chunks:
        twin.check_update(tokens)


@pytest.mark.parametrize("head_dim", [4, 8, 20])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_heads_smaller_than_a_group_share_it(config, head_dim):
    # groups of 16: two heads of 8 fill one, two of 4 a half, of 20 each has a group of 16 and one of 4
    twin = Twin(config, padding=(0, 3), head_dim=head_dim)
    for tokens in (50, *[1] * 20):
        twin.check_update(tokens)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_padded_row_is_quantised_as_it_would_be_alone(config):
    twin = Twin(config, padding=(0, 5, 37, 60))
    for tokens in (50, 20, *[1] * 40):
        twin.check_update(tokens)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("removed", [1, 15, 16, 17, 31, 33, 64, 80])
def test_crop_anywhere_around_a_flush(config, removed):
    for length in (63, 64, 80):
        twin = Twin(config)
        twin.check_update(length)
        twin.crop(removed)
        for _ in range(18):
            twin.check_update(1)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.integers(1, 40)),
        st.tuples(st.just("step"), st.integers(1, 12)),
        st.tuples(st.just("crop"), st.integers(0, 50)),
        st.tuples(st.just("select"), st.lists(st.integers(0, 2), min_size=3, max_size=3)),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=200)
@given(
    config=st.sampled_from(list(EXACT.values())),
    padding=st.sampled_from([(0, 0, 0), (0, 3, 40)]),
    operations=operations,
    seed=st.integers(0, 2**31),
)
def test_random_operations(config, padding, operations, seed):
    twin = Twin(config, padding, seed=seed)
    twin.check_update(45)
    for name, argument in operations:
        if name == "step":
            for _ in range(argument):
                twin.check_update(1)
        elif name == "crop":
            twin.crop(min(argument, twin.slots - 41))  # padding stays
        elif name == "select":
            twin.select(argument)
        else:
            twin.check_update(argument)
    twin.check_update(1)

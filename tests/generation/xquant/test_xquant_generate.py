"""Generation through a quantised cache, in every way `generate` has, against plain forwards through a simple cache."""

import copy

import pytest
import torch
from tiny_families import FAMILIES, tiny, tiny_qwen3_vl, tokens
from transformers.cache_utils import Cache

from setaria.generation import XQuantCache, XQuantConfig, xquant
from setaria.generation.xquant import PRESETS


SMALL = {"residual_length": 16, "group_size": 16}
SHARING = XQuantConfig(value_bits=1, k_share_from=2, v_share_from=0, **SMALL)
GREEDY = {"max_new_tokens": 40, "do_sample": False}


def by_hand(model, input_ids, config, new_tokens, **cache_settings):
    """Greedy decoding written out: one prefill, then one token per forward, through a simulated cache."""
    cache = XQuantCache(model.config, config, simulate=True, **cache_settings)
    with torch.no_grad():
        logits = model(input_ids, past_key_values=cache).logits[:, -1:]
        for _ in range(new_tokens - 1):
            token = logits.argmax(-1)
            input_ids = torch.cat((input_ids, token), dim=1)
            logits = model(token, past_key_values=cache).logits
    return torch.cat((input_ids, logits.argmax(-1)), dim=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_generate_packed_what_they_generate_by_hand(family):
    model = tiny(family)
    ids = tokens(2, 37)
    with xquant(model, SHARING) as hook:
        generated = model.generate(ids, **GREEDY)
        memory = hook.cache.memory()
    assert memory.codes > 0
    assert torch.equal(generated, by_hand(model, ids, SHARING, 40))


def test_qwen3_vl_on_text():
    model = tiny_qwen3_vl()
    ids = tokens(2, 37)
    cache = XQuantCache(model.config, SHARING, simulate=True)
    expected = model.generate(ids, past_key_values=cache, **GREEDY)
    with xquant(model, SHARING) as hook:
        assert torch.equal(model.generate(ids, **GREEDY), expected)
        assert hook.cache.memory().codes > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models(dtype):
    model = tiny("llama").to(dtype)
    ids = tokens(2, 50)
    direct = model.generate(ids, past_key_values=XQuantCache(model.config, SHARING), **GREEDY)
    assert torch.equal(direct, by_hand(model, ids, SHARING, 40))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_generate_packed_what_they_generate_by_hand(preset):
    model = tiny("llama")
    ids = tokens(2, 50)
    config = XQuantConfig.preset(preset, **SMALL)
    direct = model.generate(ids, past_key_values=XQuantCache(model.config, config), **GREEDY)
    assert torch.equal(direct, by_hand(model, ids, config, 40))
    with xquant(model, config):
        assert torch.equal(model.generate(ids, **GREEDY), direct)


def test_quantisation_is_not_vacuous():
    model = tiny("llama")
    ids = tokens(2, 50)
    assert not torch.equal(model.generate(ids, **GREEDY), by_hand(model, ids, SHARING, 40))


def test_sampling_with_a_seed():
    model = tiny("qwen2")
    ids = tokens(2, 37)
    outputs = []
    for simulate in (False, True):
        torch.manual_seed(3)
        cache = XQuantCache(model.config, SHARING, simulate=simulate)
        outputs.append(
            model.generate(ids, past_key_values=cache, max_new_tokens=40, do_sample=True, num_return_sequences=3)
        )
    assert outputs[0].shape == (6, 77)
    assert torch.equal(*outputs)
    assert len(outputs[0].unique(dim=0)) == 6


class CachePerRow(Cache):
    """One cache of batch size 1 per row; reordering copies whole caches, so that no beam can see another's."""

    def __init__(self, make, rows: int):
        self.rows = [make() for _ in range(rows)]

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        parts = [
            row.update(key_states[index : index + 1], value_states[index : index + 1], layer_idx)
            for index, row in enumerate(self.rows)
        ]
        return tuple(torch.cat(side) for side in zip(*parts, strict=True))

    def reorder_cache(self, beam_idx):
        self.rows = [copy.deepcopy(self.rows[row]) for row in beam_idx.tolist()]

    def __getattr__(self, name):
        return getattr(self.__dict__["rows"][0], name)

    get_seq_length = property(lambda self: self.rows[0].get_seq_length)
    get_mask_sizes = property(lambda self: self.rows[0].get_mask_sizes)
    get_query_offset = property(lambda self: self.rows[0].get_query_offset)
    is_sliding = property(lambda self: self.rows[0].is_sliding)
    is_linear = property(lambda self: self.rows[0].is_linear)
    is_dummy = property(lambda self: self.rows[0].is_dummy)
    is_compileable = property(lambda self: False)


@pytest.mark.parametrize("seed", range(3))
def test_beams_are_those_of_a_cache_per_beam(seed):
    model = tiny("llama")
    ids = tokens(2, 37, seed)
    settings = {**GREEDY, "num_beams": 3, "num_return_sequences": 2}
    separate = CachePerRow(lambda: XQuantCache(model.config, SHARING), rows=6)
    expected = model.generate(ids, past_key_values=separate, **settings)
    with xquant(model, SHARING):
        assert torch.equal(model.generate(ids, **settings), expected)
    assert not torch.equal(model.generate(ids, **settings), expected)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3"])
@pytest.mark.parametrize("window", ["paper", "sliding"])
def test_a_left_padded_row_is_its_unpadded_run(family, window):
    model = tiny(family)
    config = XQuantConfig(value_bits=1, v_share_from=0, window=window, **SMALL)
    lengths = (61, 37, 20, 5)
    rows = [tokens(1, length, seed) for seed, length in enumerate(lengths)]
    padded = torch.cat([torch.nn.functional.pad(row, (61 - row.size(1), 0)) for row in rows])
    with xquant(model, config):
        together = model.generate(padded, attention_mask=(padded > 0).long(), **GREEDY)
        for row, output in zip(rows, together, strict=True):
            alone = model.generate(row, **GREEDY)[0, row.size(1) :]
            assert torch.equal(output[61:], alone)


def test_chunked_prefill_is_the_same_as_chunks_by_hand():
    model = tiny("llama")
    ids = tokens(2, 75)
    cache = XQuantCache(model.config, SHARING, simulate=True)
    with torch.no_grad():
        for chunk in ids.split(20, dim=1):
            logits = model(chunk, past_key_values=cache).logits[:, -1:]
        for _ in range(39):
            ids = torch.cat((ids, logits.argmax(-1)), dim=1)
            logits = model(ids[:, -1:], past_key_values=cache).logits
    expected = torch.cat((ids, logits.argmax(-1)), dim=1)
    with xquant(model, SHARING):
        assert torch.equal(model.generate(ids[:, :75], prefill_chunk_size=20, **GREEDY), expected)


def test_a_second_turn_continues_the_cache():
    model = tiny("llama")
    cache = XQuantCache(model.config, SHARING)
    first = model.generate(tokens(1, 30), past_key_values=cache, **GREEDY)
    turn = torch.cat((first, tokens(1, 21, seed=1)), dim=1)
    second = model.generate(turn, past_key_values=cache, **GREEDY)
    by_turns = XQuantCache(model.config, SHARING, simulate=True)
    with torch.no_grad():
        model(first[:, :30], past_key_values=by_turns)
        for index in range(30, 69):
            model(first[:, index : index + 1], past_key_values=by_turns)
        logits = model(turn[:, 69:], past_key_values=by_turns).logits[:, -1:]
        for _ in range(40):
            assert second[0, turn.size(1)] == logits.argmax()
            turn = torch.cat((turn, logits.argmax(-1)), dim=1)
            logits = model(turn[:, -1:], past_key_values=by_turns).logits
    assert torch.equal(second, turn)


def test_reset_makes_a_new_cache():
    model = tiny("llama")
    cache = XQuantCache(model.config, SHARING)
    outputs = []
    for batch in (2, 3):
        outputs.append(model.generate(tokens(batch, 40), past_key_values=cache, **GREEDY))
        cache.reset()
        assert cache.get_seq_length() == 0
    assert cache.memory().total == 0
    assert torch.equal(outputs[1], by_hand(model, tokens(3, 40), SHARING, 40))


@pytest.fixture(scope="module")
def looping():
    """A model that repeats itself, so that its text can be drafted."""
    return tiny("llama", initializer_range=0.1)


DRAFTED = XQuantConfig(value_bits=1, key_bits=1, **SMALL)
REPETITIVE = tokens(1, 20).repeat(1, 3)


@pytest.mark.parametrize("drafter", ["lookup", "assistant"])
def test_drafts_change_nothing_but_the_number_of_forwards(looping, drafter):
    drafts = {
        "lookup": {"prompt_lookup_num_tokens": 12},
        "assistant": {"assistant_model": tiny("llama", initializer_range=0.1)},
    }[drafter]
    forwards = []
    handle = looping.register_forward_hook(lambda *_: forwards.append(1))
    with xquant(looping, DRAFTED):
        plain = looping.generate(REPETITIVE, **GREEDY)
        plain_forwards = len(forwards)
        drafted = looping.generate(REPETITIVE, **GREEDY, **drafts)
    handle.remove()
    assert torch.equal(plain, drafted)
    assert plain_forwards == 40
    assert len(forwards) - plain_forwards < 30


def test_drafts_that_cross_a_quantisation_would_change_the_text(looping):
    cache = XQuantCache(looping.config, DRAFTED)
    across = looping.generate(REPETITIVE, past_key_values=cache, prompt_lookup_num_tokens=12, **GREEDY)
    assert not torch.equal(across, by_hand(looping, REPETITIVE, DRAFTED, 40))


def test_an_assistant_may_draft_where_the_text_is_sampled(looping):
    with xquant(looping, DRAFTED):
        torch.manual_seed(0)
        output = looping.generate(
            REPETITIVE, do_sample=True, max_new_tokens=40, assistant_model=tiny("llama", initializer_range=0.1)
        )
    assert output.shape == (1, 100)


def test_a_cache_that_served_drafts_goes_on_quantising(looping):
    """Nothing tells it that drafting is over; what can no longer be taken back is packed all the same."""
    cache = XQuantCache(looping.config, DRAFTED)
    text = looping.generate(REPETITIVE, past_key_values=cache, prompt_lookup_num_tokens=3, **GREEDY)
    looping.generate(text, past_key_values=cache, max_new_tokens=350, do_sample=False)
    # 60 + 40 + 350 tokens without the last; of the 449, 16 + 256 and a part of a group of 16 are in full precision
    assert cache.layers[0].key_states.packed_slots == (449 - 16 - 256) // 16 * 16


def test_max_draft_tokens_end_before_a_token_leaves_the_window():
    cache = XQuantCache(tiny("llama").config, XQuantConfig(**SMALL))
    # residual 16, groups of 16: tokens 0-15 are packed once there are 32.
    assert cache.max_draft_tokens(20) == 12
    assert cache.max_draft_tokens(31) == 1
    assert cache.max_draft_tokens(32) == 0
    cache.set_padding(torch.tensor([[0] * 5 + [1] * 20, [1] * 25]))
    assert cache.max_draft_tokens(25) == 7
    # The paper's window of the values moves with every token.
    assert XQuantCache(tiny("llama").config, XQuantConfig(window="paper", **SMALL)).max_draft_tokens(17) == 0

"""Names of transformers that n-gram trie decoding relies on and transformers does not promise."""

import inspect

import pytest
from transformers import GenerationConfig, GenerationMixin
from transformers.cache_utils import (
    Cache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)
from transformers.generation import logits_process
from transformers.generation.candidate_generator import CandidateGenerator
from transformers.generation.utils import MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (
            GenerationMixin,
            "_prefill",
            ["self", "input_ids", "generation_config", "model_kwargs", "is_first_iteration"],
        ),
        (GenerationMixin, "_get_stopping_criteria", ["self", "generation_config", "stopping_criteria", "tokenizer"]),
        (GenerationMixin, "_has_unfinished_sequences", ["self", "this_peer_finished", "synced_gpus", "device"]),
        (GenerationMixin, "_optimize_model_for_decode", ["self"]),
        (CandidateGenerator, "update_candidate_strategy", ["self", "input_ids", "scores", "num_matches"]),
        (DynamicLayer, "update", ["self", "key_states", "value_states", "args", "kwargs"]),
    ],
)
def test_what_is_called_or_overridden_has_the_signature_we_use(owner, name, parameters):
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters, f"transformers changed {name}"


def test_assisted_decoding_takes_what_is_handed_to_it():
    parameters = set(inspect.signature(GenerationMixin._assisted_decoding).parameters)
    assert {"input_ids", "logits_processor", "stopping_criteria", "generation_config"} <= parameters
    assert {"synced_gpus", "streamer", "inputs_tensor", "model_kwargs"} <= parameters
    source = inspect.getsource(GenerationMixin._assisted_decoding)
    assert "self._get_candidate_generator(" in source
    assert "candidate_generator.update_candidate_strategy(input_ids, new_logits, n_matches)" in source
    assert source.count("streamer.put(valid_tokens.cpu())") == 1


def test_generate_gives_a_custom_method_what_it_names():
    source = inspect.getsource(GenerationMixin.generate)
    for handed_on in ("logits_processor=", "stopping_criteria=", "generation_config=", "**model_kwargs"):
        assert handed_on in source[source.index("result = decoding_method(") :]
    assert 'generation_mode_kwargs["inputs_tensor"] = inputs_tensor' in source
    assert "self._get_stopping_criteria(" in source
    # what the hook brings along, since these do not arrive
    extraction = inspect.getsource(GenerationMixin._extract_generation_mode_kwargs)
    assert "is_deepspeed_zero3_enabled() or is_fsdp_managed_module(self)) and world_size > 1" in extraction


def test_attributes_that_are_read():
    layer = DynamicSlidingWindowLayer(sliding_window=4)
    assert (layer.sliding_window, layer.cumulative_length) == (4, 0)
    assert {"offloading", "layers"} <= set(vars(Cache(layers=[layer])))
    config = GenerationConfig()
    assert hasattr(config, "get_generation_mode")
    assert "pixel_values" in MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL
    prefix = logits_process.PrefixConstrainedLogitsProcessor(len, num_beams=1)
    assert prefix._prefix_allowed_tokens_fn is len
    assert "prompt_ignore_length" in inspect.signature(logits_process.RepetitionPenaltyLogitsProcessor).parameters

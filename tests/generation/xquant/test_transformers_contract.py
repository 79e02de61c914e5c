"""Names of transformers that the XQuant cache relies on and transformers does not promise: when one moves, this says
which and where."""

import inspect

import pytest
from transformers import Cache, GenerationMixin, PretrainedConfig
from transformers.cache_utils import CacheLayerMixin, get_layer_types_and_kwargs
from transformers.generation.candidate_generator import CandidateGenerator


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (
            GenerationMixin,
            "_prepare_cache_for_generation",
            ["self", "generation_config", "model_kwargs", "generation_mode", "batch_size", "max_cache_length"],
        ),
        (CandidateGenerator, "get_candidates", ["self", "input_ids", "kwargs"]),
        (Cache, "update", ["self", "key_states", "value_states", "layer_idx", "args", "kwargs"]),
        (Cache, "crop", ["self", "tokens_to_remove"]),
        (CacheLayerMixin, "update", ["self", "key_states", "value_states", "args", "kwargs"]),
        (CacheLayerMixin, "get_mask_sizes", ["self", "query_length"]),
    ],
)
def test_what_is_overridden_has_the_signature_we_override(owner, name, parameters):
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters, f"transformers changed {name}"


def test_the_hook_replaces_methods_that_generate_calls_on_the_instance():
    source = inspect.getsource(GenerationMixin)
    assert source.count("self._prepare_cache_for_generation(") == 1
    assert source.count("self._get_candidate_generator(") == 1
    assert "model_kwargs=model_kwargs" in source[source.index("self._get_candidate_generator(") :][:600]


def test_a_layer_implements_the_whole_contract():
    from setaria.generation.xquant.layer import XQuantLayer

    contract = {
        name for name, _ in inspect.getmembers(CacheLayerMixin, inspect.isfunction) if not name.startswith("_")
    }
    # what the container calls on layers that have it
    contract |= {"crop", "batch_repeat_interleave", "batch_select_indices", "activate_past_recording"}
    assert contract <= set(vars(XQuantLayer)), contract - set(vars(XQuantLayer))


def test_generation_marks_the_cache_of_an_assistant():
    assert "generation_config.is_assistant" in inspect.getsource(GenerationMixin._prepare_cache_for_generation)


def test_layer_types_come_from_the_configuration():
    assert list(inspect.signature(get_layer_types_and_kwargs).parameters) == ["config"]
    assert hasattr(PretrainedConfig, "get_text_config")

"""Every name of TRL that setaria uses and TRL does not promise: when one moves, this says which and where."""

import inspect
import re

import pytest
from trl import DPOTrainer, GRPOTrainer
from trl.kernels import chunked_logprob
from trl.models import utils as models_utils
from trl.trainer import dpo_trainer, grpo_trainer, utils

from setaria.trainers.judgment_grpo_trainer import IMAGE_INPUTS


METHODS = {
    "_prepare_dataset": ["self", "dataset", "processing_class", "args", "dataset_name"],
    "_compute_loss": ["self", "model", "inputs", "return_outputs"],
    "compute_loss": ["self", "model", "inputs", "return_outputs", "num_items_in_batch"],
}
GRPO_METHODS = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_compute_loss": ["self", "model", "inputs"],
}


@pytest.mark.parametrize("name", METHODS)
def test_overridden_methods_have_the_signature_we_override(name):
    method = getattr(DPOTrainer, name, None)
    assert method is not None, f"TRL removed DPOTrainer.{name}, which trainers/spo_trainer.py builds on"
    assert list(inspect.signature(method).parameters) == METHODS[name], f"TRL changed DPOTrainer.{name}"


@pytest.mark.parametrize("name", GRPO_METHODS)
def test_overridden_methods_of_grpo_have_the_signature_we_override(name):
    method = getattr(GRPOTrainer, name, None)
    assert method is not None, f"TRL removed GRPOTrainer.{name}, which trainers/judgment_grpo_trainer.py builds on"
    assert list(inspect.signature(method).parameters) == GRPO_METHODS[name], f"TRL changed GRPOTrainer.{name}"


@pytest.mark.parametrize(
    ("module", "name", "used_by"),
    [
        (dpo_trainer, "create_model_from_path", "trainers/spo_trainer.py"),
        (chunked_logprob, "_use_triton", "trainers/completion_logps.py"),
        (chunked_logprob, "TOKEN_CHUNK_SIZE", "trainers/completion_logps.py"),
        (utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", "trainers/completion_logps.py"),
        (utils, "add_fused_lm_head", "trainers/completion_logps.py"),
        (models_utils, "unwrap_model_for_generation", "trainers/probe_samples.py"),
        (utils, "pad", "trainers/judgment_grpo_trainer.py"),
    ],
)
def test_private_names_exist(module, name, used_by):
    assert hasattr(module, name), f"TRL moved {module.__name__}.{name}, which {used_by} uses"


def test_constructor_loads_through_the_name_we_replace():
    source = inspect.getsource(DPOTrainer.__init__)
    assert source.count("create_model_from_path(") == 2, "DPOTrainer loads other models than policy and reference"
    assert source.index("create_model_from_path(model") < source.index("create_model_from_path(ref_model_path")


def test_fused_head_reads_what_we_set():
    source = inspect.getsource(utils.add_fused_lm_head)
    for expected in (
        "_CHUNKED_LOGPROB_CHUNK_SIZE",
        "shift_labels",
        "backbone_outputs.last_hidden_state",
        '"base_model"',
    ):
        assert expected in source, f"TRL's fused LM head no longer uses {expected}; see trainers/completion_logps.py"


def test_trainer_attributes_exist():
    source = inspect.getsource(dpo_trainer)
    for name in ("_metrics", "_total_train_tokens", "_tp_size", "aux_loss_enabled", "router_aux_loss_coef"):
        assert f"self.{name} =" in source, f"TRL no longer sets DPOTrainer.{name}, used by trainers/spo_trainer.py"


def test_grpo_trainer_attributes_exist():
    source = inspect.getsource(grpo_trainer)
    for name in (
        "_is_vlm",
        "_metrics",
        "_tokenizer",
        "chat_template_kwargs",
        "environment_factories",
        "eos_token_ids",
        "max_completion_length",
        "pad_to_multiple_of",
    ):
        assert f"self.{name} =" in source, f"TRL no longer sets GRPOTrainer.{name}, see judgment_grpo_trainer.py"
    assert "self.current_gradient_accumulation_steps" in source


def test_grpo_scores_any_completion_with_the_inputs_of_images():
    method = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies)
    passed = ["model", "input_ids", "attention_mask", "logits_to_keep"]
    assert list(method.parameters)[1:5] == passed, "TRL changed GRPOTrainer._get_per_token_logps_and_entropies"
    # The loss hands over what images need, and token types; a new input would be missing beside a gold reply.
    loss = inspect.getsource(GRPOTrainer._compute_loss)
    handed = set(re.findall(r'(\w+)=inputs\.get\("\1"\)', loss)) - {"importance_sampling_ratio"}
    assert handed == {*IMAGE_INPUTS, "token_type_ids", "mm_token_type_ids"}


def test_grpo_rollouts_hold_what_we_read():
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for expected in (
        'output["num_images"] = num_images',
        'output["pixel_values"] =',
        'forward_kwargs.pop("pixel_values", None)',
        '"advantages": advantages',
        'self._metrics[mode]["reward"].append',
    ):
        assert expected in source, f"TRL's rollouts no longer have {expected}; see trainers/judgment_grpo_trainer.py"


def test_grpo_shuffles_and_splits_every_entry_of_the_rollouts():
    source = inspect.getsource(GRPOTrainer._prepare_inputs)
    steps = ("_generate_and_score_completions", "split_pixel_values_by_grid", "shuffle_sequence_dict")
    places = [source.index(f"{name}(generation_batch)") for name in steps]
    assert places == sorted(places) and "split_tensor_dict(generation_batch" in source
    assert GRPOTrainer.loss_is_scaled_for_ga is True


def test_data_preparation_reads_the_tokenizer_only():
    # datasets_builders/preference_tokens.py calls it on an object that has nothing else.
    used = set(re.findall(r"self\.(\w+)", inspect.getsource(DPOTrainer._prepare_dataset)))
    assert used == {"_tokenizer"}

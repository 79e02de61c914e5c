"""One way to train a tiny model on small preference data."""

import pytest
from preference_rows import conversational, vision

from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_llama, tiny_qwen2_vl
from setaria.trainers import SPOConfig, SPOTrainer


@pytest.fixture(scope="session")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture
def config(tmp_path):
    """SPOConfig for a CPU, three steps of four pairs, `overrides` on top."""

    def build(**overrides) -> SPOConfig:
        return SPOConfig(
            **{
                "output_dir": str(tmp_path / "run"),
                "bf16": False,
                "disable_tqdm": True,
                "learning_rate": 1e-2,
                "logging_steps": 1,
                "max_steps": 3,
                "per_device_train_batch_size": 4,
                "report_to": "none",
                "save_strategy": "no",
                "use_cpu": True,
                **overrides,
            }
        )

    return build


@pytest.fixture
def spo_trainer(tokenizer, config):
    """An SPOTrainer on a tiny Llama; `options` are SPOConfig fields."""

    def build(model=None, dataset=None, passed=None, **options) -> SPOTrainer:
        return SPOTrainer(
            model if model is not None else tiny_llama(tokenizer),
            config(**options),
            dataset if dataset is not None else conversational(),
            processing_class=tokenizer,
            **(passed or {}),
        )

    return build


@pytest.fixture
def vision_trainer(tokenizer, config):
    def build(**options) -> SPOTrainer:
        processor = image_only_processor(
            tokenizer, patch_size=4, merge_size=2, size={"shortest_edge": 256, "longest_edge": 4096}
        )
        return SPOTrainer(tiny_qwen2_vl(tokenizer), config(**options), vision(), processing_class=processor)

    return build

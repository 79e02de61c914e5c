"""A frozen model beside the trained one is loaded whole, whatever engine shards the trained one."""

import os
from types import SimpleNamespace

import pytest
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, unset_hf_deepspeed_config

from setaria.models.whole_models import FSDP_LOADING, whole_models


@pytest.fixture
def training_args():
    """What `TrainingArguments` hold after a launch with ZeRO-3."""
    accelerate = pytest.importorskip("accelerate.utils")
    pytest.importorskip("deepspeed")
    plugin = accelerate.DeepSpeedPlugin(zero_stage=3, zero3_init_flag=True)
    plugin.set_deepspeed_weakref()
    yield SimpleNamespace(deepspeed=None, deepspeed_plugin=plugin)
    unset_hf_deepspeed_config()


def test_zero3_shards_nothing_inside_and_again_after(training_args):
    assert is_deepspeed_zero3_enabled()
    with whole_models(training_args):
        assert not is_deepspeed_zero3_enabled()
    assert is_deepspeed_zero3_enabled()
    with pytest.raises(OSError), whole_models(training_args):
        raise OSError("no such checkpoint")
    assert is_deepspeed_zero3_enabled()


@pytest.mark.parametrize("before", ["true", None])
def test_fsdp_leaves_no_weights_to_rank_0_inside(monkeypatch, before):
    monkeypatch.delenv(FSDP_LOADING, raising=False)
    if before is not None:
        monkeypatch.setenv(FSDP_LOADING, before)
    with whole_models(SimpleNamespace(deepspeed=None, deepspeed_plugin=None)):
        assert FSDP_LOADING not in os.environ
    assert os.environ.get(FSDP_LOADING) == before

"""JudgmentGRPOConfig: the paper's numbers, and what cannot be configured."""

import math

import pytest

from setaria.trainers import JudgmentGRPOConfig


@pytest.fixture
def config(tmp_path):
    def build(**options) -> JudgmentGRPOConfig:
        return JudgmentGRPOConfig(str(tmp_path), bf16=False, report_to="none", use_cpu=True, **options)

    return build


def test_defaults_are_those_of_the_paper(config):
    default = config()
    assert (default.ce_coef, default.verifier_weight, default.judger_weight) == (1.0, 0.1, 0.1)
    assert default.reward_weights == [1.0, 0.1, 0.1]
    assert default.scale_rewards == "none"
    assert not default.paper_literal


def test_the_letter_of_the_paper_has_no_gold_reward(config):
    assert config(paper_literal=True).reward_weights == [0.0, 0.1, 0.1]


def test_weights_come_in_the_order_of_the_functions(config):
    assert config(gold_weight=0.5, verifier_weight=0.2, judger_weight=0.3).reward_weights == [0.5, 0.2, 0.3]


def test_other_reward_functions_have_their_own_weights(config):
    assert config(reward_weights=[1.0]).reward_weights == [1.0]
    assert config(reward_weights=[]).reward_weights == []


def test_a_resolved_configuration_can_be_read_back(config):
    resolved = config(verifier_weight=0.2, paper_literal=True)
    again = config(verifier_weight=0.2, paper_literal=True, reward_weights=resolved.reward_weights)
    assert again.reward_weights == [0.0, 0.2, 0.1]


@pytest.mark.parametrize("name", ["ce_coef", "gold_weight", "verifier_weight", "judger_weight"])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_weights_out_of_range_are_named(name, value, config):
    with pytest.raises(ValueError, match=f"{name}={value}: a weight is a finite number of at least 0"):
        config(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paper_literal": True, "ce_coef": 0.0}, "ce_coef=0 removes it: nothing to train"),
        ({"reward_weights": [1.0, 1.0, 1.0], "judger_weight": 0.2}, r"\[1.0, 1.0, 1.0\] replaces judger_weight"),
        ({"reward_weights": [1.0], "paper_literal": True}, r"reward_weights=\[1.0\] replaces paper_literal"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, "scales rewards whatever scale_rewards says"),
        ({"multi_objective_aggregation": "normalize_then_sum", "scale_rewards": False}, "set scale_rewards='batch'"),
    ],
)
def test_choices_that_do_not_go_together_are_named(options, message, config):
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_accepted_scaling(config):
    accepted = config(multi_objective_aggregation="normalize_then_sum", scale_rewards="batch")
    assert accepted.reward_weights == [1.0, 0.1, 0.1]

"""Recipe checks: each known mistake is found, and the recipes of the SimPO paper pass."""

import pytest

from setaria.recipes.spo.checks import check_recipe


GOOD = {
    "learning_rate": "5e-7",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 64,
    "dtype": "float32",
}

MISTAKES = {
    "bf16 weights": ({"dtype": "bfloat16"}, "bf16 weights", "error"),
    "bf16 by model_init_kwargs": ({"model_init_kwargs": {"dtype": "bfloat16"}}, "bf16 weights", "error"),
    "the dtype of the checkpoint": ({"dtype": "auto"}, "bf16 weights", "error"),
    "high rate": ({"learning_rate": 1e-5}, "high learning rate", "warning"),
    "small batch": ({"gradient_accumulation_steps": 8}, "small batch", "warning"),
    "beta of sums": ({"beta": 0.1}, "beta", "error"),
    "beta of means": ({"beta": 2.0, "length_normalize": False}, "beta", "error"),
    "ratio as gamma": ({"beta": 10, "gamma": 0.5}, "margin", "warning"),
    "gamma as ratio": ({"beta": 2.0, "gamma_beta_ratio": 1.6}, "margin", "warning"),
    "both margins": ({"gamma": 1.0, "gamma_beta_ratio": 0.5}, "objective", "error"),
    "unknown objective": ({"objective": "sop"}, "objective", "error"),
}


@pytest.mark.parametrize(("change", "check", "severity"), MISTAKES.values(), ids=MISTAKES)
def test_mistake(change, check, severity):
    [finding] = check_recipe(GOOD | change)
    assert (finding.check, finding.severity) == (check, severity)
    assert finding.remedy


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"beta": 2.5, "gamma_beta_ratio": 0.1},
        {"beta": 10, "gamma_beta_ratio": 0.3, "learning_rate": 1e-6},
        {"beta": 2.0, "gamma": 1.6},
        {"objective": "cpo"},
        {"objective": "repo"},
        {"objective": "dpo", "beta": 0.1},
        {"objective": "spo", "beta": 0.1, "length_normalize": False},
        {"dtype": "bfloat16", "use_peft": True, "learning_rate": 5e-6},
        {"dtype": "bfloat16", "deepspeed": "zero3.json"},
    ],
)
def test_good_recipe(change):
    assert check_recipe(GOOD | change) == []


def test_processes_count_in_the_batch():
    recipe = GOOD | {"gradient_accumulation_steps": 2}
    assert check_recipe(recipe, num_processes=8) == []
    assert check_recipe(recipe, num_processes=7)[0].message.startswith("28 pairs per step on 7 process(es)")


def test_bf16_spacing_is_named():
    [finding] = check_recipe(GOOD | {"dtype": "bfloat16"})
    assert "near 0.02 they are 0.0001 apart, so 0.02 - 5e-07 rounds back to 0.02" in finding.message


@pytest.mark.parametrize("name", ["learning_rate", "beta", "per_device_train_batch_size"])
def test_a_word_for_a_number(name):
    with pytest.raises(ValueError, match=f"{name}: 'fast' in the recipe is not a number"):
        check_recipe(GOOD | {name: "fast"})

"""What can be wrong with the numbers of an SPO recipe: steps that round away; beta, margin, rate or batch off range.

The ranges are those of SimPO's published recipes (`docs/spo.md`), for fine-tuning a pretrained model.
"""

import math
from typing import Any

from setaria.datasets_builders.findings import Finding
from setaria.trainers.objective_settings import LOWEST_BF16_LEARNING_RATE, ObjectiveSettings, resolve_objective


SETTINGS = ("beta", "gamma", "gamma_beta_ratio", "length_normalize", "sft_weight")
HIGHEST_FULL_RATE = 2e-6
SMALLEST_BATCH = 32
WEIGHT = 0.02  # a typical size of a weight
BF16_MANTISSA_BITS = 7


def check_recipe(recipe: dict, num_processes: int = 1) -> list[Finding]:
    """Findings about the mapping of a recipe's YAML; `num_processes` is how many take part in data parallelism.

    Raises:
        ValueError: a number of the recipe is none.
    """
    objective = recipe.get("objective", "spo")
    learning_rate = _number(recipe, "learning_rate", 1e-6)
    full = not recipe.get("use_peft", False)
    findings = []
    if full and learning_rate < LOWEST_BF16_LEARNING_RATE and _weights_are_bf16(recipe):
        findings.append(_rounded_away(learning_rate))
    if full and learning_rate > HIGHEST_FULL_RATE:
        findings.append(
            Finding(
                "high learning rate",
                "warning",
                f"learning_rate {learning_rate:g} for full fine-tuning; pretrained models begin to repeat themselves",
                "search 3e-7 to 1e-6, or train LoRA adapters, which take about ten times as much",
            )
        )
    batch = num_processes * _number(recipe, "per_device_train_batch_size", 8)
    batch *= _number(recipe, "gradient_accumulation_steps", 1)
    if batch < SMALLEST_BATCH:
        findings.append(
            Finding(
                "small batch",
                "warning",
                f"{batch:g} pairs per step on {num_processes} process(es); published runs use 128",
                "raise gradient_accumulation_steps, or state the number of processes with --num_processes",
            )
        )
    return findings if objective == "dpo" else findings + _check_objective(objective, recipe)


def _check_objective(objective: str, recipe: dict) -> list[Finding]:
    given = {name: recipe[name] for name in SETTINGS if recipe.get(name) is not None}
    given |= {name: _number(recipe, name) for name in given if name != "length_normalize"}
    try:
        settings = resolve_objective(objective, **given)
    except ValueError as error:
        return [Finding("objective", "error", str(error), "correct the field that is named")]
    return [*_check_beta(settings), *_check_margin(settings, given)]


def _check_beta(settings: ObjectiveSettings) -> list[Finding]:
    if settings.length_normalize and settings.beta < 0.5:
        return [
            Finding(
                "beta",
                "error",
                f"beta {settings.beta:g} with the token mean: a usual gap of .5 nats per token gives u = "
                f"{0.5 * settings.beta:.2g}, so the loss hardly tells the completions apart",
                "set beta to 2 to 10, or length_normalize: false for summed log-probabilities",
            )
        ]
    if not settings.length_normalize and settings.beta >= 1:
        return [
            Finding(
                "beta",
                "error",
                f"beta {settings.beta:g} with summed log-probabilities: a usual gap of 10 nats gives u = "
                f"{10 * settings.beta:g}, where the loss is flat",
                "set beta to about 0.1, or length_normalize: true",
            )
        ]
    return []


def _check_margin(settings: ObjectiveSettings, given: dict) -> list[Finding]:
    ratio = settings.gamma / settings.beta
    if "gamma" in given and 0 < settings.gamma < 1 and ratio < 0.1:
        return [
            Finding(
                "margin",
                "warning",
                f"gamma {settings.gamma:g} is absolute, so gamma/beta is {ratio:.2g}; published ratios are .1 to .8",
                f"if {settings.gamma:g} is a published ratio, write gamma_beta_ratio: {settings.gamma:g}",
            )
        ]
    if "gamma_beta_ratio" in given and ratio > 1:
        return [
            Finding(
                "margin",
                "warning",
                f"gamma_beta_ratio {ratio:g} makes the margin {settings.gamma:g}; published ratios are .1 to .8",
                f"if {ratio:g} is an absolute margin, write gamma: {ratio:g}",
            )
        ]
    return []


def _rounded_away(learning_rate: float) -> Finding:
    spacing = 2.0 ** (math.floor(math.log2(WEIGHT)) - BF16_MANTISSA_BITS)
    return Finding(
        "bf16 weights",
        "error",
        f"bfloat16 weights lose steps of {learning_rate:g}: near {WEIGHT} they are {spacing:.1g} apart, so {WEIGHT} - "
        f"{learning_rate:g} rounds back to {WEIGHT}",
        "set dtype: float32 and bf16: true, or use_peft: true; harmless only under DeepSpeed and FSDP2 (fp32 copies)",
    )


def _weights_are_bf16(recipe: dict) -> bool:
    """Whether the optimizer steps bfloat16 weights, as far as a recipe tells; `auto` mostly means bfloat16."""
    dtype = (recipe.get("model_init_kwargs") or {}).get("dtype", recipe.get("dtype"))
    return dtype in ("bfloat16", "auto") and not (recipe.get("deepspeed") or recipe.get("fsdp"))


def _number(recipe: dict, name: str, default: float | None = None) -> float:
    value: Any = recipe.get(name, default)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {value!r} in the recipe is not a number") from error

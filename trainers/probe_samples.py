"""Samples of the policy on probe prompts: how long they are, whether they end, and how much they repeat.

Repetitive text at great margins is what SimPO's users report first, and neither losses nor margins show it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.models.utils import unwrap_model_for_generation

from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.probes import Probes


def sample_probes(probes: Probes, config: MonitorConfig) -> dict[str, float]:
    """Sample two completions each of the first probe prompts and describe them.

    The random numbers are the same at every call and do not touch the trainer's own.
    """
    trainer: Any = probes.trainer
    device = trainer.accelerator.device
    sampling: dict[str, Any] = {"do_sample": False}
    if config.monitor_temperature > 0:
        sampling = {"do_sample": True, "temperature": config.monitor_temperature, "top_k": 0, "top_p": 1.0}
    completions = []
    with (
        torch.no_grad(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model,
    ):
        end = _end_of_text(model.generation_config.eos_token_id)
        for index in probes.share(min(config.monitor_sampled_prompts, len(probes))):
            torch.manual_seed(index)
            prompts = _prompts(probes, index)
            generated = model.generate(
                **prompts,
                **sampling,
                max_new_tokens=config.monitor_max_new_tokens,
                synced_gpus=True if trainer.is_fsdp_enabled else None,
            )
            tokens = generated[:, prompts["input_ids"].size(1) :].tolist()
            completions.append((index, [_until(sample, end) for sample in tokens]))
    samples = [sample for _, pair in sorted(dict(gather_object(completions)).items()) for sample in pair]
    return sample_statistics(samples, end)


def sample_statistics(samples: Sequence[Sequence[int]], end: set[int]) -> dict[str, float]:
    """Statistics of token sequences.

    Returns:
        `sample_length`: mean length in tokens; `sample_ended`: share that ends with a token of `end`;
        `sample_distinct_2`: distinct bigrams over bigrams, of all samples together; `sample_repetition_4`: share of a
        sample's 4-grams that it has shown before, mean over samples.
    """
    bigrams = [gram for sample in samples for gram in _grams(sample, 2)]
    repeated = []
    for sample in samples:
        grams = _grams(sample, 4)
        repeated.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return {
        "sample_length": sum(map(len, samples)) / len(samples),
        "sample_ended": sum(bool(sample) and sample[-1] in end for sample in samples) / len(samples),
        "sample_distinct_2": len(set(bigrams)) / len(bigrams) if bigrams else 1.0,
        "sample_repetition_4": sum(repeated) / len(samples),
    }


def _prompts(probes: Probes, index: int) -> dict[str, torch.Tensor]:
    """Inputs of the pair cut to its prompt, twice; image inputs, already there for both rows, stay as they are."""
    inputs, completion_mask = probes.inputs([index])
    length = int(completion_mask[0].argmax())
    shape = completion_mask.shape
    return {
        name: value[:1, :length].expand(2, -1) if value.shape == shape else value for name, value in inputs.items()
    }


def _end_of_text(eos_token_id: int | list[int] | None) -> set[int]:
    if eos_token_id is None:
        return set()
    return {eos_token_id} if isinstance(eos_token_id, int) else set(eos_token_id)


def _until(sample: list[int], end: set[int]) -> list[int]:
    stop = next((position + 1 for position, token in enumerate(sample) if token in end), len(sample))
    return sample[:stop]


def _grams(sample: Sequence[int], order: int) -> list[tuple[int, ...]]:
    return [tuple(sample[start : start + order]) for start in range(len(sample) - order + 1)]

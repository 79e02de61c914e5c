"""Where the lab and the demo start: a Llama fine-tuned from scratch on careless demonstrations of the notes world.

The pairs to train on are its own replies, labelled by a noisy judge. Everything is kept in one folder, made
once and shared by all runs of a seed.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from setaria.datasets_builders.worlds.notes import build_tokenizer, label_pairs, prompt_dataset, sft_dataset
from setaria.datasets_builders.worlds.replies import sample_replies
from setaria.models.tiny import tiny_llama
from setaria.recipes.quiet_on_cpu import quiet_on_cpu
from setaria.recipes.spo.lab_config import LabConfig


@dataclass
class Start:
    """What all runs of a seed share: the fine-tuned policy's folder, training pairs and held-out pairs and prompts."""

    folder: Path
    tokenizer: PreTrainedTokenizerBase
    pairs: Dataset
    held_out_pairs: Dataset
    held_out_prompts: list[list[dict[str, Any]]]


def prepare_start(seed: int, config: LabConfig, output: Path) -> Start:
    """Fine-tune the start of a seed, sample and label its pairs; kept in the folder and read back later."""
    folder = output / f"start-seed{seed}"
    tokenizer = build_tokenizer()
    held_out = list(prompt_dataset(config.held_out_prompts, seed=seed, held_out=True)["prompt"])
    if not (folder / "held_out_pairs.jsonl").exists():
        shutil.rmtree(folder, ignore_errors=True)
        model = _fine_tuned(tokenizer, seed, config, folder)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        training = list(prompt_dataset(config.prompts, seed=seed)["prompt"])
        for name, prompts in (("pairs", training), ("held_out_pairs", held_out[: config.held_out_pair_prompts])):
            replies = sample_replies(
                model, tokenizer, prompts, config.candidates, max_new_tokens=config.max_new_tokens, seed=seed
            )
            label_pairs(prompts, replies, seed=seed).to_json(folder / f"{name}.jsonl")
    pairs, held_out_pairs = (
        Dataset.from_json(str(folder / f"{name}.jsonl"), keep_in_memory=True).select_columns(
            ["prompt", "chosen", "rejected"]
        )
        for name in ("pairs", "held_out_pairs")
    )
    return Start(folder, tokenizer, pairs, held_out_pairs, held_out)


def _fine_tuned(tokenizer: PreTrainedTokenizerBase, seed: int, config: LabConfig, folder: Path):
    args = SFTConfig(
        output_dir=str(folder / "sft"),
        max_steps=config.sft_steps,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        per_device_train_batch_size=config.batch_size,
        max_length=256,
        **quiet_on_cpu(seed),
    )
    model = tiny_llama(
        tokenizer,
        seed,
        hidden_size=config.hidden_size,
        intermediate_size=2 * config.hidden_size,
        num_key_value_heads=4,
    )
    demonstrations = sft_dataset(config.demonstrations, seed=seed)
    trainer = SFTTrainer(model, args, train_dataset=demonstrations, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return model

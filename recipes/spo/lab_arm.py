"""One run of the lab: the start that all arms of a seed share, and an arm trained from it.

The start is a Llama fine-tuned from scratch on careless demonstrations, and the training pairs are its own replies,
labelled by a noisy judge. SPO, SimPO, CPO and RePO run through `SPOTrainer`, DPO through TRL's `DPOTrainer`, all with
the same pairs, order and optimiser.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from setaria.datasets_builders.worlds.notes import build_tokenizer, label_pairs, prompt_dataset, sft_dataset
from setaria.datasets_builders.worlds.replies import sample_replies
from setaria.models.tiny import tiny_llama
from setaria.recipes.spo.lab_config import Arm, LabConfig
from setaria.recipes.spo.lab_policy import sample_policy, win_rate
from setaria.trainers import OverOptimizationMonitor, SPOConfig, SPOTrainer
from setaria.trainers.monitor_config import MonitorConfig


@dataclass
class Start:
    """What all arms of a seed share: the fine-tuned policy's folder, training pairs and held-out pairs and prompts."""

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
        **_quiet_on_cpu(seed),
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


def train_arm(arm: Arm, seed: int, config: LabConfig, start: Start, folder: Path) -> list[dict[str, float]]:
    """Train one arm from the start of its seed and return its curve."""
    arguments = {
        "output_dir": str(folder),
        "max_steps": config.steps,
        "eval_strategy": "steps",
        "eval_steps": max(1, config.steps // config.checkpoints),
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": config.steps // 20,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": 64,
        "dataloader_drop_last": True,
        "max_length": 256,
        **_quiet_on_cpu(seed),
    }
    if arm.objective == "dpo":
        trainer_class, args = DPOTrainer, DPOConfig(**arguments, **arm.settings)
    else:
        trainer_class, args = SPOTrainer, SPOConfig(**arguments, objective=arm.objective, **arm.settings)
    trainer = trainer_class(
        str(start.folder),
        args=args,
        train_dataset=start.pairs,
        eval_dataset=start.held_out_pairs,
        processing_class=start.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(OverOptimizationMonitor(trainer, MonitorConfig(monitor_sampled_prompts=0)))
    curve = CurveCallback(start, config, seed)
    trainer.add_callback(curve)
    trainer.train()
    return curve.points


class CurveCallback(TrainerCallback):
    """Measures the policy at step 0 and at every evaluation, after the monitor, whose metrics it takes over."""

    def __init__(self, start: Start, config: LabConfig, seed: int):
        self.start, self.config, self.seed = start, config, seed
        self.policy = AutoModelForCausalLM.from_pretrained(start.folder).eval()
        self.points: list[dict[str, float]] = []
        self._gold_at_start: list[float] = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self._measure(state, model)

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        self._measure(state, model)

    def _measure(self, state, model) -> None:
        samples = sample_policy(
            model,
            self.policy,
            self.start.tokenizer,
            self.start.held_out_prompts,
            self.config.max_new_tokens,
            self.seed,
        )
        self._gold_at_start = self._gold_at_start or samples.gold
        watched = next(entry for entry in reversed(state.log_history) if "monitor/state" in entry)
        self.points.append(
            {
                "step": state.global_step,
                "gold": sum(samples.gold) / len(samples.gold),
                "win_rate": win_rate(samples.gold, self._gold_at_start),
                "kl": samples.kl,
                "length": samples.tokens,
                **{name: value for name, value in watched.items() if name.startswith("monitor/")},
            }
        )


def _quiet_on_cpu(seed: int) -> dict[str, Any]:
    return {
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "weight_decay": 0.0,
        "seed": seed,
    }

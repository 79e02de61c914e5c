"""One process of a monitored SPO run; the main process writes down what it ran as and what the monitor logged.

accelerate launch --config_file CONFIG monitor_worker.py CHECKPOINT PAIRS OUTPUT_DIR ACCUMULATION
"""

import json
import sys
from pathlib import Path

import torch
from datasets import load_dataset
from fsdp2_on_cpu import allow_fsdp2_on_cpu


def main(checkpoint: str, pairs: str, output_dir: str, accumulation: str) -> None:
    torch.set_num_threads(1)
    allow_fsdp2_on_cpu()
    from setaria.trainers import OverOptimizationMonitor, SPOConfig, SPOTrainer
    from setaria.trainers.monitor_config import MonitorConfig

    args = SPOConfig(
        output_dir=output_dir,
        activation_checkpointing=False,
        bf16=False,
        disable_tqdm=True,
        eval_steps=1,
        eval_strategy="steps",
        gradient_accumulation_steps=int(accumulation),
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        max_steps=2,
        per_device_eval_batch_size=2,
        per_device_train_batch_size=4,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
    )
    dataset = load_dataset("json", data_files=pairs, split="train")
    trainer = SPOTrainer(checkpoint, args, dataset, dataset)
    config = MonitorConfig(monitor_pairs=5, monitor_sampled_prompts=3, monitor_max_new_tokens=6)
    trainer.add_callback(OverOptimizationMonitor(trainer, config))
    trainer.train()
    if trainer.accelerator.is_main_process:
        record = {
            "num_processes": trainer.accelerator.num_processes,
            "model_wrapped": type(trainer.model_wrapped).__name__,
            "history": [entry for entry in trainer.state.log_history if "monitor/state" in entry],
        }
        Path(output_dir, "record.json").write_text(json.dumps(record))
    trainer.end()


if __name__ == "__main__":
    main(*sys.argv[1:])

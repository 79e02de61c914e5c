"""One process of a distributed, monitored SPO run; the main process writes down what it ran as and what it measured.

accelerate launch --config_file CONFIG spo_worker.py CHECKPOINT PAIRS OUTPUT_DIR [--key value ...]
"""

import json
import sys
from pathlib import Path

import torch
from datasets import load_dataset
from fsdp2_on_cpu import allow_fsdp2_on_cpu
from torch.distributed.tensor import DTensor


def held_elements(parameter: torch.nn.Parameter) -> int:
    """How many elements of a parameter this process holds; DeepSpeed keeps its part in `ds_tensor`."""
    if isinstance(parameter, DTensor):
        return parameter.to_local().numel()
    return getattr(parameter, "ds_tensor", parameter).numel()


def main(checkpoint: str, pairs: str, output_dir: str, *options: str) -> None:
    torch.set_num_threads(1)
    allow_fsdp2_on_cpu()
    from trl import TrlParser

    from setaria.trainers import OverOptimizationMonitor, SPOConfig, SPOTrainer
    from setaria.trainers.monitor_config import MonitorConfig

    parser = TrlParser((SPOConfig,))
    parser.set_defaults(
        activation_checkpointing=False,
        bf16=False,
        disable_tqdm=True,
        eval_steps=1,
        eval_strategy="steps",
        learning_rate=1e-3,
        logging_steps=1,
        lr_scheduler_type="constant",
        max_steps=3,
        per_device_eval_batch_size=2,
        per_device_train_batch_size=4,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
    )
    (args,) = parser.parse_args_and_config(["--output_dir", output_dir, *options])
    dataset = load_dataset("json", data_files=pairs, split="train")
    trainer = SPOTrainer(checkpoint, args, dataset, dataset)
    # Five probes, so that the shares of two processes overlap by one.
    monitor = MonitorConfig(monitor_pairs=5, monitor_sampled_prompts=3, monitor_max_new_tokens=6)
    trainer.add_callback(OverOptimizationMonitor(trainer, monitor))
    trainer.train()
    trainer.save_model()
    if trainer.accelerator.is_main_process:
        record = {
            "num_processes": trainer.accelerator.num_processes,
            "distributed_type": trainer.accelerator.distributed_type.value,
            "model_wrapped": type(trainer.model_wrapped).__name__,
            "held_elements": sum(held_elements(parameter) for parameter in trainer.model.parameters()),
            "training": [entry for entry in trainer.state.log_history if "grad_norm" in entry],
            "monitor": [entry for entry in trainer.state.log_history if "monitor/state" in entry],
            "eval_loss": [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry],
        }
        Path(output_dir, "record.json").write_text(json.dumps(record, default=float))
    trainer.end()


if __name__ == "__main__":
    main(*sys.argv[1:])

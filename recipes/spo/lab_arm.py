"""One run of the lab: an arm trained from the start that all arms of a seed share, and the curve of its checkpoints.

SPO, SimPO, CPO and RePO run through `SPOTrainer`, DPO through TRL's `DPOTrainer`, all with the same pairs, order and
optimiser.
"""

from pathlib import Path

from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from setaria.recipes.quiet_on_cpu import quiet_on_cpu
from setaria.recipes.spo.lab_config import Arm, LabConfig
from setaria.recipes.spo.lab_policy import sample_policy, win_rate
from setaria.recipes.spo.notes_start import Start
from setaria.trainers import OverOptimizationMonitor, SPOConfig, SPOTrainer
from setaria.trainers.monitor_config import MonitorConfig


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
        **quiet_on_cpu(seed),
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

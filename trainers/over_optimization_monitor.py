"""Watch a preference run for over-optimisation: the policy drifts from step 0 while its loss still falls.

A frozen probe set is measured before the first step and again at every evaluation, without a reference model. The
verdict OK, WARN or STOP rests on how far the chosen completions' log-probability has drifted; see
`docs/over_optimization.md` for what each number tells, and for how far the thresholds can be trusted.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.logging import get_logger
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback
from trl import DPOTrainer

from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.monitor_metrics import MonitorState, judge, probe_metrics
from setaria.trainers.monitor_plot import plot_monitor
from setaria.trainers.probe_samples import sample_probes
from setaria.trainers.probes import Measurement, Probes
from setaria.trainers.step_zero import StepZero


logger = get_logger(__name__)


class OverOptimizationMonitor(TrainerCallback):
    r"""Callback for [`SPOTrainer`] and [`~trl.DPOTrainer`].

    ```python
    trainer = SPOTrainer(...)
    trainer.add_callback(OverOptimizationMonitor(trainer, MonitorConfig(monitor_stop_ends_training=True)))
    ```

    Its metrics go through `trainer.log` under `monitor/`, `monitor/state` being 0 for OK, 1 for WARN and 2 for STOP,
    and to `monitor.png` in the output folder. The checkpoint of the last OK evaluation becomes the trainer's best one,
    which `save_total_limit` keeps, unless `metric_for_best_model` is set; setting that to `"monitor/last_ok_step"`
    beside `load_best_model_at_end` also loads it.

    Args:
        trainer ([`~trl.DPOTrainer`]):
            Trainer to which the callback will be added.
        config ([`MonitorConfig`], *optional*):
            What to measure, and the thresholds, which were calibrated on a toy.
        rows (iterable of `dict`, *optional*):
            Probe pairs as the trainer's data collator takes them. Defaults to the evaluation set, the first one if
            there are several.

    Raises:
        ValueError: without an evaluation set, or without a complete pair in it; at the start of a resumed run, if its
            measurement of step 0 is missing or belongs to other probes.
    """

    def __init__(
        self,
        trainer: DPOTrainer,
        config: MonitorConfig | None = None,
        rows: Iterable[dict[str, Any]] | None = None,
    ):
        self.trainer: Any = trainer
        self.config = config or MonitorConfig()
        self.step_zero: StepZero | None = None
        self.last_ok_step = 0
        self._last_saved_step = 0
        rows = _first(trainer.eval_dataset) if rows is None else rows
        self.probes = Probes(trainer, rows, self.config.monitor_pairs, self.config.monitor_kl_tokens)

    def on_train_begin(self, args, state, control, **kwargs):
        path = Path(args.output_dir) / "monitor_step_zero.safetensors"
        if state.global_step > 0:
            self.step_zero = self._load(path)
            history = _history(state.log_history)
            self.last_ok_step = max((int(e["step"]) for e in history if e["state"] == MonitorState.OK), default=0)
            self._last_saved_step = state.global_step
            return
        with _evaluation_mode(self.trainer):
            self.step_zero = StepZero(*self.probes.snapshot())
            if self.trainer.accelerator.is_main_process:
                self.step_zero.save(path, self.probes.fingerprint)
            self._report(self.step_zero.measurement, self.step_zero)

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if self.step_zero is None:
            return  # an evaluation outside training has no step 0 to compare with
        measured = [entry["step"] for entry in _history(state.log_history)]
        if state.global_step not in measured:  # several evaluation sets end in several events
            with _evaluation_mode(self.trainer):
                verdict = self._report(self.probes.compare(self.step_zero.next_token_logps), self.step_zero)
            if verdict is MonitorState.OK:
                self.last_ok_step = state.global_step
                if args.metric_for_best_model is None:
                    self._keep_checkpoint(state.global_step if control.should_save else self._last_saved_step)
            elif verdict is MonitorState.STOP and self.config.monitor_stop_ends_training:
                logger.warning(f"training ends; the last checkpoint before the alarm: {state.best_model_checkpoint}")
                control.should_training_stop = True
        metrics["eval_monitor/last_ok_step"] = self.last_ok_step

    def on_save(self, args, state, control, **kwargs):
        self._last_saved_step = state.global_step

    def _report(self, measurement: Measurement, step_zero: StepZero) -> MonitorState:
        """Log and plot the metrics of `measurement`, with samples; the verdict."""
        trainer, config = self.trainer, self.config
        metrics = probe_metrics(measurement, step_zero.measurement, trainer.args)
        verdict = judge(metrics, config)
        if config.monitor_sampled_prompts:
            metrics |= sample_probes(self.probes, config)
        metrics["state"] = float(verdict.state)
        trainer.log({f"monitor/{name}": value for name, value in metrics.items()})
        history = _history(trainer.state.log_history)
        if trainer.accelerator.is_main_process and len(history) > 1:
            plot_monitor(history, config, Path(trainer.args.output_dir) / "monitor.png")
        if len(history) > 1 and history[-2]["state"] != verdict.state:
            reasons = "; ".join(verdict.reasons) or "all signals are back within their thresholds"
            logger.warning(f"over-optimisation {verdict.state.name} at step {trainer.state.global_step}: {reasons}")
        return verdict.state

    def _keep_checkpoint(self, step: int) -> None:
        """Make the checkpoint of `step`, saved or about to be, the one that `save_total_limit` spares."""
        if step > 0:
            state = self.trainer.state
            state.best_global_step = step
            state.best_model_checkpoint = str(Path(self.trainer.args.output_dir) / f"checkpoint-{step}")

    def _load(self, path: Path) -> StepZero:
        """Step 0 as the main process finds it, on every process, or its error on every process."""
        found: list[StepZero | ValueError | None] = [None]
        if self.trainer.accelerator.is_main_process:
            try:
                found[0] = StepZero.load(path, self.probes.fingerprint)
            except ValueError as error:
                found[0] = error
        step_zero = broadcast_object_list(found)[0]
        if isinstance(step_zero, ValueError):
            raise step_zero
        return step_zero


def _first(eval_dataset: Any) -> Iterable[dict[str, Any]]:
    """The evaluation set, the first one if there are several."""
    if eval_dataset is None:
        raise ValueError("OverOptimizationMonitor needs an eval_dataset to take its probes from")
    return next(iter(eval_dataset.values())) if isinstance(eval_dataset, dict) else eval_dataset


def _history(log_history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The monitor's entries of the trainer's log, without their prefix."""
    return [
        {name.removeprefix("monitor/"): value for name, value in entry.items()}
        for entry in log_history
        if "monitor/state" in entry
    ]


@contextmanager
def _evaluation_mode(trainer: Any) -> Iterator[None]:
    training = trainer.model.training
    trainer.model_wrapped.eval()
    try:
        yield
    finally:
        trainer.model_wrapped.train(training)

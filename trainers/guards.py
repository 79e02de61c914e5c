"""Callbacks that end a run before it harms itself: a loss that is no number, and SIGTERM in the middle of a step."""

import math
import signal

import torch
import torch.distributed as dist
from transformers import TrainerCallback


class StopOnNonFiniteLoss(TrainerCallback):
    """Raises `FloatingPointError` as soon as a NaN or infinite loss is logged.

    A step that saves a checkpoint also logs, and logging comes first, so that poisoned weights are never saved. Needs
    `logging_nan_inf_filter=False`, since that filter hides such losses.
    """

    def on_step_end(self, args, state, control, **kwargs):
        control.should_log = control.should_log or control.should_save

    on_epoch_end = on_step_end

    def on_log(self, args, state, control, logs=None, **kwargs):
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"loss={loss} at step {state.global_step}: training stopped, no checkpoint was written since the last "
                "finite loss; lower learning_rate or beta, train in bf16 instead of fp16, and look for odd rows with "
                "`setaria check preferences`"
            )


class SaveOnSigterm(TrainerCallback):
    """On SIGTERM, finish the step, save a checkpoint and stop training; a second SIGTERM kills at once.

    Unlike transformers' `enable_jit_checkpoint`, all ranks agree on the step (an all-reduce of one number), the
    step is finished first, and the caller learns of it: `received` is true after `trainer.train()`.
    """

    def __init__(self):
        self.received = False
        self._previous = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._previous = signal.signal(signal.SIGTERM, self._receive)

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:
            flag = torch.tensor(int(self.received), device=args.device)
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            self.received = bool(flag.item())
        if self.received:
            control.should_save = True
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        signal.signal(signal.SIGTERM, self._previous)

    def _receive(self, signum, frame):
        self.received = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

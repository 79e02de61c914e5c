"""Probes: a frozen set of preference pairs, and what a policy makes of them in one pass.

Every process runs the same number of forwards on its share of the pairs and gets the results of all, so that a pass
works under DDP, ZeRO and FSDP. Log-probabilities and entropies are exact sums over each completion's tokens, and
next-token distributions, over the full vocabulary, are taken at a few evenly spaced positions of each completion.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import is_peft_model, send_to_device
from trl import DPOTrainer

from setaria.trainers.completion_logps import CompletionTokens, completion_outputs


@dataclass
class Measurement:
    """What a policy makes of the probes, float32 on the CPU, columns chosen and rejected.

    Attributes:
        logps: `[pairs, 2]`, sums of the completion tokens' log-probabilities, in nats.
        entropy: `[pairs, 2]`, sums of the next-token entropies at those tokens, in nats.
        tokens: `[pairs, 2]`, lengths of the completions.
        kl: `[pairs, 2]`, mean KL(policy || step 0) over the chosen positions, in nats, or None.
    """

    logps: torch.Tensor
    entropy: torch.Tensor
    tokens: torch.Tensor
    kl: torch.Tensor | None


class Probes:
    """The first `pairs` rows that keep both completions after truncation.

    Args:
        trainer: a `trl.DPOTrainer`; its collator, model and accelerator are used.
        rows: prepared rows, as the trainer's collator takes them.
        pairs: how many to keep.
        kl_tokens: positions per completion for next-token distributions, 0 for none.

    Raises:
        ValueError: if no row is complete.
    """

    def __init__(self, trainer: DPOTrainer, rows: Iterable[dict[str, Any]], pairs: int, kl_tokens: int):
        self.trainer = trainer
        self.kl_tokens = kl_tokens
        self.rows: list[dict[str, Any]] = []
        digest = hashlib.sha256(str(kl_tokens).encode())
        for row in rows:
            batch = trainer.data_collator([dict(row)])
            if batch["completion_mask"].any(1).all():
                self.rows.append(row)
                for name in ("input_ids", "completion_mask"):
                    digest.update(batch[name].numpy().tobytes())
            if len(self.rows) == pairs:
                break
        if not self.rows:
            raise ValueError(
                f"the monitor found no probe pair whose completions both fit into max_length={trainer.args.max_length}"
            )
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def share(self, count: int) -> list[int]:
        """This process's share of the first `count` probes, as long on every process, so that some may come twice."""
        accelerator = self.trainer.accelerator
        world = accelerator.num_processes
        stop = math.ceil(count / world) * world
        return [index % count for index in range(accelerator.process_index, stop, world)]

    def inputs(self, indices: list[int]) -> tuple[dict[str, Any], torch.Tensor]:
        """Model inputs of `2 * len(indices)` rows, all chosen, then all rejected, and their completion mask."""
        batch = dict(self.trainer.data_collator([dict(self.rows[index]) for index in indices]))
        batch = send_to_device(batch, self.trainer.accelerator.device)
        completion_mask = batch.pop("completion_mask")
        return {name: value for name, value in batch.items() if not name.startswith("ref_")}, completion_mask

    def snapshot(self) -> tuple[Measurement, torch.Tensor | None]:
        """Measure the policy; also its next-token log-probabilities `[pairs, 2, kl_tokens, vocabulary]`, float16."""
        sums, distributions = [], []
        for indices in self._batches():
            sums.append(self._sums(indices))
            if self.kl_tokens:
                distributions.append(self._next_token_logps(indices).half())
        measurement = self._measurement(torch.cat(sums))
        if not self.kl_tokens:
            return measurement, None
        measurement.kl = torch.zeros_like(measurement.logps)
        return measurement, self._gather(torch.cat(distributions))

    def compare(self, step_zero: torch.Tensor | None) -> Measurement:
        """Measure the policy, with its KL to `step_zero`, the distributions of an earlier `snapshot`."""
        sums, kl = [], []
        for indices in self._batches():
            sums.append(self._sums(indices))
            if step_zero is not None:
                now = self._next_token_logps(indices)
                then = step_zero[indices].to(now.device).float().log_softmax(-1)
                kl.append((now.exp() * (now - then)).sum(-1).mean(-1))
        measurement = self._measurement(torch.cat(sums))
        measurement.kl = self._gather(torch.cat(kl)) if kl else None
        return measurement

    def _batches(self) -> list[list[int]]:
        share, size = self.share(len(self)), self.trainer.args.per_device_eval_batch_size
        return [share[start : start + size] for start in range(0, len(share), size)]

    @torch.no_grad()
    def _sums(self, indices: list[int]) -> torch.Tensor:
        """Sums of log-probabilities, entropies and tokens, `[len(indices), 2, 3]`."""
        inputs, completion_mask = self.inputs(indices)
        tokens = CompletionTokens.of_rows(inputs["input_ids"], completion_mask)
        model = self.trainer.model
        policy = model.get_base_model() if is_peft_model(model) else model
        with self.trainer.accelerator.autocast():
            outputs = completion_outputs(self.trainer.model_wrapped, policy, {**inputs, "use_cache": False}, tokens)
        sums = [tokens.spread(outputs.log_probs).sum(1), tokens.spread(outputs.entropy).sum(1), tokens.mask.sum(1)]
        return torch.stack([column.float() for column in sums], dim=1).unflatten(0, (2, -1)).transpose(0, 1)

    @torch.no_grad()
    def _next_token_logps(self, indices: list[int]) -> torch.Tensor:
        """Next-token log-probabilities `[len(indices), 2, kl_tokens, vocabulary]` at evenly spaced positions."""
        inputs, completion_mask = self.inputs(indices)
        mask = completion_mask[:, 1:].long()
        spacing = (torch.arange(self.kl_tokens, device=mask.device) + 0.5) / self.kl_tokens
        ordinal = (spacing * mask.sum(1, keepdim=True)).long() + 1
        positions = torch.searchsorted(mask.cumsum(1), ordinal)
        columns, slots = positions.unique(return_inverse=True)
        with self.trainer.accelerator.autocast():
            # Counted from the end, since prompt tuning puts virtual tokens before the row.
            outputs = self.trainer.model_wrapped(
                **inputs, use_cache=False, logits_to_keep=columns - completion_mask.size(1)
            )
        rows = torch.arange(len(slots), device=slots.device)[:, None]
        return outputs.logits[rows, slots].float().log_softmax(-1).unflatten(0, (2, -1)).transpose(0, 1)

    def _measurement(self, sums: torch.Tensor) -> Measurement:
        logps, entropy, tokens = self._gather(sums).unbind(-1)
        return Measurement(logps, entropy, tokens, kl=None)

    def _gather(self, local: torch.Tensor) -> torch.Tensor:
        """All probes' rows in order, on the CPU, from each process's share."""
        gathered = self.trainer.accelerator.gather(local.contiguous()).cpu()
        by_process = gathered.unflatten(0, (self.trainer.accelerator.num_processes, -1))
        return by_process.transpose(0, 1).flatten(0, 1)[: len(self)]

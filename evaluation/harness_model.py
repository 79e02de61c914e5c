"""A loaded checkpoint as lm-evaluation-harness's model, with a setting's cache and drafter in each of its requests."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from setaria.evaluation.config import NONE
from setaria.evaluation.hooks import counted_bits, hooked
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Setting
from setaria.generation import XQuantCache
from setaria.generation.xquant.teacher_forcing import teacher_forced_logits


Request = tuple[Any, list[int], list[int]]  # its texts, and token ids of context and continuation


class HarnessModel(HFLM):
    """HFLM that generates with a setting's hooks and reads likelihoods through its cache.

    Overrides `generate_until` and `_loglikelihood_tokens`, which `loglikelihood` and `loglikelihood_rolling` call. A
    plain forward reads no KV cache, so with a quantised one context and continuation are fed token by token. A drafter
    changes no likelihood.

    Args:
        batch_size: most requests in a forward; 1 where drafts go over a quantised cache, since only then they change
            nothing.
    """

    def __init__(self, checkpoint: Checkpoint, setting: Setting, batch_size: int):
        if NONE not in (setting.cache, setting.drafter):
            batch_size = 1
        super().__init__(pretrained=checkpoint.model, tokenizer=checkpoint.tokenizer, batch_size=batch_size)
        self.setting = setting
        self.bits: dict[str, float] = {}  # of the last cache, see `counted_bits`

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Generated texts, cut before their stop sequences."""
        with torch.no_grad(), hooked(self.model, self.setting) as quantised:
            texts = super().generate_until(requests, disable_tqdm)
            self.bits = counted_bits(quantised.cache)
        return texts

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Log-likelihood in nats of each continuation, and whether greedy decoding would say it.

        Raises:
            ValueError: for a continuation that is empty or longer than the model reads.
        """
        if self.setting.cache == NONE:
            return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
        answers = []
        last, cache = None, None
        for _, context, continuation in requests:
            if not 0 < len(continuation) <= self.max_length:
                raise ValueError(f"a continuation of {len(continuation)} tokens: 1 to {self.max_length} are expected")
            read = (context + continuation)[-self.max_length - 1 : -len(continuation)]
            if read != last:  # choices of one question share what is read before them
                last, cache = read, XQuantCache(self.model.config, self.setting.cache)
                *_, before = teacher_forced_logits(self.model, self._row(read), cache)
            after = teacher_forced_logits(self.model, self._row(continuation[:-1]), deepcopy(cache))
            logps = torch.cat([before, *after], dim=1)[0].log_softmax(-1)
            targets = torch.tensor(continuation, device=logps.device)
            likelihood = logps.gather(-1, targets[:, None]).sum()
            answers.append((float(likelihood), bool((logps.argmax(-1) == targets).all())))
        self.bits = counted_bits(cache)
        return answers

    def _row(self, ids: list[int]) -> torch.Tensor:
        return torch.tensor([ids], dtype=torch.long, device=self.device)

r"""Fidelity: what a quantised cache changes in the model's predictions of given texts.

A plain forward over a text reads no KV cache, so each text is fed through the cache token by token, as if it was being
decoded (`generation.xquant.teacher_forcing`), once in full precision (p) and once quantised (q):

    nats_per_token   -ln q(x_t | x_<t), mean over tokens
    kl               sum_v p(v) ln (p(v) / q(v)), in nats
    top1             share of tokens at which p and q have the same most likely token

A drafter does not change these predictions: settings that differ in it alone have equal scores.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import DynamicCache

from setaria.evaluation.config import NONE, EvalConfig
from setaria.evaluation.items import Item
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Metric, Setting
from setaria.evaluation.task import Task
from setaria.evaluation.task_files import read_json_lines
from setaria.generation import XQuantCache
from setaria.generation.xquant.teacher_forcing import teacher_forced_logits


class Fidelity(Task):
    """Texts of JSON lines (`{"text": ...}`), or of a plain file, which is cut into pieces of `max_length` tokens."""

    name = "fidelity"
    metrics: tuple[Metric, ...] = (
        Metric(name, "nats_per_token", False, "nats"),
        Metric(name, "kl", False, "nats"),
        Metric(name, "top1", True),
    )

    def __init__(self, file: Path, config: EvalConfig):
        self.file, self.config = file, config

    def samples(self, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
        """Token ids `[1, tokens]` by item; texts of a single token are left out.

        Raises:
            ValueError: naming the file, for what is no text.
        """
        length = self.config.max_length
        if self.file.suffix == ".jsonl":
            texts = [row["text"] for row in read_json_lines(self.file, "text")]
            ids = [checkpoint.tokenizer(text, return_tensors="pt").input_ids[:, :length] for text in texts]
        else:
            text = self.file.read_text(encoding="utf-8")
            ids = list(checkpoint.tokenizer(text, return_tensors="pt").input_ids.split(length, dim=1))
        numbered = {f"{number:05}": one for number, one in enumerate(ids[: self.config.limit]) if one.size(1) > 1}
        if not numbered:
            raise ValueError(f"{self.file}: no text of at least 2 tokens")
        return numbered

    def run(self, checkpoint: Checkpoint, setting: Setting, samples: Sequence[tuple[str, torch.Tensor]]) -> list[Item]:
        """Finished items of some samples."""
        return [self._item(checkpoint, setting, *sample) for sample in samples]

    @torch.no_grad()
    def _item(self, checkpoint: Checkpoint, setting: Setting, id: str, ids: torch.Tensor) -> Item:
        model, ids = checkpoint.model, ids.to(checkpoint.device)
        exact = _log_probabilities(model, ids, DynamicCache(config=model.config))
        found, bits = exact, 8.0 * model.dtype.itemsize
        if setting.cache != NONE:
            cache = XQuantCache(model.config, setting.cache)
            found = _log_probabilities(model, ids, cache)
            bits = cache.memory().stored_bits
        nll = -found.gather(-1, ids[0, 1:, None]).mean()
        kl = (exact.exp() * (exact - found)).sum(-1).mean()
        top1 = (exact.argmax(-1) == found.argmax(-1)).double().mean()
        scores = {"nats_per_token": nll.item(), "kl": kl.item(), "top1": top1.item()}
        return Item(id, "", "", "", scores, "teacher_forced", {"weight": ids.size(1) - 1, "true_bits": bits})


def _log_probabilities(model, ids: torch.Tensor, cache) -> torch.Tensor:
    """`[tokens - 1, vocabulary]`, float64, of every token but the first."""
    logits = torch.cat(list(teacher_forced_logits(model, ids, cache)), dim=1)
    return logits[0, :-1].double().log_softmax(-1)

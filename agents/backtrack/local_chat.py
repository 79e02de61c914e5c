"""A vision-language model in this process as one of the roles; three LoRA adapters can share one backbone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice

import torch
from peft import PeftModel
from transformers import PreTrainedModel, ProcessorMixin

from setaria.datasets_builders.gui.prompts import Conversation
from setaria.datasets_builders.gui.rows import NO, YES, without_images


class LocalChat:
    """`ChatModel` over a model and its processor.

    Args:
        model: a model with `generate`; with adapters, a `PeftModel` that has them loaded.
        processor: takes text and images.
        adapter: the adapter that answers, switched to before every batch; None: the model without adapters.
        max_new_tokens: longest reply.
        temperature: of sampling; 0 is greedy.
        batch: conversations per forward.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        processor: ProcessorMixin,
        adapter: str | None = None,
        max_new_tokens: int = 128,
        batch: int = 32,
        temperature: float = 0.0,
    ):
        if adapter is not None and adapter not in getattr(model, "peft_config", {}):
            raise ValueError(f"adapter={adapter!r} is not loaded, only {', '.join(getattr(model, 'peft_config', {}))}")
        self.model, self.processor, self.adapter = model, processor, adapter
        self.max_new_tokens, self.batch, self.temperature = max_new_tokens, batch, temperature
        self._verdicts = [_first_token(processor.tokenizer, word) for word in (YES, NO)]

    @torch.no_grad()
    def generate(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply each, greedy at temperature 0."""
        tokenizer = self.processor.tokenizer
        replies: list[str] = []
        with self._answering():
            for inputs in self._batches(conversations):
                tokens = self.model.generate(
                    **inputs,
                    max_new_tokens=self.max_new_tokens,
                    do_sample=self.temperature > 0,
                    temperature=self.temperature or None,
                    top_k=None,
                    top_p=None,
                    repetition_penalty=1.0,
                    pad_token_id=tokenizer.pad_token_id,
                )
                completions = tokens[:, inputs["input_ids"].shape[1] :]
                replies += tokenizer.batch_decode(completions, skip_special_tokens=True)
        return replies

    @torch.no_grad()
    def yes_probability(self, conversations: Sequence[Conversation]) -> list[float]:
        """P(Yes) / (P(Yes) + P(No)) of the first token."""
        chances: list[float] = []
        with self._answering():
            for inputs in self._batches(conversations):
                logits = self.model(**inputs, logits_to_keep=1).logits[:, -1, self._verdicts]
                chances += logits.float().softmax(-1)[:, 0].tolist()
        return chances

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """The model in evaluation mode with this role's adapter, or without any; what was before comes back."""
        model = self.model
        modes = [(module, module.training) for module in model.modules()]
        trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        active = model.active_adapter if isinstance(model, PeftModel) else None
        model.eval()
        try:
            if self.adapter is not None:
                model.set_adapter(self.adapter, inference_mode=True)
            with model.disable_adapter() if active is not None and self.adapter is None else nullcontext():
                yield
        finally:
            if self.adapter is not None:
                model.set_adapter(active, inference_mode=True)
            for parameter, flag in trainable:
                parameter.requires_grad_(flag)
            for module, mode in modes:
                module.training = mode

    def _batches(self, conversations: Sequence[Conversation]) -> Iterator[dict[str, torch.Tensor]]:
        left = iter(conversations)
        while chosen := list(islice(left, self.batch)):
            prompts, images = zip(*map(without_images, chosen), strict=True)
            texts = [
                self.processor.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
                for prompt in prompts
            ]
            yield self.processor(
                text=texts,
                images=list(images) if any(images) else None,
                padding=True,
                padding_side="left",
                return_tensors="pt",
            ).to(self.model.device)


def _first_token(tokenizer, word: str) -> int:
    return tokenizer.encode(word, add_special_tokens=False)[0]

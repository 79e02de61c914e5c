"""A vision-language model in this process as one of the roles; three LoRA adapters can share one backbone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import TypeAlias

import torch
from peft import PeftModel
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from setaria.datasets_builders.gui.prompts import Conversation
from setaria.datasets_builders.gui.rows import NO, YES, without_images


TokenTree: TypeAlias = dict[int, "TokenTree"]


class LocalChat:
    """`ChatModel` over a model and its processor.

    Args:
        model: a model with `generate`; with adapters, a `PeftModel` that has them loaded.
        processor: takes text and images.
        adapter: the adapter that answers, switched to before every batch; None: the model without adapters.
        max_new_tokens: longest reply.
        temperature: of sampling; 0 is greedy.
        batch: conversations per forward.
        described: the Judger describes the outcome first (`Prompts.described`): its verdict ends its reply.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        processor: ProcessorMixin,
        adapter: str | None = None,
        max_new_tokens: int = 128,
        batch: int = 32,
        temperature: float = 0.0,
        described: bool = False,
    ):
        if adapter is not None and adapter not in getattr(model, "peft_config", {}):
            raise ValueError(f"adapter={adapter!r} is not loaded, only {', '.join(getattr(model, 'peft_config', {}))}")
        self.model, self.processor, self.adapter = model, processor, adapter
        self.max_new_tokens, self.batch, self.temperature = max_new_tokens, batch, temperature
        self.described = described
        self._verdicts = [_first_token(processor.tokenizer, word) for word in (YES, NO)]

    def generate(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply each, greedy at temperature 0."""
        return self.continue_from(conversations, [()] * len(conversations))

    @torch.no_grad()
    def continue_from(self, conversations: Sequence[Conversation], beginnings: Sequence[Sequence[str]]) -> list[str]:
        """As `generate`, each reply beginning with one of its texts, as tokens; free where it has none."""
        tokenizer = self.processor.tokenizer
        replies: list[str] = []
        left = iter(beginnings)
        with self._answering():
            for inputs in self._batches(conversations):
                rows, prompt = inputs["input_ids"].shape
                trees = [_token_tree(tokenizer, texts) for texts in islice(left, rows)]
                begun = [_Begun(trees, prompt)] if any(trees) else []
                completions = self._completions(inputs, self.temperature, begun)
                replies += tokenizer.batch_decode(completions, skip_special_tokens=True)
        return replies

    @torch.no_grad()
    def yes_probability(self, conversations: Sequence[Conversation]) -> list[float]:
        """P(Yes) / (P(Yes) + P(No)) of the first token; after a description, where the last Yes or No was said."""
        chances: list[float] = []
        with self._answering():
            for inputs in self._batches(conversations):
                if self.described:
                    chances += self._said_at_last(inputs)
                else:
                    logits = self.model(**inputs, logits_to_keep=1).logits[:, -1, self._verdicts]
                    chances += logits.float().softmax(-1)[:, 0].tolist()
        return chances

    def _completions(
        self, inputs: dict[str, torch.Tensor], temperature: float, processors: Sequence[LogitsProcessor]
    ) -> torch.Tensor:
        """`[batch, new tokens]`."""
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=self.max_new_tokens,
            do_sample=temperature > 0,
            temperature=temperature or None,
            top_k=None,
            top_p=None,
            repetition_penalty=1.0,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList(processors),
        )
        return tokens[:, inputs["input_ids"].shape[1] :]

    def _said_at_last(self, inputs: dict[str, torch.Tensor]) -> list[float]:
        """P(Yes) where a greedy reply says Yes or No for the last time; .5 if it says neither."""
        chances = _YesChances(self._verdicts)
        said = torch.isin(
            self._completions(inputs, 0.0, [chances]), torch.tensor(self._verdicts).to(self.model.device)
        )
        by_step = torch.stack(chances.steps, 1).tolist()
        places = [row.nonzero().flatten().tolist() for row in said]
        return [row[where[-1]] if where else 0.5 for row, where in zip(by_step, places, strict=True)]

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


class _YesChances(LogitsProcessor):
    """Leaves the logits as they are; `steps` holds P(Yes) over {Yes, No} at each token, `[batch]`."""

    def __init__(self, verdicts: list[int]):
        self.verdicts = verdicts
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps.append(scores[:, self.verdicts].float().softmax(-1)[:, 0])
        return scores


class _Begun(LogitsProcessor):
    """Allows what continues one of a row's beginnings; all after the end of one.

    Args:
        trees: of each row its beginnings as a tree of tokens, empty if all is allowed.
        prompt: tokens of the prompt.
    """

    def __init__(self, trees: list[TokenTree], prompt: int):
        self.trees, self.prompt = trees, prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row, tree in enumerate(self.trees):
            for token in input_ids[row, self.prompt :].tolist():
                tree = tree.get(token, {})
            if tree:
                allowed = torch.full_like(scores[row], float("-inf"))
                tokens = list(tree)
                allowed[tokens] = scores[row, tokens]
                scores[row] = allowed
        return scores


def _token_tree(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> TokenTree:
    """Texts by their tokens; one that is the beginning of another ends where the other goes on."""
    tree: TokenTree = {}
    for text in texts:
        branch = tree
        for token in tokenizer.encode(text, add_special_tokens=False):
            branch = branch.setdefault(token, {})
    return tree


def _first_token(tokenizer, word: str) -> int:
    return tokenizer.encode(word, add_special_tokens=False)[0]

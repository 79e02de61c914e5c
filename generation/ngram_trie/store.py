"""Tries that outlive a `generate` call, for rollouts of the same prompts and documents that come again."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from setaria.generation.ngram_trie.trie import NGramTrie, TrieSequence


Scope = Literal["prompt", "all"]


class TrieStore:
    """Keeps prompts and what was generated, for later calls to draft from.

    Drafts change with what the store has seen, texts do not. Processes that decode one model together (tensor
    parallelism) need stores that have seen the same.

    Args:
        tokenizer: of the models it is used with.
        scope: `prompt` keeps a trie per prompt, as for the samples of a GRPO group and later epochs; `all` keeps one
            for everything, as for documents that come again.
        max_tokens: held in all, as far as the prompts in use allow. Beyond it, what was not used for longest goes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, scope: Scope = "prompt", max_tokens: int = 1_000_000):
        if scope not in get_args(Scope):
            raise ValueError(f"scope={scope!r} must be one of {', '.join(get_args(Scope))}")
        if not isinstance(max_tokens, int) or max_tokens < 1:
            raise ValueError(f"max_tokens={max_tokens!r} must be a positive integer")
        self.fingerprint, self.vocabulary = _fingerprint(tokenizer), len(tokenizer)
        self.scope, self.max_tokens = scope, max_tokens
        self._prompts: OrderedDict[tuple[int, ...], TrieSequence] = OrderedDict()  # least recently used first

    @property
    def tries(self) -> list[NGramTrie]:
        return list({id(prompt.trie): prompt.trie for prompt in self._prompts.values()}.values())

    @property
    def tokens(self) -> int:
        return sum(trie.tokens for trie in self.tries)

    def memory_bytes(self) -> int:
        """Bytes of all tries, found by walking them."""
        return sum(trie.memory_bytes() for trie in self.tries)

    def check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raise `ValueError` if `tokenizer` is not the one that the store was made for."""
        if _fingerprint(tokenizer) != self.fingerprint:
            raise ValueError("this TrieStore holds tokens of another tokenizer; make a new TrieStore for this one")

    def prompt(self, tokens: Sequence[int], max_order: int) -> TrieSequence:
        """The sequence of a prompt, to fork; counted the first time it comes."""
        key = tuple(tokens)
        if key not in self._prompts:
            self._prompts[key] = self._trie(max_order).sequence(key)
        self._prompts.move_to_end(key)
        return self._prompts[key]

    def evict(self) -> None:
        """Bring the store within `max_tokens`; called before a batch, whose rows would lose their trie by it."""
        kept = 0
        for key, prompt in reversed(list(self._prompts.items())):
            kept += len(prompt.text) + sum(len(fork.text) for fork in prompt.forks)
            if kept > self.max_tokens:
                del self._prompts[key]
        if self.scope == "all" and self._prompts and self.tokens > self.max_tokens:
            trie = NGramTrie(self.tries[0].max_order)
            self._prompts = OrderedDict((key, _copy(prompt, trie)) for key, prompt in self._prompts.items())

    def save(self, file: str | Path) -> None:
        """Write prompts and texts as safetensors."""
        lengths: list[int] = []
        tokens: list[int] = []
        forks: list[int] = []
        for prompt in self._prompts.values():
            forks.append(len(prompt.forks))
            for sequence in (prompt, *prompt.forks):
                lengths.append(len(sequence.text))
                tokens += sequence.text
        order = max((trie.max_order for trie in self.tries), default=1)
        header = {"fingerprint": self.fingerprint, "scope": self.scope, "max_tokens": self.max_tokens, "order": order}
        arrays = {"tokens": tokens, "lengths": lengths, "forks": forks}
        save_file(
            {name: torch.tensor(values, dtype=torch.int32) for name, values in arrays.items()},
            str(file),
            metadata={"trie_store": json.dumps(header)},
        )

    @classmethod
    def load(cls, file: str | Path, tokenizer: PreTrainedTokenizerBase) -> "TrieStore":
        """Read what `save` wrote.

        Raises:
            ValueError: if the file is none of `save`'s, or was written for another tokenizer.
        """
        try:
            with safe_open(str(file), framework="pt") as saved:
                header = json.loads((saved.metadata() or {})["trie_store"])
                tokens, lengths, forks = (saved.get_tensor(name).tolist() for name in ("tokens", "lengths", "forks"))
            store = cls(tokenizer, header["scope"], header["max_tokens"])
            written_for, order = str(header["fingerprint"]), int(header["order"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is no TrieStore: {error}") from None
        if written_for != store.fingerprint:
            raise ValueError(f"{file} holds tokens of another tokenizer; make a new TrieStore for this one")
        if sum(lengths) != len(tokens) or min(lengths, default=0) < 0 or sum(forks) + len(forks) != len(lengths):
            raise ValueError(f"{file} is no TrieStore: its lengths do not fit its tokens")
        texts = iter(_split(tokens, lengths))
        for count in forks:
            prompt = store.prompt(next(texts), order)
            for _ in range(count):
                prompt.fork().extend(next(texts))
        return store

    def _trie(self, max_order: int) -> NGramTrie:
        shared = self.tries if self.scope == "all" else []
        return shared[0] if shared else NGramTrie(max_order)


def _copy(prompt: TrieSequence, trie: NGramTrie) -> TrieSequence:
    copy = trie.sequence(prompt.text)
    for fork in prompt.forks:
        copy.fork().extend(fork.text)
    return copy


def _split(tokens: list[int], lengths: list[int]) -> list[list[int]]:
    ends = list(accumulate(lengths))
    return [tokens[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(vocabulary.encode()).hexdigest()

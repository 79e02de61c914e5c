"""The rows of a batch while they are decoded, each at its own length: how a token is chosen and when a row ends."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from transformers import LogitsProcessorList
from transformers.generation import EosTokenCriteria

from setaria.generation.ngram_trie.call import GenerateCall
from setaria.generation.ngram_trie.processors import split_processors
from setaria.generation.ngram_trie.tree import DraftTree


@dataclass
class Row:
    """One sequence.

    Attributes:
        ids: `[1, max_length]`: left padding, prompt and, where processors or criteria look at them, generated tokens.
        prompt_length: of `ids`, padding and prompt.
        generated: tokens so far.
        scores, logits: float32 `[vocabulary]` per generated token, processed and as the model gave them; empty unless
            they are asked for.
    """

    ids: torch.Tensor
    prompt_length: int
    processors: LogitsProcessorList
    generated: list[int] = field(default_factory=list)
    finished: bool = False
    scores: list[torch.Tensor] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)

    @property
    def length(self) -> int:
        return self.prompt_length + len(self.generated)

    @property
    def prefix(self) -> torch.Tensor:
        """`[1, length]`"""
        return self.ids[:, : self.length]


class Rows:
    """All rows of a call."""

    def __init__(self, call: GenerateCall):
        batch, tokens = call.input_ids.shape
        config, criteria = call.generation_config, call.stopping_criteria
        pad = config._pad_token_tensor
        self.pad_token = 0 if pad is None else int(pad)
        self.do_sample = config.do_sample
        self.keep_scores = bool(config.return_dict_in_generate and config.output_scores)
        self.keep_logits = bool(config.return_dict_in_generate and config.output_logits)
        self.max_length = criteria.max_length
        self.eos_tokens = {
            token
            for criterion in criteria
            if type(criterion) is EosTokenCriteria
            for token in criterion.eos_token_id.flatten().tolist()
        }
        self.other_criteria = call.other_criteria
        self.prefixes_are_read = bool(call.logits_processor or self.other_criteria)
        self.ids = call.input_ids.new_full((batch, self.max_length), self.pad_token)
        self.ids[:, :tokens] = call.input_ids
        processors = split_processors(call.logits_processor, batch)
        self.rows = [Row(self.ids[row : row + 1], tokens, own) for row, own in enumerate(processors)]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def finished(self) -> bool:
        return all(row.finished for row in self.rows)

    def accept(self, logits: torch.Tensor, trees: list[DraftTree]) -> list[list[int]]:
        """Choose the next tokens of every unfinished row, as far as its draft goes along.

        A token is chosen as plain decoding does it: from the scores after its true prefix, by argmax or by one draw.
        If it was drafted, the model has seen it already and the next one can be chosen too.

        Args:
            logits: `[batch, queries, vocabulary]`, after each node of the trees.

        Returns:
            For each row the nodes that it went along, the root first; none for a finished row.
        """
        plain = not (self.do_sample or self.keep_scores or self.keep_logits)
        greedy = logits.argmax(dim=-1).tolist() if plain and not self.rows[0].processors else None
        paths: list[list[int]] = []
        for index, (row, tree) in enumerate(zip(self.rows, trees, strict=True)):
            paths.append([])
            node: int | None = None if row.finished else 0
            while node is not None:
                paths[-1].append(node)
                token = greedy[index][node] if greedy else self._choose(row, logits[index, node])
                self._append(row, token)
                node = None if row.finished else tree.child(node, token)
        return paths

    def _choose(self, row: Row, logits: torch.Tensor) -> int:
        logits = logits.to(device=row.ids.device, dtype=torch.float32, copy=True)[None]
        scores = row.processors(row.prefix, logits)
        if self.keep_scores:
            row.scores.append(scores[0])
        if self.keep_logits:
            row.logits.append(logits[0])
        if self.do_sample:
            return int(torch.multinomial(scores.softmax(dim=-1), num_samples=1))
        return int(scores.argmax(dim=-1))

    def _append(self, row: Row, token: int) -> None:
        if self.prefixes_are_read:
            row.ids[0, row.length] = token
        row.generated.append(token)
        row.finished = token in self.eos_tokens or row.length >= self.max_length
        if self.other_criteria:
            scores = tuple(score[None] for score in row.scores) if self.keep_scores else None
            row.finished |= bool(self.other_criteria(row.prefix, scores))

    def room(self, limit: int) -> list[int]:
        """How deep the draft of each row may go: at most `limit`, and the token behind it must fit as well. -1 for a
        finished row."""
        return [-1 if row.finished else min(self.max_length - row.length - 1, limit) for row in self.rows]

    def sequences(self) -> torch.Tensor:
        """`[batch, tokens]`, finished rows padded to the longest."""
        longest = max(len(row.generated) for row in self.rows)
        generated = [row.generated + [self.pad_token] * (longest - len(row.generated)) for row in self.rows]
        prompts = self.ids[:, : self.rows[0].prompt_length]
        return torch.cat((prompts, torch.tensor(generated, dtype=prompts.dtype, device=prompts.device)), dim=1)

    def stacked(self, name: str) -> tuple[torch.Tensor, ...]:
        """`scores` or `logits` as `generate` returns them, one `[batch, vocabulary]` per step. For a row that has
        ended, its padding is certain."""
        kept = [getattr(row, name) for row in self.rows]
        ended = torch.full_like(kept[0][0], -torch.inf)
        ended[self.pad_token] = 0.0
        steps = range(max(map(len, kept)))
        return tuple(torch.stack([row[step] if step < len(row) else ended for row in kept]) for step in steps)

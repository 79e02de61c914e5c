"""The rows of a batch while they are decoded, each at its own length: how a token is chosen and when a row ends."""

from dataclasses import dataclass, field

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation import EosTokenCriteria, MaxLengthCriteria

from setaria.generation.ngram_trie.processors import split_processors
from setaria.generation.ngram_trie.tree import DraftTree


@dataclass
class Row:
    """One sequence.

    Attributes:
        ids: `[1, max_length]`, of which the first `length` are set: left padding, prompt and generated tokens.
        scores, logits: float32 `[vocabulary]` per generated token, processed and as the model gave them; empty unless
            they are asked for.
    """

    ids: torch.Tensor
    length: int
    processors: LogitsProcessorList
    finished: bool = False
    scores: list[torch.Tensor] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)


class Rows:
    """All rows of a batch.

    Args:
        input_ids: `[batch, tokens]`, left-padded.
        processors, criteria, generation_config: as `generate` prepares them.
    """

    def __init__(
        self,
        input_ids: torch.Tensor,
        processors: LogitsProcessorList,
        criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
    ):
        batch, tokens = input_ids.shape
        pad = generation_config._pad_token_tensor
        self.pad_token = 0 if pad is None else int(pad)
        self.do_sample = generation_config.do_sample
        self.keep_scores = bool(generation_config.return_dict_in_generate and generation_config.output_scores)
        self.keep_logits = bool(generation_config.return_dict_in_generate and generation_config.output_logits)
        self.max_length = criteria.max_length
        self.eos_tokens = {
            token
            for criterion in criteria
            if type(criterion) is EosTokenCriteria
            for token in criterion.eos_token_id.flatten().tolist()
        }
        known = (EosTokenCriteria, MaxLengthCriteria)
        self.other_criteria = StoppingCriteriaList(c for c in criteria if type(c) not in known)
        ids = input_ids.new_full((batch, self.max_length), self.pad_token)
        ids[:, :tokens] = input_ids
        self.rows = [
            Row(ids[row : row + 1], tokens, own) for row, own in enumerate(split_processors(processors, batch))
        ]
        self.ids = ids

    def __iter__(self):
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def unfinished(self) -> list[Row]:
        return [row for row in self.rows if not row.finished]

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
        scores = row.processors(row.ids[:, : row.length], logits)
        if self.keep_scores:
            row.scores.append(scores[0])
        if self.keep_logits:
            row.logits.append(logits[0])
        if self.do_sample:
            return int(torch.multinomial(scores.softmax(dim=-1), num_samples=1))
        return int(scores.argmax(dim=-1))

    def _append(self, row: Row, token: int) -> None:
        row.ids[0, row.length] = token
        row.length += 1
        row.finished = token in self.eos_tokens or row.length >= self.max_length
        if self.other_criteria and not row.finished:
            scores = tuple(score[None] for score in row.scores) if self.keep_scores else None
            row.finished = bool(self.other_criteria(row.ids[:, : row.length], scores))

    def room(self, limit: int | None) -> list[int]:
        """How deep the draft of each row may go: the token behind it must fit as well. -1 for a finished row.

        Args:
            limit: of a quantised cache, kept for a batch of one row; in larger ones, whose rows leave gaps, quantised
                states are not those of plain decoding anyway.
        """
        limit = self.max_length if limit is None or len(self) > 1 else limit
        return [-1 if row.finished else min(self.max_length - row.length - 1, limit) for row in self.rows]

    def last_tokens(self) -> list[int]:
        return [int(row.ids[0, row.length - 1]) for row in self.rows]

    def sequences(self) -> torch.Tensor:
        """`[batch, tokens]`, finished rows padded to the longest."""
        return self.ids[:, : max(row.length for row in self.rows)].clone()

    def stacked(self, name: str) -> tuple[torch.Tensor, ...]:
        """`scores` or `logits` as `generate` returns them, one `[batch, vocabulary]` per step. For a row that has
        ended, its padding is certain."""
        kept = [getattr(row, name) for row in self.rows]
        ended = torch.full_like(kept[0][0], -torch.inf)
        ended[self.pad_token] = 0.0
        steps = range(max(map(len, kept)))
        return tuple(torch.stack([row[step] if step < len(row) else ended for row in kept]) for step in steps)

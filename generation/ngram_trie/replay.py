"""Oracle replay: how many tokens per forward a drafter would have given on answers that a model once wrote.

No model runs: the recorded answer says which drafts would have been accepted. The prompt of Vicuna surrounds the
questions. The first token of an answer comes from the prompt's forward; behind it, every step drafts, walks the
answer along the draft tree and advances by the tokens that it finds, and one.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.drafter import Drafter


SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
MAX_ANSWER_TOKENS = 1024  # the recorded runs stopped there, so such an answer has no end
MAX_LINE_BYTES = 10_000_000


@dataclass(frozen=True)
class Turn:
    """A prompt, which includes the turns before, and what was answered, as token ids."""

    category: str
    prompt: list[int]
    answer: list[int]


@dataclass
class ReplayResult:
    """Sums over the forwards of a replay."""

    forwards: int = 0
    tokens: int = 0
    nodes: int = 0
    hits: int = 0
    seconds: float = 0.0

    def __add__(self, other: "ReplayResult") -> "ReplayResult":
        return ReplayResult(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def summary(self) -> dict[str, float]:
        """Means: tokens and draft nodes per forward, the share of forwards that accept a draft token, and
        microseconds per forward to draft and to learn what was accepted."""
        forwards = max(self.forwards, 1)
        return {
            "tokens_per_forward": self.tokens / forwards,
            "nodes_per_forward": self.nodes / forwards,
            "hit_rate": self.hits / forwards,
            "draft_us": 1e6 * self.seconds / forwards,
        }


def read_turns(file: str | Path, tokenizer: PreTrainedTokenizerBase) -> Iterator[Turn]:
    """Turns of a Spec-Bench file with answers: one JSON object per line, with `category`, `turns` and `answers`.

    Raises:
        ValueError: for a line that is none, with its number.
    """
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    with open(file, "rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES), b""), start=1):
            if not line.strip():
                continue
            text = SYSTEM
            for category, question, answer in _parse(line, f"{file}, line {number}"):
                text += f" USER: {question} ASSISTANT:"
                prompt = start + tokenizer.encode(text, add_special_tokens=False)
                tokens = tokenizer.encode(answer, add_special_tokens=False)
                if len(tokens) < MAX_ANSWER_TOKENS and tokenizer.eos_token_id is not None:
                    tokens.append(tokenizer.eos_token_id)
                yield Turn(category, prompt, tokens)
                text += f" {answer}</s>"


def replay_turn(turn: Turn, make_drafter: Callable[[list[int]], Drafter], config: NGramTrieConfig) -> ReplayResult:
    """One answer, with a drafter that knows the prompt."""
    result = ReplayResult()
    answer, done = turn.answer, 1
    drafter = make_drafter(turn.prompt)
    drafter.extend(answer[:1])
    while done < len(answer):
        started = time.perf_counter()
        tree = drafter.propose(config.budget, config.max_depth, config.min_probability)
        drafted = time.perf_counter()
        node: int | None = 0
        accepted = -1
        while node is not None:
            accepted += 1
            node = tree.child(node, answer[done + accepted]) if done + accepted < len(answer) else None
        tokens = answer[done : done + accepted + 1]
        extending = time.perf_counter()
        drafter.extend(tokens)
        result += ReplayResult(
            forwards=1,
            tokens=len(tokens),
            nodes=len(tree),
            hits=int(accepted > 0),
            seconds=drafted - started + time.perf_counter() - extending,
        )
        done += len(tokens)
    return result


def replay(
    turns: Iterable[Turn], make_drafter: Callable[[list[int]], Drafter], config: NGramTrieConfig
) -> dict[str, ReplayResult]:
    """Results by category."""
    results: dict[str, ReplayResult] = {}
    for turn in turns:
        result = replay_turn(turn, make_drafter, config)
        results[turn.category] = results.get(turn.category, ReplayResult()) + result
    return results


def _parse(line: bytes, where: str) -> list[tuple[str, str, str]]:
    try:
        row: Any = json.loads(line)
        category, questions, answers = row["category"], row["turns"], row["answers"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where} is no question with answers: {error!r}") from None
    texts = [*questions, *answers] if isinstance(questions, list) and isinstance(answers, list) else [None]
    if not all(isinstance(text, str) for text in [category, *texts]) or len(questions) != len(answers):
        raise ValueError(f"{where}: category must be a text, turns and answers lists of as many texts each")
    return [(category, question, answer) for question, answer in zip(questions, answers, strict=True)]

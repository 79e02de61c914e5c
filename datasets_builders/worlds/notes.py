"""The notes world: prompts, sloppy demonstrations and noisy preferences whose gold reward is known exactly.

A user asks for a short note to a friend (`setaria.rewards.notes_language`). The demonstrations are written by somebody
careless, so a model fine-tuned on them is decent and far from the best that `setaria.rewards.notes` can score. Pairs
of its replies are labelled by a Bradley-Terry judge with a share of flipped labels, since human preferences are noisy;
preference training has room to improve the gold reward, and room to over-optimise. All of it is our choice.
"""

import math
import random
import re
import statistics
import zlib

from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from setaria.models.tiny import chat_tokenizer
from setaria.rewards.notes import score_note
from setaria.rewards.notes_language import (
    CLOSINGS,
    COURTESIES,
    GREETINGS,
    NAMES,
    THING_OF_SENTENCE,
    THINGS,
    TONES,
    Request,
)


# How often the careless writer slips.
DROPS_A_THING = 0.3
ADDS_A_THING = 0.15
MISSES_THE_GREETING = 0.1
FORGETS_THE_COURTESY = 0.45
MISSES_THE_CLOSING = 0.45
REPEATS_A_SENTENCE = 0.1

PIECE = r"\n| ?[A-Za-z]+| |[^\sA-Za-z]"
UNKNOWN = "<|unknown|>"
HELD_OUT_SHARE = 10  # one request in so many is held out
MOST_PROMPTS = 4000


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Word-level ChatML tokenizer of the world's closed vocabulary; every text of the world decodes to itself."""
    body = " ".join([*THING_OF_SENTENCE, *sum(COURTESIES.values(), ()), *CLOSINGS.values()])
    texts = ["system\nuser\nassistant\n"]
    for tone in TONES:
        for request in (Request(tone, name, tuple(THINGS)) for name in NAMES):
            texts += [request.text, f"{request.greeting} {body}"]
    pieces = {piece for text in texts for piece in re.findall(PIECE, text)}
    vocabulary = {piece: index for index, piece in enumerate([UNKNOWN, *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return chat_tokenizer(tokenizer)


def reference_note(request: Request, seed: int = 0) -> str:
    """A perfect note, gold reward 1."""
    rng = random.Random(seed)
    body = [rng.choice(THINGS[thing]) for thing in request.things]
    return " ".join([request.greeting, *body, rng.choice(COURTESIES[request.tone]), request.closing])


def prompt_dataset(n: int, seed: int = 0, held_out: bool = False) -> Dataset:
    """`n` different requests as conversations in column `prompt`; held-out and training requests never coincide."""
    if n > MOST_PROMPTS:
        raise ValueError(f"n={n}: the notes world gives at most {MOST_PROMPTS} different prompts")
    rng = random.Random(seed)
    requests: dict[str, Request] = {}
    while len(requests) < n:
        request = _draw_request(rng, held_out)
        requests[request.text] = request
    return Dataset.from_list([{"prompt": _user(request)} for request in requests.values()])


def sft_dataset(n: int, seed: int = 0) -> Dataset:
    """`n` careless demonstrations for training requests, columns `prompt` and `completion`, as conversations."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        request = _draw_request(rng, held_out=False)
        rows.append({"prompt": _user(request), "completion": _assistant(_careless_note(request, rng))})
    return Dataset.from_list(rows)


def label_pairs(
    prompts: list[list[dict]],
    candidates: list[list[str]],
    seed: int = 0,
    beta: float = 1.5,
    flip_rate: float = 0.1,
) -> Dataset:
    """Pair each prompt's candidates two by two, skipping equal ones, and let a noisy judge choose.

    P(first chosen) = sigmoid(beta * (gold difference) / (standard deviation of gold over all candidates)), then the
    label is flipped with probability `flip_rate`.

    Args:
        prompts: conversations, as in column `prompt` of `prompt_dataset`.
        candidates: texts of the replies to each prompt, two or more of them.

    Returns:
        Dataset with the columns `prompt`, `chosen`, `rejected` (conversations), `gold_chosen`, `gold_rejected` and
        `flipped` (whether the judge's label was turned around).
    """
    rng = random.Random(seed)
    gold = [
        [score_note(prompt[-1]["content"], note).gold for note in notes]
        for prompt, notes in zip(prompts, candidates, strict=True)
    ]
    scale = statistics.pstdev([value for values in gold for value in values]) or 1.0
    rows = []
    for prompt, notes, values in zip(prompts, candidates, gold, strict=True):
        for first in range(0, len(notes) - 1, 2):
            chosen, rejected = first, first + 1
            if notes[chosen] == notes[rejected]:
                continue
            if rng.random() > _sigmoid(beta * (values[chosen] - values[rejected]) / scale):
                chosen, rejected = rejected, chosen
            flipped = rng.random() < flip_rate
            if flipped:
                chosen, rejected = rejected, chosen
            rows.append(
                {
                    "prompt": prompt,
                    "chosen": _assistant(notes[chosen]),
                    "rejected": _assistant(notes[rejected]),
                    "gold_chosen": values[chosen],
                    "gold_rejected": values[rejected],
                    "flipped": flipped,
                }
            )
    return Dataset.from_list(rows)


def _draw_request(rng: random.Random, held_out: bool) -> Request:
    while True:
        things = rng.sample(sorted(THINGS), rng.choice((1, 2, 2, 3, 3)))
        request = Request(rng.choice(TONES), rng.choice(NAMES), tuple(things))
        key = f"{request.tone} {request.name} {sorted(things)}"
        if (zlib.crc32(key.encode()) % HELD_OUT_SHARE == 0) == held_out:
            return request


def _careless_note(request: Request, rng: random.Random) -> str:
    def slips(rate: float) -> bool:
        return rng.random() < rate

    other_tone = rng.choice([tone for tone in TONES if tone != request.tone])
    things = [thing for thing in request.things if not slips(DROPS_A_THING)]
    if slips(ADDS_A_THING):
        things.append(rng.choice([thing for thing in THINGS if thing not in request.things]))
    greeting_tone = other_tone if slips(MISSES_THE_GREETING) else request.tone
    sentences = [GREETINGS[greeting_tone].format(name=request.name)]
    sentences += [rng.choice(THINGS[thing]) for thing in things]
    if not slips(FORGETS_THE_COURTESY):
        sentences.append(rng.choice(COURTESIES[request.tone]))
    if slips(REPEATS_A_SENTENCE):
        sentences.append(sentences[-1])
    if not slips(MISSES_THE_CLOSING):
        sentences.append(request.closing)
    elif slips(0.5):
        sentences.append(CLOSINGS[other_tone])
    return " ".join(sentences)


def _user(request: Request) -> list[dict]:
    return [{"role": "user", "content": request.text}]


def _assistant(note: str) -> list[dict]:
    return [{"role": "assistant", "content": note}]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))

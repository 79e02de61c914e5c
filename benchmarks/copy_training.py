"""Train a small Llama to answer from its prompt in four ways: a model to measure speculative decoding with.

    python benchmarks/copy_training.py --output copy_model

A model with random weights soon repeats itself, and drafts of what repeats are always right. This one has learnt to
answer prompts of a generated world:

- `summarise`: of a document, the five marked sentences. One content word in six brings a connective along that no
  document has.
- `extract`: of eight records in random order of fields, the values of one field, with fixed wording between.
- `rag`: of several passages, the one about an entity, behind a fixed phrase. One content word in seven is replaced by
  its synonym.
- `no_overlap`: the end of a text, word by word in another language. No word of the answer is in the prompt, and none
  comes twice: nothing can be drafted.

In the first three, frequent words are a third of the text; no other word comes twice in a prompt.

Weights are random but for what is slow to form by chance: an induction circuit (two heads that copy the last two
tokens, and one that looks where they stood before), and the embeddings of words, which start close to those of their
connectives, synonyms and translations. Everything is trained. `speculative.py` then times the decoding methods on it.
"""

import argparse
import json
import platform
import random
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from numbers import Number
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM


WORDS, FREQUENT, NAMES = 384, 16, 16
SENTENCES, RECORDS, FIELDS = 5, 8, 5  # marked sentences, records, fields per record

TRANSLATION = [(97 * word + 31) % WORDS for word in range(WORDS)]
WITH_CONNECTIVE = range(FREQUENT, WORDS, 6)
WITH_SYNONYM = range(FREQUENT + 1, WORDS, 7)
TOKENS = [
    *(f"{language}{word}" for language in "ab" for word in range(WORDS)),
    *(f"connective{word}" for word in WITH_CONNECTIVE),
    *(f"synonym{word}" for word in WITH_SYNONYM),
    *(f"{form}{name}" for form in ("name", "about") for name in range(NAMES)),
    *(f"{mark}{number}" for mark in ("<", ">") for number in range(SENTENCES)),
    *(f"{mark}{number}" for mark in ("record", "end") for number in range(RECORDS)),
    *(f"{mark}{number}" for mark in ("field", "close") for number in range(FIELDS)),
    *("SUMMARISE", "EXTRACT", "TRANSLATE", ".", "|", "next", "we", "read", "EOS"),
]
IDS = {token: number for number, token in enumerate(TOKENS)}
EOS = IDS["EOS"]

HIDDEN, HEAD_DIM, HEADS, KEY_HEADS = 256, 64, 4, 2
ROPE_THETA, RANDOM_SCALE, CIRCUIT_SCALE = 1e8, 0.02, 0.1  # scales of what blocks add
STEPS, WARMUP_STEPS, DECAY_STEPS, LEARNING_RATE = 600, 30, 250, 2e-3
ROWS = {"summarise": 3, "extract": 2, "rag": 2, "no_overlap": 1}  # in a training step
HELD_OUT_SEED = 1_000_000  # far from the seeds one trains with
HELD_OUT_PROMPTS, MAX_NEW_TOKENS = 32, 256


def writer(generator: random.Random) -> Callable[[int, int], list[int]]:
    """Writes sentences of word numbers, in which no content word comes twice."""
    content = generator.sample(range(FREQUENT, WORDS), WORDS - FREQUENT)

    def sentence(shortest: int, longest: int) -> list[int]:
        words, length = [content.pop()], generator.randint(shortest, longest)
        while len(words) < length:
            if len(words) < length - 1 and generator.random() < 0.45:
                words.append(generator.randrange(FREQUENT))
            words.append(content.pop())
        return words

    return sentence


def summarise(generator: random.Random) -> tuple[list[str], list[str]]:
    sentence = writer(generator)
    document = [sentence(8, 14) for _ in range(generator.randint(20, 34))]
    marked = sorted(generator.sample(range(len(document)), SENTENCES))
    prompt, answer = [], []
    for index, words in enumerate(document):
        if index in marked:
            begin, end = (f"{mark}{marked.index(index)}" for mark in "<>")
            prompt += [begin, *plain(words), end]
            answer += [begin, *with_connectives(words), end]
        else:
            prompt += [*plain(words), "."]
    return [*prompt, "SUMMARISE"], answer


def extract(generator: random.Random) -> tuple[list[str], list[str]]:
    sentence, asked = writer(generator), generator.randrange(FIELDS)
    prompt, answer = [], []
    for record in range(RECORDS):
        for field in generator.sample(range(FIELDS), FIELDS):
            values = plain(sentence(3, 9))
            line = [f"record{record}", f"field{field}", *values, f"end{record}", f"close{field}"]
            prompt += line
            answer += [*line, "next"] if field == asked else []
    return [*prompt, f"close{asked}", "EXTRACT"], answer[:-1]


def rag(generator: random.Random) -> tuple[list[str], list[str]]:
    sentence, prompt, passages = writer(generator), [], []
    names = generator.sample(range(NAMES), generator.randint(3, 5))
    for name in names:
        passages.append([sentence(8, 14) for _ in range(generator.randint(5, 8))])
        prompt += [f"name{name}", *(token for words in passages[-1] for token in (*plain(words), ".")), "|"]
    asked = generator.randrange(len(names))
    body = [token for words in passages[asked] for token in (*with_synonyms(words), ".")]
    return [*prompt, f"about{names[asked]}"], ["we", "read", f"name{names[asked]}", *body, "|"]


def no_overlap(generator: random.Random) -> tuple[list[str], list[str]]:
    text = generator.sample(range(WORDS), generator.randint(220, WORDS))
    source = generator.randint(60, 160)
    prompt = [*plain(text[source:]), "TRANSLATE", *plain(text[:source]), "TRANSLATE"]
    return prompt, [f"b{TRANSLATION[word]}" for word in text[:source]]


KINDS = {"summarise": summarise, "extract": extract, "rag": rag, "no_overlap": no_overlap}


def plain(words: list[int]) -> list[str]:
    return [f"a{word}" for word in words]


def with_connectives(words: list[int]) -> list[str]:
    return [token for word in words for token in (f"a{word}", f"connective{word}")[: 1 + (word in WITH_CONNECTIVE)]]


def with_synonyms(words: list[int]) -> list[str]:
    return [f"synonym{word}" if word in WITH_SYNONYM else f"a{word}" for word in words]


def example(kind: str, seed: int) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of its answer, `EOS` included."""
    prompt, answer = KINDS[kind](random.Random(f"{kind} {seed}"))
    return [IDS[token] for token in prompt], [*(IDS[token] for token in answer), EOS]


def batch(examples: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels `[rows, tokens]`, padded on the right; answers only have labels."""
    longest = max(len(prompt) + len(answer) for prompt, answer in examples)
    inputs = torch.full((len(examples), longest), EOS)
    labels = torch.full((len(examples), longest), -100)
    for row, (prompt, answer) in enumerate(examples):
        end = len(prompt) + len(answer)
        inputs[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return inputs, labels


def build_model() -> LlamaForCausalLM:
    """Random weights with small outputs of all blocks, related words close to each other, and the circuit."""
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=3,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=EOS,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embeddings = model.model.embed_tokens.weight.normal_(0, HIDDEN**-0.5)
        for related, word in related_words():
            embeddings[related] = embeddings[word] + 0.5 * embeddings[related]
        # words that bring a connective along share a direction
        embeddings[[IDS[f"a{word}"] for word in WITH_CONNECTIVE]] += 0.5 * torch.randn(HIDDEN) * HIDDEN**-0.5
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(RANDOM_SCALE)
            layer.mlp.down_proj.weight.mul_(RANDOM_SCALE)
        add_induction(model)
    return model


def related_words() -> list[tuple[int, int]]:
    """Ids of connectives, synonyms and translations, each with that of its word."""
    return [
        *((IDS[f"b{TRANSLATION[word]}"], IDS[f"a{word}"]) for word in range(WORDS)),
        *((IDS[f"connective{word}"], IDS[f"a{word}"]) for word in WITH_CONNECTIVE),
        *((IDS[f"synonym{word}"], IDS[f"a{word}"]) for word in WITH_SYNONYM),
    ]


def add_induction(model: LlamaForCausalLM) -> None:
    """Write the circuit into the first key head of layers 0 and 1.

    Layer 0: the key is one vector for all tokens, and the queries of its two heads are that vector rotated by one and
    by two positions backwards: they copy the last token to directions `last` and the one before it to `before`. Layer
    1: `last` and `before` of a key are compared with the token itself and with its `last`, in the slowly rotating
    channels, which hardly depend on the distance. What stands where both agree is passed on to the output.
    """
    first, second = (model.model.layers[index].self_attn for index in (0, 1))
    half = HEAD_DIM // 2
    frequencies = ROPE_THETA ** (-torch.arange(half) / half)
    read, last, before, passed = torch.linalg.qr(torch.randn(HIDDEN, HIDDEN))[0].T.split(HEAD_DIM)

    embeddings = model.model.embed_tokens.weight
    embeddings[:, 0] = 0.5  # the same in all tokens
    for weight in (first.q_proj.weight[: 2 * HEAD_DIM], first.k_proj.weight[:HEAD_DIM]):
        weight.zero_()
    fast = (frequencies > 1e-2).float()
    first.k_proj.weight[:HEAD_DIM, 0] = torch.cat((fast, torch.zeros(half)))
    for head, copied in enumerate((last, before)):
        angles, rows = (head + 1) * frequencies, slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        first.q_proj.weight[rows, 0] = 2 * torch.cat((fast * angles.cos(), -fast * angles.sin()))
        first.o_proj.weight[:, rows] = CIRCUIT_SCALE * copied.T
    first.v_proj.weight[:HEAD_DIM] = read

    slow = (torch.cat((frequencies, frequencies)) < 1.5e-3)[:, None]
    second.q_proj.weight[:HEAD_DIM] = 2.0 * slow * (read + last.roll(1, 0))
    second.k_proj.weight[:HEAD_DIM] = slow * (last + before.roll(1, 0))
    second.v_proj.weight[:HEAD_DIM] = read
    second.o_proj.weight[:, :HEAD_DIM] = CIRCUIT_SCALE * passed.T
    model.lm_head.weight += embeddings @ read.T @ passed


def train(model: LlamaForCausalLM, seed: int) -> None:
    """Minimise the loss of answers, with all kinds in every step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP_STEPS, 1, (STEPS - step) / DECAY_STEPS)
    )
    started = time.perf_counter()
    model.train()
    for step in range(STEPS):
        first = (seed * STEPS + step) * max(ROWS.values())
        inputs, labels = batch([example(kind, first + row) for kind, rows in ROWS.items() for row in range(rows)])
        output = model(inputs, labels=labels)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 20 == 19:
            print(f"step {step + 1}, {time.perf_counter() - started:.0f} s: loss {output.loss.item():.3f}", flush=True)
    model.eval()


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, count: int) -> dict[str, dict[str, float]]:
    """Of each kind: the share of answer tokens that are right after the true ones, of those that are right in free
    generation, and of answers that are entirely right; and mean lengths."""
    results = {}
    for kind in KINDS:
        sums = dict.fromkeys(("teacher_forced", "free_tokens", "free_answers", "prompt_tokens", "answer_tokens"), 0)
        for number in range(count):
            prompt, answer = example(kind, HELD_OUT_SEED + number)
            inputs, labels = batch([(prompt, answer)])
            generated = model.generate(torch.tensor([prompt]), max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
            found = generated[0, len(prompt) :].tolist()
            sums["teacher_forced"] += (model(inputs).logits[0, :-1].argmax(-1) == labels[0, 1:]).sum().item()
            sums["free_tokens"] += sum(left == right for left, right in zip(found, answer, strict=False))
            sums["free_answers"] += found == answer
            sums["prompt_tokens"] += len(prompt)
            sums["answer_tokens"] += len(answer)
        counts = {"teacher_forced": sums["answer_tokens"], "free_tokens": sums["answer_tokens"]}
        results[kind] = {name: value / counts.get(name, count) for name, value in sums.items()}
        print(kind, {name: round(value, 4) for name, value in results[kind].items()}, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the model and copy_training.json")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    model = build_model()
    started = time.perf_counter()
    train(model, options.seed)
    figures = {
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started),
        "settings": {name: value for name, value in globals().items() if name.isupper() and isinstance(value, Number)},
        "rows": ROWS,
        "accuracy": evaluate(model, HELD_OUT_PROMPTS),
        **{"machine": platform.machine(), "python": platform.python_version(), "date": date.today().isoformat()},
        **{name: version(name) for name in ("torch", "transformers")},
    }
    model.save_pretrained(options.output)
    (options.output / "copy_training.json").write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

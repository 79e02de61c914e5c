"""Train a small Llama to recall the value of any key in 2048 tokens: a model to try KV caches on.

    python benchmarks/recall_training.py --output recall_model

A context is filler tokens with a record `key value` in every 16 of them; no two records have the same key, and one of
them is the needle. The query `ASK key` comes last, and the greedy answer must be its value. In a training sequence a
context is followed by queries of all its records in random order, and their values count in the loss; contexts grow
from 8 records in 16 tokens to 128 in 2048.

Weights are random but for three heads that start as an induction circuit (a head that copies the token before, and one
that looks for what was copied), since its formation by chance takes longer than all the rest. Everything is trained.

`kv_cache_recall.py` then asks it through quantised caches.
"""

import argparse
import json
import platform
import statistics
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from setaria.models.induction import add_induction


KEYS, VALUES, FILLERS = 512, 64, 63
ASK = KEYS + VALUES + FILLERS  # the last token; ids run keys, values, fillers
SLOT = 16  # tokens per record, filler included
CONTEXT, QUERY_TOKENS = 2048, 2
ROPE_THETA, OUTPUT_SCALE = 1e6, 0.1

# Records per training sequence, tokens per record, and steps; in the last stage the learning rate falls to zero.
STAGES = ((8, 2, 100), (16, 4, 75), (32, 8, 50), (64, SLOT, 75), (128, SLOT, 150))
TOKENS_PER_STEP = 4096
LEARNING_RATE = 2e-3
WARMUP_STEPS = 50

DEPTHS = tuple(index / 7 for index in range(8))
PROMPTS_PER_DEPTH, PROMPTS_PER_BATCH = 64, 8
EVALUATION_SEED = 1_000_000  # plus the index of the depth; far from the seeds one trains with


def random_contexts(rows: int, records: int, slot: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Contexts int64 `[rows, records * slot]`, and the keys and values in them, in order, `[rows, records]`."""
    keys = torch.rand(rows, KEYS, generator=generator).topk(records).indices
    values = KEYS + torch.randint(VALUES, (rows, records), generator=generator)
    context = KEYS + VALUES + torch.randint(FILLERS, (rows, records, slot), generator=generator)
    place = torch.randint(slot - 1, (rows, records, 1), generator=generator)
    context.scatter_(2, place, keys[..., None]).scatter_(2, place + 1, values[..., None])
    return context.flatten(1), keys, values


def training_batch(records: int, slot: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels `[rows, records * (slot + 3)]`: contexts, then `ASK key value` for every record."""
    rows = max(TOKENS_PER_STEP // (records * (slot + 3)), 1)
    context, keys, values = random_contexts(rows, records, slot, generator)
    order = torch.rand(rows, records, generator=generator).argsort(-1)
    asked = torch.stack([torch.full_like(keys, ASK), keys.gather(1, order), values.gather(1, order)], -1)
    ignored = torch.full_like(asked, -100)
    ignored[..., 2] = asked[..., 2]
    labels = torch.cat([torch.full_like(context, -100), ignored.flatten(1)], -1)
    return torch.cat([context, asked.flatten(1)], -1), labels


def recall_prompts(count: int, context: int, depth: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts `[count, tokens]` of at most `context` tokens, which end with the query, and answers `[count, 1]`.

    The needle is the first record at `depth` 0 and the last at 1.
    """
    generator = torch.Generator().manual_seed(seed)
    contexts, keys, values = random_contexts(count, (context - QUERY_TOKENS) // SLOT, SLOT, generator)
    needle = round(depth * (keys.size(1) - 1))
    key = keys[:, needle : needle + 1]
    return torch.cat([contexts, torch.full_like(key, ASK), key], -1), values[:, needle : needle + 1]


@torch.no_grad()
def exact_match(model: LlamaForCausalLM, prompts: torch.Tensor, answers: torch.Tensor) -> float:
    """Share of `prompts` `[count, tokens]` whose greedy continuation is that of `answers` `[count, 1]`."""
    correct = 0
    for batch, expected in zip(prompts.split(PROMPTS_PER_BATCH), answers.split(PROMPTS_PER_BATCH), strict=True):
        correct += (model(batch, logits_to_keep=1).logits.argmax(-1) == expected).sum().item()
    return correct / len(prompts)


def build_model() -> LlamaForCausalLM:
    """Random weights with small outputs of all blocks, and the induction circuit."""
    config = LlamaConfig(
        vocab_size=ASK + 1,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2 * CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        initializer_range=0.08,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, config.hidden_size**-0.5)
    add_induction(model.model.embed_tokens, model.model.layers, ROPE_THETA, OUTPUT_SCALE)
    return model


def train(model: LlamaForCausalLM, generator: torch.Generator) -> int:
    """Train on longer and longer sequences, at a rate that falls to zero in the last stage; returns the steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    last = STAGES[-1][-1]
    total = sum(stage[-1] for stage in STAGES)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP_STEPS, 1, (total - step) / last)
    )
    model.train()
    for records, slot, steps in STAGES:
        started, accuracy = time.perf_counter(), 0.0
        for _ in range(steps):
            accuracy = 0.9 * accuracy + 0.1 * training_step(
                model, optimizer, *training_batch(records, slot, generator)
            )
            schedule.step()
        seconds = time.perf_counter() - started
        print(f"{records:3} records: {steps} steps, {seconds:.0f} s, accuracy {accuracy:.3f}", flush=True)
    return total


def training_step(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, inputs: torch.Tensor, labels: torch.Tensor
) -> float:
    """Update `model` on `inputs` and `labels` `[rows, tokens]`; returns the share of labelled tokens it predicted."""
    output = model(inputs, labels=labels)
    output.loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    predicted, expected = output.logits[:, :-1].argmax(-1), labels[:, 1:]
    return (predicted == expected)[expected != -100].float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the model and recall_training.json")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    model = build_model()
    started = time.perf_counter()
    steps = train(model, torch.Generator().manual_seed(options.seed))
    seconds = time.perf_counter() - started
    model.eval().save_pretrained(options.output)

    by_depth = {}
    for index, depth in enumerate(DEPTHS):
        prompts = recall_prompts(PROMPTS_PER_DEPTH, CONTEXT, depth, EVALUATION_SEED + index)
        by_depth[f"{depth:.2f}"] = exact_match(model, *prompts)
        print(f"depth {depth:.2f}: exact match {by_depth[f'{depth:.2f}']:.3f}", flush=True)
    figures = {
        "seed": options.seed,
        "steps": steps,
        "seconds": round(seconds),
        "settings": {name: value for name, value in globals().items() if name.isupper()},
        "exact_match": statistics.mean(by_depth.values()),
        "exact_match_by_depth": by_depth,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        **{name: version(name) for name in ("torch", "transformers")},
    }
    (options.output / "recall_training.json").write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

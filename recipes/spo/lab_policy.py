"""What the lab measures of a policy on held-out prompts: gold reward, win rate and distance from where it started."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from setaria.datasets_builders.worlds.replies import generation_inputs
from setaria.rewards.notes import score_note


@dataclass
class PolicySamples:
    """Samples of one policy.

    Attributes:
        gold: gold reward of each sample.
        kl: mean over samples of KL(policy || start) of whole replies, in nats.
        tokens: mean length of a sample, its end of text included.
    """

    gold: list[float]
    kl: float
    tokens: float


@torch.no_grad()
def sample_policy(
    model: PreTrainedModel,
    start: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[dict[str, Any]]],
    max_new_tokens: int,
    seed: int,
) -> PolicySamples:
    """Sample one reply per prompt at temperature 1, in one batch.

    The KL of whole replies is the sum over a sample's positions of the exact KL between the next-token distributions,
    which has the expectation of the log-ratio and less variance.
    """
    training = model.training
    model.eval()
    prompt_mask, sequences = _sampled(model, tokenizer, prompts, max_new_tokens, seed)
    prompt_length = prompt_mask.size(1)
    replies = sequences[:, prompt_length:]
    ended = (replies == tokenizer.eos_token_id).cumsum(1)
    mask = (ended == 0) | ((ended == 1) & (replies == tokenizer.eos_token_id))
    attention_mask = torch.cat([prompt_mask, mask.long()], dim=1)

    def next_token_logps(policy: PreTrainedModel) -> torch.Tensor:
        logits = policy(input_ids=sequences, attention_mask=attention_mask).logits
        return logits[:, prompt_length - 1 : -1].log_softmax(-1)

    now, then = next_token_logps(model), next_token_logps(start)
    kl = ((now.exp() * (now - then)).sum(-1) * mask).sum(1).mean().item()
    model.train(training)
    texts = tokenizer.batch_decode(replies, skip_special_tokens=True)
    requests = [prompt[-1]["content"] for prompt in prompts]
    gold = [score_note(request, text).gold for request, text in zip(requests, texts, strict=True)]
    return PolicySamples(gold, kl, mask.sum(1).float().mean().item())


def win_rate(gold: list[float], baseline: list[float]) -> float:
    """Share of samples with more gold than the baseline's on the same prompt, ties counting half."""
    wins = [float(ours > theirs) + 0.5 * float(ours == theirs) for ours, theirs in zip(gold, baseline, strict=True)]
    return sum(wins) / len(wins)


def _sampled(model, tokenizer, prompts, max_new_tokens, seed):
    """Attention mask of the left-padded prompts, and prompts with replies; the global random state is left alone."""
    inputs = generation_inputs(tokenizer, prompts)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sequences = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=True, top_k=0)
    return inputs["attention_mask"], sequences

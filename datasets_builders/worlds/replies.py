"""Sampled replies: several answers of a model to each prompt, in left-padded batches."""

import torch
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def sample_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[dict]],
    per_prompt: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> list[list[str]]:
    """Texts of `per_prompt` replies to each prompt; greedy where `temperature` is 0.

    The global random state and the model's training mode are as before afterwards.

    Args:
        prompts: conversations ending with the user's turn.
        max_new_tokens: where a reply that has not ended is cut off.
    """
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    was_training = model.training
    model.eval()
    replies: list[str] = []
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            repeated = [prompt for prompt in prompts for _ in range(per_prompt)]
            for start in range(0, len(repeated), batch_size):
                replies += _reply_batch(
                    model, tokenizer, repeated[start : start + batch_size], max_new_tokens, sampling
                )
    finally:
        model.train(was_training)
    return [replies[start : start + per_prompt] for start in range(0, len(replies), per_prompt)]


def generation_inputs(tokenizer: PreTrainedTokenizerBase, prompts: list[list[dict]]) -> BatchEncoding:
    """The prompts as the model sees them before it answers, left-padded, `[prompts, length]`."""
    return tokenizer.apply_chat_template(
        prompts,
        add_generation_prompt=True,
        padding=True,
        tokenizer_kwargs={"padding_side": "left"},
        return_dict=True,
        return_tensors="pt",
    )


def _reply_batch(model, tokenizer, prompts, max_new_tokens, sampling) -> list[str]:
    inputs = generation_inputs(tokenizer, prompts).to(model.device)
    sequences = model.generate(**inputs, max_new_tokens=max_new_tokens, **sampling)
    return tokenizer.batch_decode(sequences[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

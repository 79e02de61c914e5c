import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from setaria.models.induction import add_induction


STEPS, VOCABULARY, LENGTH = 60, 128, 40


def twice(generator: torch.Generator) -> torch.Tensor:
    """Different tokens in random order, and the same again, `[32, 80]`."""
    rows = torch.rand(32, VOCABULARY, generator=generator).argsort(1)[:, :LENGTH]
    return torch.cat((rows, rows), 1)


LLAMA = (LlamaForCausalLM, LlamaConfig, {}, {"output_scale": 0.1})
QWEN3 = (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 24}, {"output_scale": 0.05, "circuit_scale": 0.15})


def accuracy_after_training(model_class, config_class, more, scales) -> float:
    """Share of tokens of the second half that are predicted after a few steps; without scales, without the circuit."""
    torch.manual_seed(0)
    config = config_class(
        vocab_size=VOCABULARY,
        hidden_size=96,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        initializer_range=96**-0.5,
        tie_word_embeddings=True,
        **more,
    )
    model = model_class(config)
    if scales:
        add_induction(model.model.embed_tokens, model.model.layers, 1e6, **scales)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        tokens = twice(generator)
        logits = model(tokens).logits[:, LENGTH:-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, LENGTH + 1 :].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    tokens = twice(generator)
    return (model(tokens).logits[:, LENGTH:-1].argmax(-1) == tokens[:, LENGTH + 1 :]).float().mean().item()


@pytest.mark.parametrize("family", [LLAMA, QWEN3], ids=["llama", "qwen3"])
def test_what_followed_a_token_is_learned_at_once_with_the_circuit_and_not_without(family):
    assert accuracy_after_training(*family) > 0.5
    assert accuracy_after_training(*family[:3], None) < 0.15  # one of 40 tokens by chance

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from setaria.models.induction import add_induction


STEPS, VOCABULARY, LENGTH = 60, 128, 40


def twice(generator: torch.Generator) -> torch.Tensor:
    """Different tokens in random order, and the same again, `[32, 80]`."""
    rows = torch.rand(32, VOCABULARY, generator=generator).argsort(1)[:, :LENGTH]
    return torch.cat((rows, rows), 1)


def accuracy_after_training(circuit: bool) -> float:
    """Share of tokens of the second half that are predicted after a few steps."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=96,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        initializer_range=96**-0.5,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    if circuit:
        add_induction(model.model.embed_tokens, model.model.layers, 1e6, output_scale=0.1)
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


def test_what_followed_a_token_is_learned_at_once_with_the_circuit_and_not_without():
    assert accuracy_after_training(circuit=True) > 0.5
    assert accuracy_after_training(circuit=False) < 0.15  # one of 40 tokens by chance

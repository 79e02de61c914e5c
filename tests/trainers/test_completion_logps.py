"""The LM head on completion tokens only: its numbers, what it is given, and that nothing stays behind."""

import pytest
import torch
import torch.nn.functional as F
from trl.trainer import utils as trl_utils
from trl.trainer.utils import add_fused_lm_head

from setaria.models.tiny import tiny_llama
from setaria.trainers import completion_logps
from setaria.trainers.completion_logps import CompletionTokens, completion_outputs


IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 0]])
MASK = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0]])


@pytest.fixture
def model(tokenizer):
    model = tiny_llama(tokenizer)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    return model


def test_tokens_of_rows():
    # Row 0 predicts 7 from position 1 and 8 from 2; row 1 predicts 10 from its position 0, the flat position 4.
    tokens = CompletionTokens.of_rows(IDS, MASK)
    assert tokens.source.tolist() == [1, 2, 4]
    assert tokens.target.tolist() == [7, 8, 10]
    assert tokens.spread(torch.tensor([1.0, 2.0, 3.0])).tolist() == [[0, 1, 2], [3, 0, 0]]


@pytest.mark.parametrize("tile_elements", [24, 2**19])
def test_equals_plain_logits(model, monkeypatch, tile_elements):
    monkeypatch.setattr(completion_logps, "TILE_ELEMENTS", tile_elements)  # 24: tiles of 3 tokens by 8 of 263 ids
    expected = F.log_softmax(model(IDS).logits, -1)
    outputs = completion_outputs(model, model, {"input_ids": IDS}, CompletionTokens.of_rows(IDS, MASK))
    by_hand = torch.stack([expected[0, 1, 7], expected[0, 2, 8], expected[1, 0, 10]])
    entropies = -(expected.exp() * expected).sum(-1)
    assert torch.allclose(outputs.log_probs, by_hand, atol=1e-5)
    assert torch.allclose(outputs.entropy, torch.stack([entropies[0, 1], entropies[0, 2], entropies[1, 0]]), atol=1e-5)
    (gradient,) = torch.autograd.grad(outputs.log_probs.sum(), model.lm_head.weight)
    (by_hand_gradient,) = torch.autograd.grad(by_hand.sum(), model.lm_head.weight)
    assert torch.allclose(gradient, by_hand_gradient, atol=1e-5)


def test_a_batch_without_completions_is_a_differentiable_zero(model):
    tokens = CompletionTokens.of_rows(IDS, torch.zeros_like(MASK))
    outputs = completion_outputs(model, model, {"input_ids": IDS}, tokens)
    tokens.spread(outputs.log_probs).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_nothing_stays_behind(model, monkeypatch):
    wide = trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE
    monkeypatch.setattr(model.model, "embed_tokens", None)
    with pytest.raises(TypeError):
        completion_outputs(model, model, {"input_ids": IDS}, CompletionTokens.of_rows(IDS, MASK))
    assert wide == trl_utils._CHUNKED_LOGPROB_CHUNK_SIZE
    assert not model.model._forward_hooks

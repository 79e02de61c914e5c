"""Prefix sharing: the layout in literal tensors, and equality with the ordinary path through the trainer."""

import pytest
import torch
from preference_rows import LAYOUTS, history
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM

from setaria.models.tiny import tiny_llama
from setaria.trainers.completion_logps import CompletionTokens
from setaria.trainers.shared_prompt import share_prompts
from setaria.trainers.shared_prompt_attention import use_shared_prompt_attention


def gradients(trainer) -> dict[str, torch.Tensor]:
    """The gradients of one training step on the trainer's first four rows."""
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(4)])
    trainer.compute_loss(trainer.model.train(), batch).backward()
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


def calls(module: torch.nn.Module, what) -> list:
    """A list to which every forward of `module` appends `what(args, kwargs)`."""
    seen = []
    module.register_forward_pre_hook(lambda _, args, kwargs: seen.append(what(args, kwargs)), with_kwargs=True)
    return seen


def test_layout(tokenizer):
    # Pair 0: prompt 1 2, chosen 3, rejected 4 5 6. Pair 1: prompt 7 8 9, chosen 10 11, rejected 12.
    batch = {
        "input_ids": torch.tensor([[1, 2, 3, 0, 0], [7, 8, 9, 10, 11], [1, 2, 4, 5, 6], [7, 8, 9, 12, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
    }
    completion_mask = torch.tensor([[0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 0]])
    policy = tiny_llama(tokenizer)
    use_shared_prompt_attention(policy)
    inputs, tokens = share_prompts(policy, batch, completion_mask)
    assert inputs["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]
    # A rejected token has the position it has behind the prompt.
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 2, 3, 4], [0, 1, 2, 3, 4, 3]]
    # Rows are queries from slot 2 on, the end of the shorter prompt; the queries before are causal. A rejected token
    # sees the prompt and the rejected tokens before it, never the chosen ones.
    assert inputs["attention_mask"][0, 0].int().tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 1, 1],
    ]
    # In the order of the four rows. Both first tokens of pair 0 come from its last prompt position, 1.
    assert tokens.target.tolist() == [3, 10, 11, 4, 5, 6, 12]
    assert tokens.source.tolist() == [1, 6 + 2, 6 + 3, 1, 3, 4, 6 + 2]
    assert torch.equal(tokens.mask, CompletionTokens.of_rows(batch["input_ids"], completion_mask).mask)


def test_padding_sees_something(tokenizer):
    # A row of padding that sees no key is NaN in sdpa; here padding sees the prompt and itself.
    batch = {
        "input_ids": torch.tensor([[1, 2, 0], [3, 4, 5], [1, 6, 0], [3, 7, 8]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1]]),
    }
    policy = tiny_llama(tokenizer)
    use_shared_prompt_attention(policy)
    inputs, _ = share_prompts(policy, batch, torch.tensor([[0, 1, 0], [0, 1, 1], [0, 1, 0], [0, 1, 1]]))
    assert inputs["attention_mask"].any(-1).all()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layout", ["conversational", "plain_text"])
def test_equals_the_ordinary_path(layout, attention, tokenizer, spo_trainer):
    by_sharing = {}
    for share_prompt in (False, True):
        model = tiny_llama(tokenizer)
        model.set_attn_implementation(attention)
        trainer = spo_trainer(model, LAYOUTS[layout](), share_prompt=share_prompt)
        shapes = calls(model.model, lambda args, kwargs: kwargs["input_ids"].shape)
        by_sharing[share_prompt] = gradients(trainer), shapes[-1], trainer
    (separate, shape, _), (shared, shared_shape, trainer) = by_sharing[False], by_sharing[True]
    assert (shape[0], shared_shape[0]) == (8, 4)
    assert separate.keys() == shared.keys()
    for name, gradient in separate.items():
        assert torch.allclose(gradient, shared[name], atol=1e-5), name
    trainer.train()
    ordinary = by_sharing[False][2]
    ordinary.train()
    assert history(trainer, "loss") == pytest.approx(history(ordinary, "loss"), abs=1e-5)


def test_images_are_encoded_once(vision_trainer):
    by_sharing = {}
    for share_prompt in (False, True):
        trainer = vision_trainer(share_prompt=share_prompt)
        patches = calls(trainer.model.model.visual, lambda args, kwargs: args[0].size(0))
        by_sharing[share_prompt] = gradients(trainer), patches[-1]
    (separate, patches), (shared, shared_patches) = by_sharing[False], by_sharing[True]
    assert shared_patches * 2 == patches
    assert any("visual" in name for name in shared)
    for name, gradient in separate.items():
        assert torch.allclose(gradient, shared[name], atol=1e-5), name


def test_attention_without_a_mask_is_refused(tokenizer, spo_trainer):
    model = tiny_llama(tokenizer)
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="share_prompt=True needs attn_implementation sdpa or eager"):
        spo_trainer(model, share_prompt=True)


def test_a_model_that_ignores_the_mask_is_refused(tokenizer, spo_trainer):
    # A window of 8 tokens reaches differently far when the chosen completion stands between prompt and rejected.
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=8,
        initializer_range=1.0,
    )
    trainer = spo_trainer(MistralForCausalLM(config), share_prompt=True)
    with pytest.raises(ValueError, match="changes the log-probabilities of MistralForCausalLM"):
        trainer.train()


def test_the_model_generates_and_saves_as_before(tokenizer, spo_trainer, tmp_path):
    model = tiny_llama(tokenizer)
    prompts = tokenizer(["one", "two three"], return_tensors="pt", padding=True, padding_side="left")
    before = model.generate(**prompts, max_new_tokens=8, do_sample=False)
    spo_trainer(model, share_prompt=True)
    assert torch.equal(model.generate(**prompts, max_new_tokens=8, do_sample=False), before)
    model.save_pretrained(tmp_path / "saved")
    assert LlamaForCausalLM.from_pretrained(tmp_path / "saved").config._attn_implementation == "sdpa"

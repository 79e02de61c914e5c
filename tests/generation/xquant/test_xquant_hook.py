"""The context manager: what it reaches, what it leaves alone, and that it leaves no trace."""

import logging

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from tiny_families import tiny, tokens
from transformers import DynamicCache, pipeline
from trl import GRPOConfig, GRPOTrainer

from setaria.generation import XQuantCache, XQuantConfig, xquant
from setaria.models.tiny import byte_tokenizer, tiny_llama


SMALL = XQuantConfig(value_bits=1, v_share_from=0, residual_length=16, group_size=16)
GREEDY = {"max_new_tokens": 30, "do_sample": False}


def state(model):
    return dict(vars(model)), model.config.get_text_config(decoder=True)._attn_implementation


def test_it_leaves_no_trace_also_after_an_exception():
    model = tiny("llama")
    before = state(model)
    plain = model.generate(tokens(1, 40), **GREEDY)
    with xquant(model, SMALL):
        assert state(model) != before
        assert model.config._attn_implementation == "xquant"
        assert not torch.equal(model.generate(tokens(1, 40), **GREEDY), plain)
    assert state(model) == before
    with pytest.raises(KeyError), xquant(model, SMALL):
        raise KeyError
    assert state(model) == before
    assert torch.equal(model.generate(tokens(1, 40), **GREEDY), plain)


def test_contexts_nest_and_the_inner_one_counts():
    model = tiny("llama")
    with xquant(model, "kivi-4") as outer:
        with xquant(model, SMALL) as inner:
            model.generate(tokens(1, 40), **GREEDY)
            assert outer.cache is None
            assert inner.cache.quantization is SMALL
        model.generate(tokens(1, 40), **GREEDY)
        assert outer.cache.quantization == XQuantConfig.preset("kivi-4")
    assert model.config._attn_implementation == "sdpa"


def test_eager_and_softcapped_models_keep_their_attention():
    eager = tiny("llama", attn_implementation="eager")
    softcapped = tiny("gemma2", attn_logit_softcapping=20.0, attn_implementation="eager")
    for model in (eager, softcapped):
        with xquant(model, SMALL) as hook:
            model.generate(tokens(1, 40), **GREEDY)
            assert model.config._attn_implementation == "eager"
            assert hook.cache.memory().codes > 0


def test_a_call_with_its_own_cache_or_without_one_is_left_alone():
    model = tiny("llama")
    plain = model.generate(tokens(1, 40), **GREEDY)
    with xquant(model, SMALL) as hook:
        own = DynamicCache(config=model.config)
        torch.testing.assert_close(model.generate(tokens(1, 40), past_key_values=own, **GREEDY), plain)
        torch.testing.assert_close(model.generate(tokens(1, 40), use_cache=False, **GREEDY), plain)
        assert hook.cache is None


@pytest.mark.parametrize("implementation", ["static", "quantized", "offloaded_static"])
def test_other_cache_implementations_are_refused(implementation):
    model = tiny("llama")
    with (
        xquant(model, SMALL),
        pytest.raises(ValueError, match=f"cache_implementation='{implementation}' cannot be used"),
    ):
        model.generate(tokens(1, 40), cache_implementation=implementation, **GREEDY)


def test_pipelines():
    tokenizer = byte_tokenizer()
    model = tiny_llama(tokenizer, num_hidden_layers=4, initializer_range=0.3)
    generate = pipeline("text-generation", model=model, tokenizer=tokenizer)
    texts = ["Once upon a time there was a small cache.", "Once"]
    settings = {"max_new_tokens": 60, "do_sample": False, "return_full_text": False}
    plain = generate(texts, batch_size=2, **settings)
    with xquant(model, SMALL) as hook:
        batched = generate(texts, batch_size=2, **settings)
        assert hook.cache.memory().codes > 0
        # left padding is known from the pipeline's mask: the batch changes nothing
        assert batched == [generate(text, **settings) for text in texts]
    assert batched != plain


def test_peft_models():
    base = tiny("llama")
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    expected = base.generate(tokens(1, 40), past_key_values=XQuantCache(base.config, SMALL), **GREEDY)
    with xquant(adapted, SMALL) as hook:
        assert torch.equal(adapted.generate(input_ids=tokens(1, 40), **GREEDY), expected)
        assert hook.cache.memory().codes > 0


def test_prefix_tuning_is_refused():
    adapted = get_peft_model(tiny("llama"), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    with pytest.raises(ValueError, match="prefix tuning brings a cache of its own"), xquant(adapted):
        pass


def test_what_cannot_generate_is_refused():
    with (
        pytest.raises(ValueError, match="Linear is no transformers model that can generate"),
        xquant(torch.nn.Linear(1, 1)),
    ):
        pass
    with pytest.raises(ValueError, match=r"preset='saf' .*did you mean 'safe'"), xquant(tiny("llama"), "saf"):
        pass


def test_generating_in_training_mode_warns_once(caplog):
    logging.Logger.warning_once.cache_clear()  # other tests have been warned already
    model = tiny("llama").train()
    with xquant(model, SMALL), caplog.at_level(logging.WARNING):
        for _ in range(2):
            model.generate(tokens(1, 20), **GREEDY)
    assert sum("makes rollouts off-policy" in record.message for record in caplog.records) == 1


def test_rollouts_of_grpo(tmp_path):
    tokenizer = byte_tokenizer()
    trainer = GRPOTrainer(
        tiny_llama(tokenizer, num_hidden_layers=4),
        reward_funcs=lambda completions, **columns: [float(len(completion)) for completion in completions],
        args=GRPOConfig(
            str(tmp_path),
            bf16=False,
            max_completion_length=40,
            max_steps=1,
            num_generations=2,
            per_device_train_batch_size=2,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": "Tell me about caches."}] * 2),
        processing_class=tokenizer,
    )
    made = []
    with xquant(trainer.model, SMALL):
        prepare = trainer.model._prepare_cache_for_generation

        def recorded(generation_config, model_kwargs, *args):
            prepare(generation_config, model_kwargs, *args)
            made.append(model_kwargs["past_key_values"])

        trainer.model._prepare_cache_for_generation = recorded
        trainer.train()
    assert [type(cache) for cache in made] == [XQuantCache]
    assert made[0].batch_size == 2
    assert made[0].memory().codes > 0
    assert "_prepare_cache_for_generation" not in vars(trainer.model)


def test_offloading_needs_no_hook_of_its_own():
    cache = XQuantCache(tiny("llama").config, SMALL)
    for layer in range(4):
        cache.update(torch.randn(1, 2, 50, 16), torch.randn(1, 2, 50, 16), layer)
    before = cache.memory()
    for layer in cache.layers:
        layer.offload()
        layer.prefetch()
    assert cache.memory() == before

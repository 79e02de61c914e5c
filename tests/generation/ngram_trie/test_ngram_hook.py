"""The context manager: what it reaches, what it refuses, and that it leaves no trace."""

import pytest
import torch
from datasets import Dataset
from ngram_inputs import EAGER, left_padded
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from rich.console import Console
from tiny_families import tiny, tokens
from transformers import pipeline
from transformers.generation.streamers import BaseStreamer
from trl import GRPOConfig, GRPOTrainer

from setaria.generation import NGramTrieConfig, ngram_trie
from setaria.generation.ngram_trie import NGramTrieGenerate, TrieStore
from setaria.generation.ngram_trie.cost import VerifyCost
from setaria.models.tiny import byte_tokenizer, tiny_llama


GREEDY = {"max_new_tokens": 40, "do_sample": False}


@pytest.fixture
def model():
    return tiny("llama", initializer_range=0.1)


def test_it_leaves_no_trace_also_after_an_exception(model):
    before = dict(vars(model))
    with ngram_trie(model):
        assert "generate" in vars(model)
        with pytest.raises(ValueError, match="beam"):
            model.generate(tokens(1, 10), num_beams=2, **GREEDY)
    assert dict(vars(model)) == before
    with pytest.raises(KeyError), ngram_trie(model):
        raise KeyError
    assert dict(vars(model)) == before


def test_contexts_nest_and_the_inner_one_counts(model):
    with ngram_trie(model, EAGER) as outer:
        with ngram_trie(model, EAGER) as inner:
            model.generate(tokens(1, 20), **GREEDY)
        assert (outer.calls, inner.calls) == (0, 1)
        model.generate(tokens(1, 20), **GREEDY)
    assert (outer.calls, inner.calls) == (1, 1)


def test_as_a_custom_generate_method(model):
    method = NGramTrieGenerate(EAGER)
    drafted = model.generate(tokens(1, 20), custom_generate=method, **GREEDY)
    assert torch.equal(drafted, model.generate(tokens(1, 20), **GREEDY))
    assert method.stats.accepted > 0


def test_a_call_with_its_own_method_is_left_alone(model):
    with ngram_trie(model) as stats:
        assert model.generate(tokens(1, 5), custom_generate=lambda model, input_ids, **kwargs: "mine") == "mine"
    assert stats.calls == 0


def test_inputs_by_position_and_a_generation_config(model):
    config = model.generation_config.__class__(max_new_tokens=30, pad_token_id=0)
    with ngram_trie(model, EAGER) as stats:
        drafted = model.generate(tokens(1, 20), config)
    assert torch.equal(drafted, model.generate(tokens(1, 20), config))
    assert stats.calls == 1


def test_pipelines():
    tokenizer = byte_tokenizer()
    model = tiny_llama(tokenizer).eval()
    generator = pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    prompts = ["to be, or not to be", "that is the question"]
    plain = generator(prompts, batch_size=2, pad_token_id=0, **GREEDY)
    with ngram_trie(model) as stats:
        assert generator(prompts, batch_size=2, pad_token_id=0, **GREEDY) == plain
    assert stats.tokens > 0


def test_peft_models(model):
    adapted = get_peft_model(model, LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"]))
    plain = adapted.generate(input_ids=tokens(1, 20), **GREEDY)
    with ngram_trie(adapted, EAGER) as stats:
        drafted = adapted.generate(input_ids=tokens(1, 20), **GREEDY)
        with adapted.disable_adapter():
            base = adapted.generate(input_ids=tokens(1, 20), **GREEDY)
    assert torch.equal(plain, drafted)
    assert not torch.equal(base, drafted)
    assert stats.accepted > 0


def test_rollouts_of_grpo(tmp_path):
    tokenizer = byte_tokenizer()
    trainer = GRPOTrainer(
        tiny_llama(tokenizer, num_hidden_layers=2),
        reward_funcs=lambda completions, **columns: [float(len(completion)) for completion in completions],
        args=GRPOConfig(
            str(tmp_path),
            bf16=False,
            max_completion_length=24,
            max_steps=2,
            num_generations=2,
            per_device_train_batch_size=4,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": "to be, or not to be"}, {"prompt": "or not"}] * 4),
        processing_class=tokenizer,
    )
    store = TrieStore(tokenizer)
    with ngram_trie(trainer.model, EAGER, store=store) as stats:
        trainer.train()
    assert stats.calls == 2
    assert stats.tokens > 40
    assert len(store.tries) == 2  # one per prompt, shared by its samples
    assert "generate" not in vars(trainer.model)


def test_statistics(model):
    with ngram_trie(model, EAGER) as stats:
        model.generate(**left_padded(3), pad_token_id=0, **GREEDY)
    assert stats.tokens == 3 * 39
    assert stats.accepted == stats.tokens - stats.forwards
    assert 0 < stats.hits <= stats.forwards
    assert stats.tokens_per_forward == stats.tokens / stats.forwards > 1
    assert 0 < stats.draft_seconds + stats.verify_seconds < stats.decode_seconds
    assert stats.modelled_speedup > 0
    assert stats.trie_tokens == 21 + 19 + 17 + 3 * 40
    assert stats.trie_bytes > 1000
    console = Console(record=True, width=80)
    console.print(stats.table())
    assert "tokens per forward" in console.export_text()


def test_nothing_is_drafted_where_each_token_costs_a_forward(model, monkeypatch):
    observe = VerifyCost.observe
    monkeypatch.setattr(VerifyCost, "observe", lambda cost, queries, seconds: observe(cost, queries, float(queries)))
    method, texts, costs = NGramTrieGenerate(), [], []
    for _ in range(2):
        before = method.stats.forwards + method.stats.drafted
        texts.append(model.generate(tokens(1, 20), custom_generate=method, max_new_tokens=200, do_sample=False))
        costs.append(method.stats.forwards + method.stats.drafted - before)
    assert torch.equal(*texts)
    assert costs[0] > 199  # sizes are tried
    assert costs[1] < 1.1 * 199  # and then known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 2}, "beam_search.*Leave num_beams"),
        ({"prompt_lookup_num_tokens": 4}, "assisted_generation.*prompt_lookup_num_tokens"),
        ({"assistant_model": "itself"}, "leave assistant_model out"),
        ({"output_attentions": True, "return_dict_in_generate": True}, "attentions and hidden states"),
        ({"streamer": BaseStreamer}, "one prompt at a time"),
        ({"cache_implementation": "offloaded"}, "offloaded caches cannot stage drafts"),
    ],
)
def test_calls_that_do_not_go_with_drafts(model, options, message, monkeypatch):
    options = {name: model if value == "itself" else value for name, value in options.items()}
    if options.get("streamer"):
        options["streamer"] = type("Streamer", (BaseStreamer,), {"put": lambda *_: None, "end": lambda *_: None})()
    forwards = []
    monkeypatch.setattr(model, "forward", lambda *args, **kwargs: forwards.append(1))
    with ngram_trie(model), pytest.raises(ValueError, match=message):
        model.generate(tokens(2, 10), **options, **GREEDY)
    assert not forwards  # before generation starts


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"budget": 0}, "budget=0 must be an integer from 1 to 511"),
        ({"budget": 512}, "budget=512"),
        ({"max_order": 0}, "max_order=0 must be an integer from 1 to 64"),
        ({"max_order": 2.5}, "max_order=2.5"),
        ({"max_depth": True}, "max_depth=True"),
        ({"drafter": "tree"}, "drafter='tree' must be one of trie, paper"),
        ({"shape": "star"}, "shape='star' must be one of tree, linear"),
        ({"width": "wide"}, "width='wide' must be one of cost, fixed"),
        ({"min_probability": 0}, "min_probability=0 must be above 0 and below 1"),
        ({"learn_generated": 1}, "learn_generated=1 must be True or False"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ValueError, match=message):
        NGramTrieConfig(**setting)


def test_models_that_do_not_go_with_it(model):
    prompts = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ValueError, match="prompt learning"), ngram_trie(prompts):
        pass
    with pytest.raises(ValueError, match="Linear is no transformers model"), ngram_trie(torch.nn.Linear(2, 2)):
        pass


def test_a_store_of_a_larger_vocabulary(model):
    with (
        pytest.raises(ValueError, match=r"the store's tokenizer has .* tokens, the model 97"),
        ngram_trie(model, store=TrieStore(byte_tokenizer())),
    ):
        pass


def test_a_wrapped_model(model):
    class Wrapper(torch.nn.parallel.DataParallel):
        pass

    with ngram_trie(Wrapper(model), EAGER) as stats:
        model.generate(tokens(1, 20), **GREEDY)
    assert stats.calls == 1

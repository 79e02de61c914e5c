"""Tries that outlive a call: grouping, eviction, files, and that they do not change texts."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ngram_inputs import EAGER, both
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from setaria.generation import ngram_trie
from setaria.generation.ngram_trie import TrieStore
from setaria.models.tiny import byte_tokenizer, tiny_llama


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_llama(tokenizer).eval()


def test_a_second_call_copies_from_the_first(model, tokenizer):
    store, inputs = TrieStore(tokenizer), tokenizer("to be, or not", return_tensors="pt")
    options = {"max_new_tokens": 60, "eos_token_id": None}
    first_plain, first, first_stats = both(model, inputs, store=store, **options)
    second_plain, second, second_stats = both(model, inputs, store=store, **options)
    assert torch.equal(first, first_plain)
    assert torch.equal(second, second_plain)
    assert second_stats.forwards < first_stats.forwards / 2


def test_tries_by_prompt_and_for_all(tokenizer):
    by_prompt, shared = TrieStore(tokenizer), TrieStore(tokenizer, scope="all")
    for store in (by_prompt, shared):
        for prompt in ([1, 2, 3], [4, 5], [1, 2, 3]):
            store.prompt(prompt, 4).fork().extend([7, 8])
    assert (len(by_prompt.tries), len(shared.tries)) == (2, 1)
    assert by_prompt.tokens == shared.tokens == 5 + 3 * 2
    assert by_prompt.memory_bytes() > 0


@pytest.mark.parametrize("scope", ["prompt", "all"])
def test_what_was_not_used_for_longest_goes(tokenizer, scope):
    store = TrieStore(tokenizer, scope, max_tokens=12)
    for start in (10, 20, 30):
        store.prompt([start, start + 1, start + 2], 4).fork().extend([1, 2])
    store.prompt([10, 11, 12], 4)  # used again
    store.evict()
    assert store.tokens == 10
    known = {token for trie in store.tries for token in trie.root}
    assert {10, 30} < known
    assert 20 not in known


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 3)), max_size=30), st.integers(1, 40)
)
def test_a_store_is_bounded(uses, max_tokens):
    store = TrieStore(byte_tokenizer(), "all", max_tokens)
    for prompt, samples in uses:
        sequence = store.prompt(prompt, 3)
        for _ in range(samples):
            sequence.fork().extend([1, 2])
        store.evict()
        assert store.tokens <= max_tokens


@pytest.mark.parametrize("scope", ["prompt", "all"])
def test_files(tokenizer, tmp_path, scope):
    store = TrieStore(tokenizer, scope, max_tokens=1000)
    for prompt in ([1, 2, 3], [], [4, 5]):
        store.prompt(prompt, 4).fork().extend([7, 8, 7, 8])
    store.save(tmp_path / "store")
    loaded = TrieStore.load(tmp_path / "store", tokenizer)
    assert (loaded.scope, loaded.max_tokens, loaded.tokens) == (scope, 1000, store.tokens)
    assert [trie.root for trie in loaded.tries] == [trie.root for trie in store.tries]


def other_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["another"])
    return tokenizer


def test_another_tokenizer_is_refused(model, tokenizer, tmp_path):
    store = TrieStore(tokenizer)
    store.save(tmp_path / "store")
    with pytest.raises(ValueError, match="tokens of another tokenizer; make a new TrieStore"):
        TrieStore.load(tmp_path / "store", other_tokenizer())
    with ngram_trie(model, EAGER, store), pytest.raises(ValueError, match="tokens of another tokenizer"):
        model.generate(**tokenizer("a", return_tensors="pt"), tokenizer=other_tokenizer(), stop_strings=["b"])


def test_other_files_are_refused(tokenizer, tmp_path):
    (tmp_path / "text").write_text("no safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "tensors")
    header = {"fingerprint": TrieStore(tokenizer).fingerprint, "scope": "all", "max_tokens": 5, "order": 4}
    for name, lengths in (("short", [1]), ("negative", [-1, 4])):
        arrays = {"tokens": [1, 2, 3], "lengths": lengths, "forks": [len(lengths) - 1]}
        save_file(
            {key: torch.tensor(values, dtype=torch.int32) for key, values in arrays.items()},
            tmp_path / name,
            metadata={"trie_store": json.dumps(header)},
        )
    for name in ("text", "tensors", "short", "negative"):
        with pytest.raises(ValueError, match="is no TrieStore"):
            TrieStore.load(tmp_path / name, tokenizer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"scope": "row"}, "scope='row' must be one of prompt, all"), ({"max_tokens": 0}, "max_tokens=0 must be")],
)
def test_settings_out_of_range(tokenizer, settings, message):
    with pytest.raises(ValueError, match=message):
        TrieStore(tokenizer, **settings)

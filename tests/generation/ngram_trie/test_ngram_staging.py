"""Staged tokens: what the model sees of them, and what stays of them."""

import pytest
import torch
from tiny_families import tiny, tokens
from transformers import Cache, DynamicCache, QuantizedCache

from setaria.generation import XQuantCache, XQuantConfig
from setaria.generation.ngram_trie.slots import AppendedSlots, PackedSlots
from setaria.generation.ngram_trie.tree import DraftTree
from setaria.generation.ngram_trie.verify import Verifier


def test_masks_by_hand():
    slots = PackedSlots(torch.tensor([[0, 1, 1], [1, 1, 1]], dtype=torch.bool), held=3)
    depths = torch.tensor([[0, 1], [0, 1]])
    ancestors = torch.tensor([[1, 0], [1, 1]], dtype=torch.bool).expand(2, -1, -1)
    assert slots.mask(depths, ancestors).int().tolist() == [
        [[[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]]],
        [[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]],
    ]
    assert slots.needs_mask


def test_rows_pack_at_their_own_pace():
    slots = PackedSlots(torch.ones(2, 3, dtype=torch.bool), held=3)
    # row 0 keeps staged tokens 0 and 2, of which the latter moves from slot 5 to 4; row 1 keeps token 0 in place
    assert slots.moves([[0, 2], [0]]) == [(0, 5, 4)]
    slots.keep([[0, 2], [0]])
    assert slots.places().tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, -1]]
    # next time row 1 starts one slot further left than the staged tokens, which begin at slot 5
    assert slots.moves([[0], [0]]) == [(1, 5, 4)]
    slots.keep([[], [0]])  # row 0 has ended
    assert slots.places().tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_rows_append_together():
    slots = AppendedSlots(torch.ones(2, 2, dtype=torch.bool), held=2)
    slots.keep([[0, 3], [0]])
    slots.keep([[0], [0]])
    assert slots.places().tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, -1, 3]]
    assert slots.lengths == [5, 4]


def test_windows_count_tokens_not_slots():
    slots = PackedSlots(torch.ones(2, 4, dtype=torch.bool), held=3, window=3)
    assert slots.places().tolist() == [[1, 2, 3], [1, 2, 3]]
    mask = slots.mask(torch.tensor([[0, 1]] * 2), torch.tensor([[1, 0], [1, 1]], dtype=torch.bool).expand(2, -1, -1))
    # token 4 sees 2, 3 and itself; its child, token 5, sees 3, 4 and itself
    assert mask[0, 0].int().tolist() == [[0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    slots.keep([list(range(100)), list(range(90))])
    assert slots.drop_unseen() == 91  # token 94 of row 1 sees 92 and 93; 1 to 91 are seen by nobody
    assert slots.places()[:, 0].tolist() == [92, 92]
    assert len(slots) == 104 - 92


FAMILIES = {
    "llama-sdpa": ("llama", {"attn_implementation": "sdpa"}),
    "llama-eager": ("llama", {"attn_implementation": "eager"}),
    "mistral-window": ("mistral", {"sliding_window": 6}),
    "gemma2-both": ("gemma2", {"sliding_window": 6, "attn_implementation": "eager"}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_after_each_node_are_those_after_its_path(name):
    family, changes = FAMILIES[name]
    model = tiny(family, **changes)
    prompts = [tokens(1, 14)[0].tolist(), tokens(1, 9, seed=1)[0].tolist()]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        verifier = prefilled(model, prompts)
        texts = [list(prompt) for prompt in prompts]
        last = [3, 4]
        for _ in range(6):
            trees = [random_tree(generator), random_tree(generator)]
            generated = [len(text) - len(prompt) + 1 for text, prompt in zip(texts, prompts, strict=True)]
            logits = verifier.verify(trees, last, generated)
            paths = []
            for row, tree in enumerate(trees):
                path_tokens = [texts[row] + [last[row]]]
                for parent, token in zip(tree.parents, tree.tokens, strict=True):
                    path_tokens.append([*path_tokens[parent], token])
                for node, path in enumerate(path_tokens):
                    expected = model(torch.tensor([path])).logits[0, -1]
                    torch.testing.assert_close(logits[row, node], expected, atol=2e-5, rtol=1e-4)
                leaf = int(torch.randint(0, len(tree) + 1, (1,), generator=generator))
                path = []
                node = leaf
                while node:
                    path.insert(0, node)
                    node = tree.parents[node - 1]
                paths.append([0, *path])
                texts[row], last[row] = path_tokens[leaf], 5 + row
            verifier.commit(paths)


CACHES = {
    "dynamic": lambda config: DynamicCache(config=config),
    "xquant": lambda config: XQuantCache(config, XQuantConfig(residual_length=16, group_size=16)),
    "fp8": lambda config: QuantizedCache("fp8", config),
}


@pytest.mark.parametrize("name", CACHES)
def test_the_cache_is_left_as_it_is_until_something_is_committed(name):
    model = tiny("llama")
    tree = random_tree(torch.Generator().manual_seed(1))
    following = []
    with torch.no_grad():
        for drafts in (1, 3):
            cache = CACHES[name](model.config)
            verifier = prefilled(model, [tokens(1, 40)[0].tolist()], cache)
            logits = [verifier.verify([tree], [3], [1]) for _ in range(drafts)]
            assert torch.equal(logits[0], logits[-1])
            verifier.cache.restore()
            assert cache.get_seq_length() == 40
            following.append(model(torch.tensor([[3]]), past_key_values=cache).logits)
    assert torch.equal(*following)


def prefilled(model, prompts: list[list[int]], cache: Cache | None = None) -> Verifier:
    longest = max(map(len, prompts))
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = cache or DynamicCache(config=model.config)
    model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
    return Verifier(model, cache, len(prompts), {"attention_mask": mask, "position_ids": positions})


def random_tree(generator: torch.Generator) -> DraftTree:
    tree = DraftTree()
    for node in range(int(torch.randint(0, 7, (1,), generator=generator))):
        parent = int(torch.randint(0, node + 1, (1,), generator=generator))
        tree.add(parent, 20 + node, 0.5)
    return tree

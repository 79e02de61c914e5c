"""Draft trees: their form, whatever was counted, and small ones by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.paper_drafter import PaperDrafter
from setaria.generation.ngram_trie.prompt_lookup import PromptLookupDrafter
from setaria.generation.ngram_trie.tree import DraftTree, stack
from setaria.generation.ngram_trie.trie import NGramTrie
from setaria.generation.ngram_trie.trie_drafter import TrieDrafter


LEAST = 1e-3
TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=80)


def trie_drafter(prompt, linear=False, **changes):
    config = NGramTrieConfig(**{"max_order": 4, **changes})
    return TrieDrafter(NGramTrie(config.max_order).sequence(prompt), config, linear)


def paths(tree: DraftTree) -> list[tuple[int, ...]]:
    """The tokens down to each node."""
    found: list[tuple[int, ...]] = [()]
    for parent, token in zip(tree.parents, tree.tokens, strict=True):
        found.append((*found[parent], token))
    return found[1:]


@given(
    TOKENS, TOKENS, st.integers(1, 20), st.integers(1, 8), st.booleans(), st.sampled_from(["trie", "frozen", "paper"])
)
def test_the_form_of_a_tree(prompt, generated, budget, max_depth, linear, kind):
    if kind == "paper":
        drafter = PaperDrafter(prompt, linear)
    else:
        drafter = trie_drafter(prompt, linear, learn_generated=kind == "trie")
    drafter.extend(generated)
    tree = drafter.propose(budget, max_depth, LEAST)
    assert len(tree) <= budget
    found = paths(tree)
    assert len(set(found)) == len(tree)  # siblings differ
    assert tree.depths == list(map(len, found))
    assert max(tree.depths, default=0) <= max_depth
    assert all(parent <= node for node, parent in enumerate(tree.parents))  # parents come first
    assert all(0 < probability <= 1 for probability in tree.probabilities)
    assert tree.probabilities == sorted(tree.probabilities, reverse=True)
    if linear:
        assert tree.parents == list(range(len(tree)))
    for node, (parent, token) in enumerate(zip(tree.parents, tree.tokens, strict=True), start=1):
        assert tree.child(parent, token) == node
    assert tree.child(0, 99) is None


@given(TOKENS, TOKENS)
def test_predictions_are_a_distribution(prompt, generated):
    drafter = trie_drafter(prompt)
    drafter.extend(generated)
    probabilities = drafter.predict(drafter.contexts, least=0.0)
    assert all(probability >= 0 for probability in probabilities.values())
    assert sum(probabilities.values()) <= 1 + 1e-9


@given(TOKENS, st.lists(TOKENS, max_size=3))
def test_how_tokens_arrive_does_not_matter(prompt, pieces):
    at_once, one_by_one = trie_drafter(prompt), trie_drafter(prompt)
    for piece in pieces:
        at_once.extend(piece)
        for token in piece:
            one_by_one.extend([token])
    assert at_once.propose(16, 8, LEAST) == one_by_one.propose(16, 8, LEAST)


def test_probabilities_by_hand():
    # 1 2 3 | 1 2 4 | 1 2: after 1 2 came 3 and 4, once each; after 2 alone the same, so that says nothing more
    drafter = trie_drafter([1, 2, 3, 1, 2, 4, 1, 2])
    predicted = drafter.predict(drafter.contexts, least=0.0)
    # n = 2, d = 2: odds of an escape 1.5 * 2 / 2, so each has (1 - .6) / 2; the rest goes to frequent tokens, by their
    # share of the 8 tokens, of which 3 and 4 have too few occurrences to be a node
    assert predicted[3] == predicted[4] == pytest.approx(0.2)
    assert predicted[1] == predicted[2] == pytest.approx(0.6 * 3 / 8)


def test_a_context_that_occurred_once_by_hand():
    # 7 has followed 5 6 once, and 6 once: order 1 has odds 4 / 2 = 2, order 2 has 4 / 3
    drafter = trie_drafter([5, 6, 7, 8, 9, 5, 6])
    assert drafter.predict(drafter.contexts, least=0.0)[7] == pytest.approx(1 / (1 + 4 / 3))


def test_trust_grows_with_copies():
    text = list(range(40))
    copying, other = trie_drafter(text), trie_drafter(text)
    copying.extend([3, 4, 5, 6, 7, 8])
    other.extend([3, 30, 4, 20, 5, 8])
    assert copying.scale < 1 < other.scale
    assert len(copying.propose(64, 32, LEAST)) > 0


def test_the_longest_prefix_wins_in_the_papers_trie():
    prompt = [1, 2, 3, 9, 9, 1, 2, 4, 9, 9, 5, 2, 4, 9]
    tree = PaperDrafter([*prompt, 8, 1, 2]).propose(64, 1, LEAST)
    # 1 2 is followed by 3 and 4; 2 alone also by 4, which does not count here
    assert sorted(zip(tree.tokens, tree.probabilities, strict=True)) == [(3, 0.5), (4, 0.5)]
    drafter = PaperDrafter([*prompt, 7])
    drafter.extend([2])  # 7 2 has not occurred
    tree = drafter.propose(64, 1, LEAST)
    assert dict(zip(tree.tokens, tree.probabilities, strict=True)) == pytest.approx({3: 1 / 3, 4: 2 / 3})


def test_the_papers_trie_is_cut_to_the_budget_by_counts():
    # a b c twice and a b d once below x: b's paths are counted over both
    prompt = [0, 1, 2, 3, 50, 51, 52, 0, 1, 2, 3, 60, 61, 62, 0, 1, 2, 4, 70, 71]
    drafter = PaperDrafter(prompt)
    drafter.extend([0])
    tree = drafter.propose(4, 10, LEAST)
    assert paths(tree) == [(1,), (1, 2), (1, 2, 3), (1, 2, 4)]
    assert tree.probabilities == pytest.approx([1, 1, 2 / 3, 1 / 3])


def test_prompt_lookup_takes_the_earliest_full_continuation():
    drafter = PromptLookupDrafter([1, 2, 3, 4, 1, 2, 5, 6, 1])
    drafter.extend([2])
    assert drafter.propose(3, 10, LEAST).tokens == [3, 4, 1]
    drafter.extend([5])
    assert drafter.propose(3, 10, LEAST).tokens == [
        6,
        1,
        2,
    ]  # behind 1 2 5, which is nearer than any full match of 5 alone
    assert drafter.propose(9, 10, LEAST).tokens == []  # fewer than 9 tokens follow


def test_trees_as_tensors():
    tree = DraftTree()
    left = tree.add(0, 10, 0.9)
    tree.add(left, 11, 0.5)
    tree.add(0, 12, 0.1)
    tokens, depths, ancestors = stack([tree, DraftTree()], [7, 8], "cpu")
    assert tokens.tolist() == [[7, 10, 11, 12], [8, 0, 0, 0]]
    assert depths.tolist() == [[0, 1, 2, 1], [0, 0, 0, 0]]
    assert ancestors[0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert ancestors[1].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    tree.truncate(1)
    assert (tree.tokens, tree.parents, tree.depths, tree.probabilities) == ([10], [0], [1], [0.9])
    assert tree.child(0, 10) == 1
    assert tree.child(left, 11) is tree.child(0, 12) is None

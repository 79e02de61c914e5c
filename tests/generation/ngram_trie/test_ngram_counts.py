"""The trie against counting by brute force."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from setaria.generation.ngram_trie.trie import NGramTrie, Node


def counted(texts: list[list[int]], max_order: int) -> dict[tuple[int, ...], Counter]:
    """Successors of every context of up to `max_order` tokens, as often as they follow it."""
    found: dict[tuple[int, ...], Counter] = {}
    for text in texts:
        for end, token in enumerate(text):
            for order in range(min(max_order, end) + 1):
                found.setdefault(tuple(text[end - order : end]), Counter())[token] += 1
    return found


def successors(trie: NGramTrie, context) -> dict[int, int]:
    """Token -> visits below a node or a position."""
    if isinstance(context, Node):
        return {token: below.visits if isinstance(below, Node) else 1 for token, below in context.items()}
    token = trie.token_at(context)
    return {} if token is None else {token: 1}


def check_counts(trie: NGramTrie, texts: list[list[int]]) -> None:
    for context, expected in counted(texts, trie.max_order).items():
        contexts = [trie.root]
        for token in context:
            contexts = trie.descend(contexts, token)
        assert len(contexts) == len(context) + 1
        node = contexts[len(context)]
        assert successors(trie, node) == expected
        if isinstance(node, Node):
            assert node.total == expected.total()


def test_literal_counts():
    trie = NGramTrie(max_order=2)
    trie.sequence([1, 2, 3, 1, 2, 4, 1])
    # 1 is followed by 2 twice; 1 2 once by 3 and once by 4; the last 1 by nothing yet
    assert successors(trie, trie.root) == {1: 3, 2: 2, 3: 1, 4: 1}
    one = trie.root[1]
    assert (one.visits, one.total, successors(trie, one)) == (3, 2, {2: 2})
    assert successors(trie, one[2]) == {3: 1, 4: 1}
    assert successors(trie, trie.root[3]) == {1: 1}  # seen once: a position, not a node
    assert isinstance(trie.root[3], int)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 6))
def test_counts_of_one_text(text, max_order):
    trie = NGramTrie(max_order)
    sequence = trie.sequence(text)
    check_counts(trie, [text])
    # the contexts of the end of the text: those that have occurred before
    for order, node in enumerate(sequence.contexts):
        ending = text[len(text) - order :] if order else []
        occurrences = sum(text[i : i + order] == ending for i in range(len(text) - order + 1))
        assert node is trie.root or node.visits == occurrences > 1


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=1, max_size=5)), max_size=20),
    st.integers(1, 5),
)
def test_counts_of_texts_that_grow_in_turns(pieces, max_order):
    trie = NGramTrie(max_order)
    sequences = [trie.sequence() for _ in range(3)]
    for index, piece in pieces:
        sequences[index].extend(piece)
    check_counts(trie, [sequence.text for sequence in sequences])


def test_a_fork_goes_on_where_its_prompt_ends():
    trie = NGramTrie(max_order=3)
    prompt = trie.sequence([1, 2, 1, 2])
    for token in (3, 4):
        prompt.fork().extend([token])
    # 1 2 is followed by 1 in the prompt and by 3 and 4 in its forks
    assert successors(trie, trie.root[1][2]) == {1: 1, 3: 1, 4: 1}
    assert trie.tokens == 6


def test_descending_stops_at_the_longest_known_context():
    trie = NGramTrie(max_order=4)
    trie.sequence([5, 6, 7, 5, 6, 8])
    contexts = [trie.root]
    for token in (9, 5, 6):  # 9 has never occurred
        contexts = trie.descend(contexts, token)
    assert len(contexts) == 3  # nothing, 6, and 5 6
    assert successors(trie, contexts[2]) == {7: 1, 8: 1}


def test_memory_is_counted_and_bounded_by_the_text():
    trie = NGramTrie(max_order=8)
    trie.sequence(range(1000))
    assert trie.nodes == 1  # nothing occurs twice
    assert trie.memory_bytes() < 200 * 1000
    trie = NGramTrie(max_order=8)
    trie.sequence([token for _ in range(2) for token in range(1000)])
    assert 7000 < trie.nodes < 9000 + 1  # each position of the copy makes a node per order, 1 to 9

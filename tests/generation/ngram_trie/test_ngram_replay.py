"""Replay of recorded answers: the protocol by hand, the gate on real answers, and bad files."""

import json

import pytest

from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.prompt_lookup import PromptLookupDrafter
from setaria.generation.ngram_trie.replay import SYSTEM, ReplayResult, Turn, read_turns, replay, replay_turn
from setaria.generation.ngram_trie.tree import DraftTree
from setaria.models.tiny import byte_tokenizer


class Scripted:
    """Drafts a chain of given tokens at each step."""

    def __init__(self, drafts):
        self.drafts, self.told = iter(drafts), []

    def propose(self, budget, max_depth, least):
        tree = DraftTree()
        for parent, token in enumerate(next(self.drafts)):
            tree.add(parent, token, 0.5)
        return tree

    def extend(self, tokens):
        self.told.append(list(tokens))


def test_a_turn_by_hand():
    drafter = Scripted([[2, 3, 9], [], [6, 7, 8]])
    result = replay_turn(Turn("x", [0], [1, 2, 3, 4, 5, 6, 7]), lambda prompt: drafter, NGramTrieConfig())
    # 1 comes from the prompt. 2 and 3 are accepted and 4 is the model's own; 5 alone; 6 and 7 end the answer
    assert drafter.told == [[1], [2, 3, 4], [5], [6, 7]]
    assert (result.forwards, result.tokens, result.nodes, result.hits) == (3, 6, 6, 2)
    assert result.summary()["tokens_per_forward"] == 2
    assert result.summary()["hit_rate"] == pytest.approx(2 / 3)


def test_an_answer_of_one_token_needs_no_forward():
    assert replay_turn(Turn("x", [0], [1]), lambda prompt: Scripted([]), NGramTrieConfig()) == ReplayResult()


def test_prompts_have_the_form_of_vicuna(tmp_path):
    file = tmp_path / "answers.jsonl"
    row = {"question_id": 1, "category": "writing", "turns": ["One?", "Two?"], "answers": ["Yes.", "No."]}
    file.write_text(json.dumps(row) + "\n\n")
    tokenizer = byte_tokenizer()
    first, second = read_turns(file, tokenizer)
    start = tokenizer.decode([tokenizer.bos_token_id]) if tokenizer.bos_token_id is not None else ""
    assert tokenizer.decode(first.prompt) == f"{start}{SYSTEM} USER: One? ASSISTANT:"
    assert tokenizer.decode(second.prompt) == f"{start}{SYSTEM} USER: One? ASSISTANT: Yes.</s> USER: Two? ASSISTANT:"
    assert first.answer == [*tokenizer.encode("Yes.", add_special_tokens=False), tokenizer.eos_token_id]


def test_results_by_category():
    turns = [Turn(category, [1, 2, 3], [1, 2, 3, 4]) for category in ("a", "b", "a")]
    results = replay(turns, PromptLookupDrafter, NGramTrieConfig(budget=2))
    assert {category: result.tokens for category, result in results.items()} == {"a": 6, "b": 3}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no question with answers"),
        ('{"category": "a", "turns": ["x"]}', "KeyError.*answers"),
        ("[1]", "line 1 is no question"),
        ('{"category": "a", "turns": ["x"], "answers": []}', "as many texts each"),
        ('{"category": "a", "turns": "x", "answers": "y"}', "lists of as many texts"),
        ('{"category": "a", "turns": [1], "answers": ["y"]}', "lists of as many texts"),
        ('{"category": 3, "turns": ["x"], "answers": ["y"]}', "category must be a text"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    (tmp_path / "answers.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message):
        list(read_turns(tmp_path / "answers.jsonl", byte_tokenizer()))

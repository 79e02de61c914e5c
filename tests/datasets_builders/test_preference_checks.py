"""Text and token checks on pairs built to have one problem each."""

import math

import pytest
from datasets import Dataset

from setaria.datasets_builders.preference_checks import check_lengths, check_texts, completion_text, sign_test
from setaria.datasets_builders.preference_tokens import check_tokens, ends_with_eos, tokenize_as_trained
from setaria.models.tiny import byte_tokenizer


def pair(prompt="Sky?", chosen="Blue.", rejected="Green."):
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def found(findings):
    return {finding.check: (finding.severity, finding.count, finding.rows) for finding in findings}


def test_texts():
    pairs = [pair(), pair("a", " \n"), pair("b", "x", "x"), pair(), pair("Sky?", "Red.")]
    assert found(check_texts(Dataset.from_list(pairs), range(5))) == {
        "empty completion": ("error", 1, (1,)),
        "chosen == rejected": ("error", 1, (2,)),
        "repeated pair": ("warning", 1, (3,)),
        "repeated prompt": ("info", 1, (4,)),
    }


def test_row_numbers_are_those_of_the_whole_data_set_and_only_the_first_are_kept():
    [finding] = check_texts(Dataset.from_list([pair(str(i), "") for i in range(7)]), [10, 20, 30, 40, 50, 60, 70])
    assert (finding.count, finding.share, finding.rows) == (7, 1.0, (10, 20, 30, 40, 50))


def test_nothing_to_find():
    assert check_texts(Dataset.from_list([pair(), pair("Sea?")]), range(2)) == []


@pytest.mark.parametrize(
    ("chosen", "rejected", "severity", "message"),
    [
        ([3] * 40, [2] * 40, "warning", "chosen is longer in 100.0% of the 40 pairs"),
        ([3, 1] * 20, [2] * 40, "info", "chosen is longer in 50.0% of the 40 pairs"),
        ([1] * 30 + [3] * 10, [2] * 40, "warning", "chosen is longer in 25.0% of the 40 pairs"),
        ([2] * 4, [2] * 4, "info", "of the 0 pairs"),
        ([1, 2, 4], [1, 1, 1], "info", "chosen 2.3, rejected 1.0 words on average (median 2, 1)"),
    ],
)
def test_lengths(chosen, rejected, severity, message):
    finding = check_lengths(chosen, rejected, "words")
    assert finding.severity == severity
    assert message in finding.message


@pytest.mark.parametrize(("wins", "losses"), [(60, 40), (517, 657), (1000, 1000), (30, 10)])
def test_sign_test_against_the_exact_one(wins, losses):
    pairs = wins + losses
    as_uneven = sum(math.comb(pairs, count) for count in range(max(wins, losses), pairs + 1))
    assert sign_test(wins, losses) == pytest.approx(min(1.0, as_uneven / 2 ** (pairs - 1)), rel=0.25)


def test_completion_text():
    assert completion_text("as it is") == "as it is"
    call = {"function": {"name": "weather"}}
    parts = [{"type": "image", "text": None}, {"type": "text", "text": "sunny"}]
    messages = [{"content": None, "tool_calls": [call]}, {"content": parts}, {"content": "Bye."}]
    assert completion_text(messages) == "weather sunny Bye."


@pytest.fixture
def tokenizer():
    return byte_tokenizer()


def test_tokens_are_those_of_training(tokenizer):
    [row] = tokenize_as_trained(Dataset.from_list([pair()]), tokenizer)
    assert tokenizer.decode(row["prompt_ids"]) == "<|im_start|>user\nSky?<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(row["chosen_ids"]) == "Blue.<|im_end|>\n"
    text = {"prompt": "Sky?", "chosen": " Blue.", "rejected": " Green.<|im_end|>"}
    [row] = tokenize_as_trained(Dataset.from_list([text]), tokenizer)
    assert tokenizer.decode(row["chosen_ids"]) == " Blue.<|im_end|>"
    assert tokenizer.decode(row["rejected_ids"]) == " Green.<|im_end|>"


def test_truncation(tokenizer):
    """A prompt is 19 tokens of ChatML and one per byte; "Green.", `<|im_end|>` and the newline are 8."""
    pairs = Dataset.from_list([pair("." * 20), pair("." * 21), pair("." * 27), pair("." * 28)])
    prompt_ids = tokenize_as_trained(pairs, tokenizer)["prompt_ids"]
    assert [len(ids) for ids in prompt_ids] == [39, 40, 46, 47]
    assert found(check_tokens(pairs, tokenizer, 47, [5, 6, 7, 8])) == {
        "completion cut": ("warning", 2, (6, 7)),
        "prompt fills max_length": ("warning", 1, (8,)),
        "length bias": ("info", 0, ()),
    }


def test_missing_eos(tokenizer):
    tokenizer.eos_token = "<|endoftext|>"
    findings = found(check_tokens(Dataset.from_list([pair()]), tokenizer, 512, [0]))
    assert findings["missing EOS"] == ("error", 1, (0,))


def test_double_bos(tokenizer):
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    pairs = [pair(), pair()]
    assert "double BOS" not in found(check_tokens(Dataset.from_list(pairs), tokenizer, 512, range(2)))
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    assert found(check_tokens(Dataset.from_list(pairs), tokenizer, 512, range(2)))["double BOS"] == (
        "error",
        2,
        (0, 1),
    )


@pytest.mark.parametrize(
    ("text", "ends"), [("a<|im_end|>", True), ("a<|im_end|> \n", True), ("a", False), ("", False)]
)
def test_ends_with_eos(tokenizer, text, ends):
    assert ends_with_eos(tokenizer(text)["input_ids"], tokenizer) is ends

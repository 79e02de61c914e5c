"""Recall: texts have the asked lengths and depths and come from the seed; a reply counts if it has the value."""

import re
from dataclasses import replace
from itertools import product

import pytest
import torch
from eval_inputs import config

from setaria.evaluation import evaluate
from setaria.evaluation.generating import as_prompt, greedy_replies
from setaria.evaluation.items import Item, items_file, read_items
from setaria.evaluation.loading import load
from setaria.evaluation.recall import REPLY_TOKENS, Recall, recalled
from setaria.evaluation.scores import Setting


LENGTHS, DEPTHS = (256, 700), (0.0, 0.3, 0.5, 1.0)
LONGEST_PIECE = len("The clever teacher follows the clever teacher. ")  # bytes, which are the tokenizer's tokens
HIDDEN = {
    "needle": r"The secret number of \w+ is (\d{7})\.",
    "key_value": r'"[0-9a-f]{8}": "([0-9a-f]{8})",',
}


@pytest.fixture
def recall(tiny_checkpoint, tmp_path):
    """A configuration of recall alone, and its checkpoint."""
    done = config(
        tiny_checkpoint, tmp_path, tasks={"recall": None}, recall_lengths=LENGTHS, recall_depths=DEPTHS, limit=16
    )
    return done, load(str(tiny_checkpoint), None, done, torch.device("cpu"))


@pytest.mark.parametrize("template", [False, True])
def test_lengths_and_depths(recall, template):
    """The filler's bytes before the hidden piece are `depth` of all, give or take a piece; no further piece fits."""
    done, checkpoint = recall
    samples = Recall(None, replace(done, apply_chat_template=template)).samples(checkpoint).values()
    assert [(one["length"], one["depth"], one["kind"]) for one in samples] == [
        *product(LENGTHS, DEPTHS, ("needle", "key_value"))
    ]
    for sample in samples:
        tokens = len(as_prompt(checkpoint, sample["prompt"], template))
        room = sample["length"] - REPLY_TOKENS
        assert room - LONGEST_PIECE < tokens <= room
        hay, question = sample["prompt"].split("\n\n")
        (hidden,) = (one for one in re.finditer(HIDDEN[sample["kind"]], hay) if one[1] == sample["value"])
        before, behind = hidden.start(), len(hay) - hidden.end()
        assert abs(before - sample["depth"] * (before + behind)) <= LONGEST_PIECE
        assert (before == 0) == (sample["depth"] == 0) and (behind == 0) == (sample["depth"] == 1)
        assert sample["prompt"].count(sample["value"]) == 1
        asked = question.splitlines()[-1].rpartition("? ")[2]  # the words before the value
        assert hidden[0].startswith(asked) and hay.count(asked) == 1


def test_texts_come_from_the_seed(recall):
    done, checkpoint = recall
    first, again, other = (Recall(None, replace(done, limit=40, seed=seed)).samples(checkpoint) for seed in (0, 0, 1))
    assert first == again
    assert [*first] == [*other]
    for samples in (first, other):
        assert len({one["prompt"] for one in samples.values()}) == 40
    assert not {one["value"] for one in first.values()} & {one["value"] for one in other.values()}


def test_all_texts(recall):
    done, checkpoint = recall
    assert len(Recall(None, replace(done, limit=None)).samples(checkpoint)) == 5 * 2 * 4 * 2


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((256, 4096), r"recall_lengths=\(256, 4096\): the model has 2048 positions"),
        ((64,), r"recall_lengths=64: the shortest text of needle and its reply have 1\d\d tokens"),
    ],
)
def test_lengths_that_do_not_go(recall, lengths, message):
    done, checkpoint = recall
    with pytest.raises(ValueError, match=message):
        Recall(None, replace(done, recall_lengths=lengths)).samples(checkpoint)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (" 4821973.", 1.0),
        ("The number is 4821973\n", 1.0),
        (' "4821973",', 1.0),
        (" 48219731.", 0.0),
        (" 4821 973", 0.0),
        ("", 0.0),
    ],
)
def test_what_counts(reply, right):
    assert recalled(reply, "4821973") == right


def test_scores_by_length_and_depth(recall):
    """Needles: 1 and 0 at 256 tokens, 1 at 700; the first two at depth 0, the last at 0.3."""
    done, _ = recall
    task = Recall(None, done)
    names = [metric.name for metric in task.metrics]
    assert names == [
        "needle",
        "key_value",
        "needle 256 tokens",
        "needle 700 tokens",
        "key_value 256 tokens",
        "key_value 700 tokens",
        *(f"{kind} depth {depth}" for kind in ("needle", "key_value") for depth in ("0", "0.3", "0.5", "1")),
    ]
    cells = [("needle", 256, "0", 1.0), ("needle", 256, "0", 0.0), ("needle", 700, "0.3", 1.0)]
    items = [
        Item(
            f"{place}",
            "",
            "",
            "",
            dict.fromkeys((kind, f"{kind} {length} tokens", f"{kind} depth {depth}"), right),
            "generation",
        )
        for place, (kind, length, depth, right) in enumerate(cells)
    ]
    found = {metric.name: task.score(metric, items, 0) for metric in task.metrics}
    assert {name: (one[0], one[3]) for name, one in found.items() if one} == {
        "needle": (pytest.approx(2 / 3), 3),
        "needle 256 tokens": (0.5, 2),
        "needle 700 tokens": (1.0, 1),
        "needle depth 0": (0.5, 2),
        "needle depth 0.3": (1.0, 1),
    }


def test_a_run(recall):
    """Random weights recall nothing; what they say is what `generate` says, 24 tokens as configured."""
    done, checkpoint = recall
    results = evaluate(replace(done, caches=("none", "kivi-2")))
    assert {score.metric for score in results.scores} == {metric.name for metric in Recall(None, done).metrics}
    assert {score.value for score in results.scores} == {0.0}
    plain, quantised = (read_items(items_file(done.output, one.name, "recall")).items for one in results.settings)
    setting = Setting("tiny", "tiny")
    for item in plain[:2]:
        (reply,) = greedy_replies(checkpoint, setting, [as_prompt(checkpoint, item.prompt, False)], 24)
        assert item.prediction == reply.text and len(reply.ids) == 24
    assert [one.prompt for one in plain] == [one.prompt for one in quantised]
    assert [one.prediction for one in plain] != [one.prediction for one in quantised]

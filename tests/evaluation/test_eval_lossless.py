"""A drafter that changes nothing scores 1 with every cache; one that errs is found, with the margin of its error."""

from dataclasses import replace

import pytest
import torch
from eval_inputs import config

from setaria.evaluation import evaluate
from setaria.evaluation.items import items_file, read_items
from setaria.evaluation.loading import load
from setaria.evaluation.lossless import Lossless
from setaria.generation.ngram_trie.rows import Rows


@pytest.fixture
def lossless(tiny_checkpoint, tmp_path):
    """A configuration of lossless alone, over the prompts of completion."""
    done = config(tiny_checkpoint, tmp_path, drafters=("none", "trie"))
    return replace(done, tasks={"lossless": done.tasks["completion"]})


def test_identical_over_every_cache(lossless, tiny_checkpoint):
    done = replace(lossless, caches=("none", "kivi-2"))
    results = evaluate(done)
    name = tiny_checkpoint.name
    identical, per_forward = (
        {score.setting: (score.value, score.items) for score in results.scores if score.metric == metric}
        for metric in ("identical", "tokens_per_forward")
    )
    assert identical == {f"{name} / trie": (1.0, 5), f"{name} / kivi-2 / trie": (1.0, 5)}
    assert per_forward.keys() == identical.keys() and per_forward[f"{name} / trie"][0] > 1  # drafts were taken
    for item in read_items(items_file(done.output, name, "lossless")).items:
        assert item.scores == {} and item.prediction == ""


def test_a_wrong_token_is_found_with_its_margin(lossless, tiny_checkpoint, monkeypatch):
    """The seventh token of the second prompt becomes another."""
    checkpoint = load(str(tiny_checkpoint), None, lossless, torch.device("cpu"))
    (_, setting) = lossless.settings(str(tiny_checkpoint), None)
    task = Lossless(lossless.tasks["lossless"], lossless)
    samples = list(task.samples(checkpoint).items())[:2]
    ids = checkpoint.tokenizer(samples[1][1], return_tensors="pt").input_ids
    text = checkpoint.model.generate(ids, do_sample=False, max_new_tokens=24)
    logits = checkpoint.model(text[:, : ids.size(1) + 6]).logits[0, -1].detach()
    best = int(logits.argmax())
    wrong = 5 if best != 5 else 6
    append = Rows._append

    def err(self, row, token):
        append(self, row, wrong if (row.prompt_length, len(row.generated)) == (ids.size(1), 6) else token)

    monkeypatch.setattr(Rows, "_append", err)
    right, parted = task.run(checkpoint, setting, samples)
    assert (right.scores["identical"], right.prediction, right.extra) == (1.0, "identical", {})
    margin = float(logits[best] - logits[wrong])
    assert parted.scores["identical"] == 0.0
    assert parted.extra == {
        "position": 6,
        "plain": best,
        "drafted": wrong,
        "margin": pytest.approx(margin, abs=1e-5),
    }
    tokens = [checkpoint.tokenizer.decode([one]) for one in (best, wrong)]
    assert parted.prediction == f"token 6: {tokens[0]!r} plain, {tokens[1]!r} drafted, logit margin {margin:.2g}"


def test_a_text_that_ends_early_is_found(lossless, tiny_checkpoint, monkeypatch):
    append = Rows._append

    def stop(self, row, token):
        append(self, row, token)
        row.finished |= len(row.generated) == 4

    monkeypatch.setattr(Rows, "_append", stop)
    done = replace(lossless, drafters=("trie",), limit=1)
    results = evaluate(done)
    assert [score.value for score in results.scores if score.metric == "identical"] == [0.0]
    (item,) = read_items(items_file(done.output, f"{tiny_checkpoint.name} / trie", "lossless")).items
    assert item.extra["position"] == 4 and item.extra["drafted"] is None and item.extra["margin"] is None
    assert item.prediction.startswith("token 4: ") and item.prediction.endswith(" plain, its end drafted")


def test_without_drafters_nothing_is_scored(lossless):
    results = evaluate(replace(lossless, drafters=("none",), limit=1))
    assert (results.metrics, results.scores) == ((), ())


def test_a_file_without_prompts(lossless):
    lossless.tasks["lossless"].write_text('{"prompt": "a"}\n{"text": "b"}\n')
    with pytest.raises(ValueError, match=r"prompts.jsonl:2: an object with a text in 'prompt'"):
        evaluate(lossless)

"""Candidates of the tagger: spans from paths, confidences from marginals, and what it is asked wrongly."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.tagger import CandidateTagger
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.tagger import Tagger
from setaria.models.tiny_encoder import tiny_bert, word_piece_tokenizer


LABELS = ["O", "B-PER", "I-PER", "B-PERSON/artist", "I-PERSON/artist"]
TWEET = Tweet("O_1", ("Lena", "Okoye", "sings"), (), Path("O_1.jpg"))
EMPTY = Tweet("O_2", (), (), Path("O_2.jpg"))


class ScriptedModel:
    """Says a path and marginals of the first tweet of a batch."""

    device = torch.device("cpu")

    def __init__(self, path, marginals, labels=LABELS):
        self.labels, self.path, self.marginals = labels, torch.tensor([path]), torch.tensor([marginals])

    def __call__(self, input_ids, attention_mask, first_pieces):
        assert first_pieces.shape == self.path.shape
        return SimpleNamespace(paths=self.path, marginals=self.marginals)


@pytest.fixture(scope="module")
def tokenizer():
    return word_piece_tokenizer(["Lena Okoye sings"], vocabulary=100, longest=32)


def test_confidences_by_hand(tokenizer):
    marginals = [
        [0.1, 0.6, 0.0, 0.3, 0.0],  # begins with .9; PER is 2/3 of that
        [0.2, 0.0, 0.4, 0.0, 0.4],  # goes on with .8; PER is 1/2 of that
        [0.9, 0.0, 0.1, 0.0, 0.0],  # does not go on with .9
    ]
    (found,) = CandidateTagger(ScriptedModel([1, 2, 0], marginals), tokenizer).candidates([TWEET])
    (candidate,) = found
    assert (candidate.start, candidate.end, candidate.text) == (0, 2, "Lena Okoye")
    assert (candidate.type, candidate.fine, candidate.reason) == ("PER", "", "")
    assert candidate.boundary == pytest.approx((0.9 + 0.8 + 0.9) / 3)
    assert candidate.type_confidence == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_the_last_word_has_none_after_it_and_fine_types_are_taken_apart(tokenizer):
    marginals = [[1.0, 0, 0, 0, 0], [0, 0, 0, 1.0, 0], [0, 0, 0.5, 0, 0.5]]
    (found,) = CandidateTagger(ScriptedModel([0, 3, 4], marginals), tokenizer).candidates([TWEET])
    assert found == (Candidate(1, 3, "Okoye sings", "PERSON", "artist", boundary=1.0, type_confidence=0.75),)


def test_a_span_that_begins_with_i_is_sure_of_nothing(tokenizer):
    marginals = [[0, 0, 1.0, 0, 0], [1.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0]]
    (found,) = CandidateTagger(ScriptedModel([2, 0, 0], marginals), tokenizer).candidates([TWEET])
    assert [(one.start, one.end, one.boundary) for one in found] == [(0, 1, 0.5)]  # p(B) = 0 and 1 - p(I) = 1


def test_a_path_through_words_without_entity_mass_is_no_error(tokenizer):
    marginals = [[1.0, 0, 0, 0, 0]] * 3
    (found,) = CandidateTagger(ScriptedModel([1, 0, 0], marginals), tokenizer).candidates([TWEET])
    assert found == (Candidate(0, 1, "Lena", "PER", boundary=0.5, type_confidence=0.0),)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """An untrained tagger, saved as training saves it."""
    folder = tmp_path_factory.mktemp("tagger")
    tokenizer.save_pretrained(folder)
    tiny_bert(tokenizer, hidden_size=16, intermediate_size=16).save_pretrained(folder / "encoder")
    torch.manual_seed(0)
    Tagger.on_encoder(str(folder / "encoder"), LABELS).save_pretrained(folder)
    return folder


def test_batches_and_empty_tweets(folder):
    tweets = [EMPTY, TWEET, Tweet("O_3", ("Okoye",), (), Path("O_3.jpg")), EMPTY, TWEET]
    one, many = (CandidateTagger.load(folder, batch).candidates(tweets) for batch in (1, 3))
    assert [len(found) for found in one] == [len(found) for found in many]
    assert many[0] == many[3] == ()
    for ours, theirs in zip(one, many, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert (a.start, a.end, a.type, a.fine) == (b.start, b.end, b.type, b.fine)
            assert (a.boundary, a.type_confidence) == pytest.approx((b.boundary, b.type_confidence), abs=1e-5)
    assert CandidateTagger.load(folder).candidates([]) == []


def test_knowledge_is_read(folder):
    tagger = CandidateTagger.load(folder)
    known = [tagger.candidates([TWEET], {"O_1": text}) for text in ("", "sings Okoye")]
    assert known[0] != known[1]
    assert known[0] == tagger.candidates([TWEET])
    with pytest.raises(ValueError, match="tweet O_1: there is no knowledge of it"):
        tagger.candidates([TWEET], {})


def test_what_is_not_read_is_named(folder):
    tagger = CandidateTagger.load(folder)
    tagger.tokenizer.model_max_length = 4
    with pytest.warns(UserWarning, match="tweet O_1: its last 1 tokens are not read"):
        (found,) = tagger.candidates([TWEET])
    assert all(candidate.end <= 2 for candidate in found)


def test_what_is_no_tagger(tokenizer):
    model = ScriptedModel([0], [[1.0, 0]], labels=["LABEL_0", "LABEL_1"])
    with pytest.raises(ValueError, match="no tagger: the model's label 'LABEL_0'"):
        CandidateTagger(model, tokenizer)
    with pytest.raises(ValueError, match="batch=0"):
        CandidateTagger(ScriptedModel([0], [[1.0]], labels=["O"]), tokenizer, batch=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"start": 2}, "start=2, end=2"),
        ({"start": -1}, "start=-1"),
        ({"boundary": 1.5}, r"boundary=1\.5"),
        ({"type_confidence": float("nan")}, "type_confidence=nan"),
    ],
)
def test_bad_candidates_name_the_field(changed, message):
    with pytest.raises(ValueError, match=message):
        Candidate(**{"start": 0, "end": 2, "text": "Lena Okoye", "type": "PER", **changed})

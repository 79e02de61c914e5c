"""The tagger and what it reads: alignment, truncation, empty tweets, saving."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from setaria.models.crf import IGNORED
from setaria.models.tagger import Tagger, TaggerConfig
from setaria.models.tagger_inputs import EOS, encode_tweet, pad_tweets
from setaria.models.tiny_encoder import tiny_bert, word_piece_tokenizer


LABELS = ["O", "B-PER", "I-PER"]
WORDS = ["Lena", "Okoye", "\u200d", "&amp", "🎤", "sings"]
KNOWLEDGE = ["Lena", "sings"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = word_piece_tokenizer(["Lena Okoye sings in Brno", "rain &amp snow"], vocabulary=200, longest=64)
    tokenizer.save_pretrained(folder)
    tiny_bert(tokenizer, hidden_size=16, intermediate_size=16, num_attention_heads=2).save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer(encoder):
    return AutoTokenizer.from_pretrained(encoder, add_prefix_space=True)


@pytest.fixture
def tagger(encoder):
    torch.manual_seed(0)
    return Tagger.on_encoder(str(encoder), LABELS).eval()


def test_every_word_has_a_piece(tokenizer):
    encoded = encode_tweet(tokenizer, WORDS, KNOWLEDGE)
    pieces = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    # the zero-width joiner has no pieces of its own, the emoji was never seen, `&amp` is two pieces
    expected = ["[CLS]", "Lena", "Okoye", "[UNK]", "&", "amp", "[UNK]", "sings", EOS, "Lena", "sings", "[SEP]"]
    assert pieces == expected
    assert encoded.first_pieces == [1, 2, 3, 4, 6, 7]
    assert (encoded.unread, encoded.unread_knowledge) == (0, 0)


def test_without_knowledge_there_is_no_eos(tokenizer):
    assert tokenizer.convert_ids_to_tokens(encode_tweet(tokenizer, ["Lena"]).input_ids) == ["[CLS]", "Lena", "[SEP]"]
    assert encode_tweet(tokenizer, []).first_pieces == []
    assert encode_tweet(tokenizer, [], KNOWLEDGE).first_pieces == []


@pytest.mark.parametrize(
    ("length", "first", "unread", "unread_knowledge"),
    [
        (12, 6, 0, 0),  # all: 7 pieces of 6 words, <EOS>, 2 words, 2 special tokens
        (11, 6, 0, 1),
        (10, 6, 0, 2),
        (9, 6, 0, 2),
        (8, 5, 1, 2),
        (6, 4, 2, 2),  # `&` without `amp` is enough
        (3, 1, 5, 2),
    ],
)
def test_knowledge_is_cut_first_and_what_is_cut_is_said(tokenizer, length, first, unread, unread_knowledge):
    tokenizer.model_max_length = length
    encoded = encode_tweet(tokenizer, WORDS, KNOWLEDGE)
    assert len(encoded.input_ids) <= length
    found = len(encoded.first_pieces), encoded.unread, encoded.unread_knowledge
    assert found == (first, unread, unread_knowledge)


def test_a_batch_literally(tokenizer):
    encoded = [encode_tweet(tokenizer, ["Lena", "&amp"]), encode_tweet(tokenizer, [])]
    batch = pad_tweets(encoded, [[1, 0], []], tokenizer)
    start, lena, sign, amp, end = encoded[0].input_ids
    assert batch["input_ids"].tolist() == [[start, lena, sign, amp, end], [start, end, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch["first_pieces"].tolist() == [[1, 2], [-1, -1]]
    assert batch["labels"].tolist() == [[1, 0], [IGNORED, IGNORED]]
    assert "labels" not in pad_tweets(encoded, None, tokenizer)


def test_the_loss_of_one_who_knows_nothing(tagger, tokenizer):
    # Three labels of one probability: 6 ln 3 for the six words, 0 for the empty tweet, over two tweets.
    torch.nn.init.zeros_(tagger.classifier.weight)
    encoded = [encode_tweet(tokenizer, WORDS, KNOWLEDGE), encode_tweet(tokenizer, [])]
    output = tagger(**pad_tweets(encoded, [[1, 2, 0, 0, 0, 0], []], tokenizer))
    assert output.loss.item() == pytest.approx(3 * math.log(3))
    assert output.marginals[0].flatten().tolist() == pytest.approx([1 / 3] * 18)
    assert output.paths[1].tolist() == [IGNORED] * 6


def test_tweets_of_a_batch_do_not_touch_each_other(tagger, tokenizer):
    encoded = [
        encode_tweet(tokenizer, WORDS, KNOWLEDGE),
        encode_tweet(tokenizer, ["Brno"]),
        encode_tweet(tokenizer, []),
    ]
    together = tagger(**pad_tweets(encoded, None, tokenizer))
    for row, tweet in enumerate(encoded):
        alone = tagger(**pad_tweets([tweet], None, tokenizer))
        words = len(tweet.first_pieces)
        assert torch.allclose(together.marginals[row, :words], alone.marginals[0, :words], atol=1e-6)
        assert torch.equal(together.paths[row, :words], alone.paths[0, :words])


def test_knowledge_is_read_and_not_labelled(tagger, tokenizer):
    without, with_it = (
        tagger(**pad_tweets([encode_tweet(tokenizer, WORDS, known)], None, tokenizer)) for known in ((), KNOWLEDGE)
    )
    assert without.emissions.shape == with_it.emissions.shape == (1, 6, 3)
    assert not torch.allclose(without.emissions, with_it.emissions)


@pytest.mark.parametrize("crf", [True, False])
def test_saved_and_loaded_it_is_the_same(encoder, tokenizer, tmp_path, crf):
    tagger = Tagger.on_encoder(str(encoder), LABELS, crf=crf, word_dropout=0.2).eval()
    torch.nn.init.normal_(tagger.crf.transitions)
    tagger.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "setaria_tagger"
    loaded = Tagger.from_pretrained(tmp_path).eval()
    assert loaded.labels == LABELS
    assert (loaded.config.crf, loaded.config.word_dropout) == (crf, 0.2)
    assert len(list(loaded.crf.parameters())) == (3 if crf else 0)
    batch = pad_tweets([encode_tweet(tokenizer, WORDS)], None, tokenizer)
    assert torch.equal(loaded(**batch).marginals, tagger(**batch).marginals)


def test_the_encoder_is_the_pretrained_one_without_a_pooler(encoder, tagger):
    saved = load_file(encoder / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(tagger.encoder.embeddings.word_embeddings.weight, saved)
    assert not any("pooler" in name for name, _ in tagger.named_parameters())


def test_word_dropout_is_for_training_alone(encoder, tokenizer):
    tagger = Tagger.on_encoder(str(encoder), LABELS, word_dropout=0.9)
    batch = pad_tweets([encode_tweet(tokenizer, ["Brno"] * 50)], None, tokenizer)
    torch.nn.init.ones_(tagger.classifier.bias)
    torch.manual_seed(0)
    dropped = (tagger.train()(**batch).emissions == 1).all(2).sum().item()
    assert dropped > 30  # 45 of 50 are expected
    assert (tagger.eval()(**batch).emissions == 1).all(2).sum() == 0
    assert tagger.train()(**batch).paths is None


def test_bad_settings_name_the_field(tmp_path):
    with pytest.raises(ValueError, match=r"word_dropout=1\.0"):
        TaggerConfig(word_dropout=1.0)
    with pytest.raises(OSError, match="nowhere"):
        Tagger.on_encoder(str(tmp_path / "nowhere"), LABELS)

"""Rows of the tagger: from tweets, to and from the released form; on real tweets no token is lost."""

from pathlib import Path

import mner_folders
import pytest
from transformers import AutoTokenizer

from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.tagger_rows import (
    entities_of,
    label_names,
    label_numbers,
    read_tagger_rows,
    tagger_rows,
    write_tagger_rows,
)
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.tagger_inputs import encode_tweet
from setaria.models.tiny_encoder import word_piece_tokenizer
from setaria.rewards.grounded_entities import GoldEntity


LENA = GoldEntity(0, 2, "Lena Okoye", "PER", "musician")
BRNO = GoldEntity(2, 3, "Brno", "LOC", "city")
TWEET = Tweet("O_1", ("Lena", "Okoye", "Brno", "&amp"), (LENA, BRNO), Path("O_1.jpg"))
EMPTY = Tweet("O_2", (), (), Path("O_2.jpg"))
KNOWN = {"O_1": "Named entities:1. Lena Okoye\n(singer)", "O_2": ""}
RELEASED = """Lena\tB-PER
Okoye\tI-PER
Brno\tB-LOC
&amp\tO
<EOS>\tX
Named\tX
entities:1.\tX
Lena\tX
Okoye\tX
(singer)\tX

<EOS>\tX

"""


def test_rows_literally():
    first, second = tagger_rows([TWEET, EMPTY], KNOWN)
    assert first == {
        "id": "O_1",
        "words": ["Lena", "Okoye", "Brno", "&amp"],
        "tags": ["B-PER", "I-PER", "B-LOC", "O"],
        "knowledge": ["Named", "entities:1.", "Lena", "Okoye", "(singer)"],
    }
    assert second == {"id": "O_2", "words": [], "tags": [], "knowledge": []}
    assert tagger_rows([TWEET])[0]["knowledge"] == []
    assert label_names([first, second]) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert label_numbers(first, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]) == [3, 4, 1, 0]


def test_fine_types_are_tags_of_both():
    (row,) = tagger_rows([TWEET], fine=True)
    assert row["tags"] == ["B-PER/musician", "I-PER/musician", "B-LOC/city", "O"]
    assert entities_of(row["words"], row["tags"]) == (LENA, BRNO)


def test_the_released_form_there_and_back(tmp_path):
    file = tmp_path / "rows" / "train.txt"
    rows = tagger_rows([TWEET, EMPTY], KNOWN)
    write_tagger_rows(rows, file)
    assert file.read_bytes().decode() == RELEASED
    read = read_tagger_rows(file)
    assert [row["id"] for row in read] == ["1", "2"]
    assert [{**row, "id": ""} for row in read] == [{**row, "id": ""} for row in rows]


def test_eos_is_a_mark_by_its_label_alone(tmp_path):
    tweet = Tweet("O_3", ("<EOS>", "X"), (), Path("O_3.jpg"))
    rows = tagger_rows([tweet], {"O_3": "a <EOS> b"})
    write_tagger_rows(rows, tmp_path / "train.txt")
    assert read_tagger_rows(tmp_path / "train.txt") == [{**rows[0], "id": "1"}]


def test_windows_line_ends_and_rows_without_knowledge(tmp_path):
    (tmp_path / "train.txt").write_bytes("\ufeffBrno\tB-LOC\r\n\r\n\r\n🎤\tO\r\n".encode())
    rows = read_tagger_rows(tmp_path / "train.txt")
    assert [(row["words"], row["tags"]) for row in rows] == [(["Brno"], ["B-LOC"]), (["🎤"], ["O"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Brno\tB-LOC\nNamed\tX\n", "2: .* is knowledge, and no <EOS> comes before it"),
        ("Brno\tB-LOC\n<EOS>\tX\nLena\tB-PER\n", "3: .* has a tag, but stands after <EOS>"),
        ("Brno\tLOC\n", "1: .* has no tag: O, B-<type>, I-<type> or X"),
        ("Brno\tO\tO\n", "1: .* has no tag"),
        ("Brno\n", "1: 'Brno' is no token<TAB>tag"),
        ("\tO\n", "1: .* is no token<TAB>tag"),
    ],
)
def test_bad_files_name_file_and_line(tmp_path, text, message):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=f"train.txt:{message}"):
        read_tagger_rows(tmp_path / "train.txt")


def test_no_utf8_and_no_file(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"Brno\xff\tO\n")
    with pytest.raises(ValueError, match=r"train\.txt: no UTF-8"):
        read_tagger_rows(tmp_path / "train.txt")
    with pytest.raises(FileNotFoundError):
        read_tagger_rows(tmp_path / "dev.txt")


def test_what_cannot_be_a_row():
    with pytest.raises(ValueError, match="tweet O_1: there is no knowledge of it"):
        tagger_rows([TWEET], {"O_2": "text"})
    coarse = Tweet("O_4", ("Brno",), (GoldEntity(0, 1, "Brno", "LOC"),), Path("O_4.jpg"))
    with pytest.raises(ValueError, match="tweet O_4: 'Brno' has no fine type"):
        tagger_rows([coarse], fine=True)
    with pytest.raises(ValueError, match="tweet O_1: the tag 'B-LOC' of 'Brno' is none of O, B-PER, I-PER"):
        label_numbers(tagger_rows([TWEET])[0], ["O", "B-PER", "I-PER"])


@pytest.mark.parametrize("word", ["", "a\tb", "a\nb", "a\rb"])
def test_words_that_would_break_a_line_are_not_written(tmp_path, word):
    row = {"id": "O_5", "words": [word], "tags": ["O"], "knowledge": []}
    with pytest.raises(ValueError, match="tweet O_5: the word"):
        write_tagger_rows([row], tmp_path / "train.txt")
    assert not (tmp_path / "train.txt").exists()


def test_a_published_folder(tmp_path):
    mner_folders.write(tmp_path, {"txt/dev.txt": mner_folders.TEXT, "xml/O_1.xml": mner_folders.XML})
    tweets = read_gmner(tmp_path, "dev")
    for tweet, row in zip(tweets, tagger_rows(tweets), strict=True):
        found = [(entity.start, entity.end, entity.type) for entity in entities_of(row["words"], row["tags"])]
        assert found == [(entity.start, entity.end, entity.type) for entity in tweet.entities]


def test_no_token_of_real_tweets_is_lost(data, tmp_path):
    tweets = read_gmner(data / "gmner" / "dev", "dev")
    rows = tagger_rows(tweets)
    assert sum(len(entities_of(row["words"], row["tags"])) for row in rows) == 2450
    write_tagger_rows(rows, tmp_path / "dev.txt")
    assert [row["words"] for row in read_tagger_rows(tmp_path / "dev.txt")] == [row["words"] for row in rows]
    trained = word_piece_tokenizer((tweet.text for tweet in tweets[:300]), vocabulary=1000)
    byte_level = AutoTokenizer.from_pretrained(data / "tokenizers" / "gpt2", add_prefix_space=True)
    for tokenizer in (trained, byte_level):
        for row in rows:
            encoded = encode_tweet(tokenizer, row["words"], ["Named", "entities:"])
            assert len(set(encoded.first_pieces)) == len(row["words"]), row["id"]
            assert (encoded.unread, encoded.unread_knowledge) == (0, 0)

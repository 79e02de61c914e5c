"""Tagged text files: what is a tweet, what is a broken line, and which spans tags mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.datasets_builders.mner import bio
from setaria.datasets_builders.mner.bio import read_spans, read_tagged


@pytest.mark.parametrize(
    ("tags", "spans", "malformed"),
    [
        ("", [], []),
        ("O O", [], []),
        ("B-PER I-PER O B-LOC", [(0, 2, "PER"), (3, 4, "LOC")], []),
        ("B-PER B-PER I-PER", [(0, 1, "PER"), (1, 3, "PER")], []),
        ("B-product-line I-product-line", [(0, 2, "product-line")], []),
        # I- after O, or at the start: an entity of its own, which the next I- continues.
        ("O I-PER I-PER", [(1, 3, "PER")], [1]),
        ("I-ORG", [(0, 1, "ORG")], [0]),
        ("B-PER O I-PER", [(0, 1, "PER"), (2, 3, "PER")], [2]),
        # I-X after B-Y or I-Y: the same, and both entities are kept.
        ("B-PER I-ORG I-ORG", [(0, 1, "PER"), (1, 3, "ORG")], [1]),
        ("B-PER I-ORG I-PER", [(0, 1, "PER"), (1, 2, "ORG"), (2, 3, "PER")], [1, 2]),
    ],
)
def test_spans(tags, spans, malformed):
    assert read_spans(tags.split()) == (spans, malformed)


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), max_size=12))
def test_spans_cover_what_is_not_outside(tags):
    spans, malformed = read_spans(tags)
    assert [i for start, end, _ in spans for i in range(start, end)] == [i for i, tag in enumerate(tags) if tag != "O"]
    assert len(spans) == sum(tag.startswith("B") for tag in tags) + len(malformed)


def read(tmp_path, content, columns=1):
    file = tmp_path / "dev.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_tagged(file, columns)


def test_tokens_stay_as_they_are(tmp_path):
    # Line and paragraph separators, a zero-width space, an emoji with a modifier, HTML entities, spaces in a token.
    tokens = ["&amp", "-&gt;", "a\u2028b", "\x85", "\u200b", "👩🏽", "\ufe0f", " b ", "IMGID:7", "«"]
    lines = "".join(f"{token}\tO\n" for token in tokens)
    [tweet], broken = read(tmp_path, f"IMGID:O_1\n{lines}\n")
    assert (tweet.id, tweet.line, tweet.tokens, broken) == ("O_1", 1, tokens, [])


def test_endings_of_lines_tweets_and_files(tmp_path):
    text = "\ufeffIMGID:1\r\na\tO\r\n  \r\n\r\nIMGID:2\r\nb\tB-PER\r\nIMGID:3\nIMGID:4\nc\tO"
    tweets, broken = read(tmp_path, text)
    assert [(tweet.id, tweet.line, tweet.tokens, tweet.tags) for tweet in tweets] == [
        ("1", 1, ["a"], [["O"]]),
        ("2", 5, ["b"], [["B-PER"]]),
        ("3", 7, [], []),
        ("4", 8, ["c"], [["O"]]),
    ]
    assert broken == []


def test_an_empty_file_has_no_tweets(tmp_path):
    assert read(tmp_path, "") == ([], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("token", "'token' has 1 columns, expected 2"),
        ("token O", "'token O' has 1 columns, expected 2"),
        ("token\tO\tO", "has 3 columns, expected 2"),
        ("token\t", "'' is no tag: O, B-<type> or I-<type>"),
        ("\tO", r"'\\tO' has no token"),
        ("\t", r"'\\t' has no token"),
        ("token\tS-PER", "'S-PER' is no tag"),
        ("token\tb-PER", "'b-PER' is no tag"),
        ("token\tB-", "'B-' is no tag"),
        ("token\tO ", "'O ' is no tag"),
        ("token\tB-\x1b[31m", r"'B-\\x1b\[31m' is no tag"),
        ("IMGID:1\tO\tO", "has 3 columns"),
    ],
)
def test_broken_lines(tmp_path, line, message):
    [tweet], [broken] = read(tmp_path, f"IMGID:1\na\tO\n{line}\nb\tO\n")
    assert tweet.tokens == ["a", "b"]
    with pytest.raises(ValueError, match=message):
        raise ValueError(str(broken))
    assert (broken.kind, broken.line, broken.tweet, broken.severity) == ("broken text", 3, "1", "unreadable")


@pytest.mark.parametrize(
    "tweet_id", ["", " 1", "1 ", "../1", "/etc/passwd", "a/b", "..", "a.b", "a\0", "é", "x" * 101]
)
def test_ids_that_could_lead_elsewhere(tmp_path, tweet_id):
    [tweet], [broken] = read(tmp_path, f"IMGID:{tweet_id}\na\tO\n\nIMGID:2\nb\tO\n")
    assert (tweet.id, tweet.tokens) == ("2", ["b"])
    assert (broken.line, broken.message) == (1, f"{tweet_id[:80]!r} is no id of a tweet")


def test_tokens_without_a_tweet(tmp_path):
    [tweet], broken = read(tmp_path, "a\tO\nIMGID:1\nb\tO\n\nc\tO\n")
    assert tweet.tokens == ["b"]
    assert [(one.line, "IMGID: is missing" in one.message) for one in broken] == [(1, True), (5, True)]


def test_fine_tags(tmp_path):
    [tweet], [broken] = read(tmp_path, "IMGID:1\na\tB-art\tB-music\nb\tI-art\n", columns=2)
    assert (tweet.tokens, tweet.column(0), tweet.column(1)) == (["a"], ["B-art"], ["B-music"])
    assert broken.message == r"'b\tI-art' has 2 columns, expected 3"


def test_no_utf8(tmp_path):
    tweets, [broken] = read(tmp_path, b"IMGID:1\na\tO\n\xff\tO\n")
    assert tweets == []
    assert broken.line == 3
    assert "no UTF-8" in broken.message


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(bio, "MOST_BYTES", 8)
    tweets, [broken] = read(tmp_path, "IMGID:1\na\tO\n")
    assert (tweets, broken.line, broken.message) == ([], 0, "larger than 8 bytes")

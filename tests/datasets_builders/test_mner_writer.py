"""What is written is read back: any tweets that the layouts can hold, and no others."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.datasets_builders.mner.gmner import read_fmnerg, read_gmner, read_split
from setaria.datasets_builders.mner.gmner_checks import find_irregularities
from setaria.datasets_builders.mner.gmner_writer import write_fmnerg, write_gmner
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import GoldEntity


TOKENS = st.one_of(
    st.sampled_from(["Lena", "Brno", "&amp", "&lt;", "]]>", "IMGID:3", "🎤", "\u200b", "x\u2028y", "\x85z", "a b"]),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="".join(map(chr, range(32)))),
        min_size=1,
        max_size=5,
    )
    .filter(str.strip)
    .filter(lambda token: not re.search("[\ufffe\uffff]", token)),
)
COORDINATES = st.one_of(st.integers(-5, 700).map(float), st.floats(-1e9, 1e9))
BOXES = st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES), max_size=3).map(tuple)


@st.composite
def tweets_under(draw, root: Path, fine: bool) -> list[Tweet]:
    ids = draw(st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), unique_by=str.lower, max_size=3))
    return [draw(tweets_of(tweet_id, root, fine)) for tweet_id in ids]


@st.composite
def tweets_of(draw, tweet_id: str, root: Path, fine: bool) -> Tweet:
    tokens = tuple(draw(st.lists(TOKENS, max_size=8)))
    cuts = sorted(draw(st.sets(st.integers(0, len(tokens)))))
    boxes_of: dict[str, tuple] = {}
    entities = []
    for start, end in pairwise(cuts):
        if draw(st.booleans()):
            surface = " ".join(tokens[start:end])
            if surface not in boxes_of:
                boxes_of[surface] = draw(BOXES)
            coarse = draw(st.sampled_from(list((FMNERG if fine else GMNER).types)))
            fine_type = draw(st.sampled_from(FMNERG.types[coarse])) if fine else ""
            entities.append(GoldEntity(start, end, surface, coarse, fine_type, boxes_of[surface]))
    size = draw(st.tuples(st.integers(1, 9999), st.integers(1, 9999))) if any(boxes_of.values()) else None
    return Tweet(tweet_id, tokens, tuple(entities), root / "images" / f"{tweet_id}.jpg", size)


@pytest.mark.parametrize(
    ("write", "read", "fine"), [(write_gmner, read_gmner, False), (write_fmnerg, read_fmnerg, True)]
)
def test_round_trip(write, read, fine):
    @given(st.data())
    def check(data):
        with TemporaryDirectory() as folder:
            root = Path(folder)
            tweets = data.draw(tweets_under(root, fine))
            write(tweets, root, "train")
            assert read(root, "train") == tweets

    check()


LENA = GoldEntity(1, 3, "Lena Okoye", "PER", "musician", ((1, 2, 30, 40), (0.5, 0, 9, 9)))
TWEET = Tweet("O_1", ("RT", "Lena", "Okoye", "in", "Brno"), (LENA, GoldEntity(4, 5, "Brno", "LOC")), Path(), (60, 50))


def test_the_published_form(tmp_path):
    write_gmner([TWEET, Tweet("2", ("so",), (), Path())], tmp_path, "dev")
    text = (tmp_path / "txt" / "dev.txt").read_text(encoding="utf-8")
    assert text == "IMGID:O_1\nRT\tO\nLena\tB-PER\nOkoye\tI-PER\nin\tO\nBrno\tB-LOC\n\nIMGID:2\nso\tO\n\n"
    assert [file.name for file in (tmp_path / "xml").iterdir()] == ["O_1.xml"]
    thing = """	<object>
		<name>Lena Okoye</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>{}</xmin>
			<ymin>{}</ymin>
			<xmax>{}</xmax>
			<ymax>{}</ymax>
		</bndbox>
	</object>
"""
    head = """<annotation>
	<folder>images</folder>
	<filename>O_1.jpg</filename>
	<path>D:\\标注\\O_1.jpg</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>60</width>
		<height>50</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
"""
    expected = head + thing.format(1, 2, 30, 40) + thing.format(0.5, 0, 9, 9) + "</annotation>\n"
    assert (tmp_path / "xml" / "O_1.xml").read_text(encoding="utf-8") == expected


def test_the_fine_form(tmp_path):
    tweet = replace(TWEET, entities=(replace(LENA, type="person"),))
    write_fmnerg([tweet], tmp_path, "test")
    text = (tmp_path / "txt_fine" / "test.txt").read_text(encoding="utf-8")
    assert text.startswith("IMGID:O_1\nRT\tO\tO\nLena\tB-person\tB-musician\nOkoye\tI-person\tI-musician\nin\tO\tO\n")
    assert (tmp_path / "xml" / "O_1.xml").exists()


def test_an_xml_file_of_an_earlier_writing_does_not_stay(tmp_path):
    write_gmner([TWEET], tmp_path, "dev")
    hidden = replace(TWEET, entities=(replace(LENA, boxes=()),))
    write_gmner([hidden], tmp_path, "dev")
    [tweet] = read_gmner(tmp_path, "dev")
    assert tweet.entities[0].boxes == ()


def changed(entity=LENA, **changes):
    return replace(TWEET, entities=(replace(entity, **changes),))


@pytest.mark.parametrize(
    ("tweet", "message"),
    [
        (replace(TWEET, id="../O_1"), r"'\.\./O_1': no id"),
        (replace(TWEET, tokens=("a\tb",), entities=()), r"the token 'a\\tb' is blank or cannot be written"),
        (replace(TWEET, tokens=("a\n",), entities=()), "cannot be written"),
        (replace(TWEET, tokens=("a\ud800",), entities=()), "cannot be written"),
        (replace(TWEET, tokens=("",), entities=()), "the token '' is blank"),
        (replace(TWEET, tokens=("\u3000",), entities=()), "is blank"),
        (replace(TWEET, entities=TWEET.entities[::-1]), "'Lena Okoye' at 1:3 is out of order"),
        (replace(TWEET, entities=(LENA, LENA)), "'Lena Okoye' at 1:3 is out of order"),
        (changed(start=2, end=2), "at 2:2 is out of order or out of the text"),
        (changed(end=6), "at 1:6 is out of order or out of the text"),
        (changed(start=-1), "at -1:3 is out of order or out of the text"),
        (changed(text="Lena"), "'Lena' is not made of the tokens 1:3"),
        (changed(type=""), "'', 'musician' are no types for Twitter-GMNER"),
        (changed(type="P\tR"), "are no types"),
        (replace(TWEET, size=None), "size=None is no size of an image with boxes"),
        (replace(TWEET, size=(0, 50)), r"size=\(0, 50\) is no size"),
        (changed(boxes=((0, 0, float("nan"), 1),)), "nan is no number of pixels"),
        (changed(boxes=((0, 0, float("inf"), 1),)), "inf is no number of pixels"),
        (
            replace(
                TWEET,
                tokens=("a", "a"),
                entities=(GoldEntity(0, 1, "a", "PER"), GoldEntity(1, 2, "a", "PER", "", LENA.boxes)),
            ),
            "mentions of 'a' have different boxes",
        ),
    ],
)
def test_tweets_that_the_layout_cannot_hold(tmp_path, tweet, message):
    with pytest.raises(ValueError, match=f"tweet .*{message}"):
        write_gmner([Tweet("1", ("a",), (), Path()), tweet], tmp_path, "dev")
    assert list(tmp_path.iterdir()) == []


def test_fine_types_are_needed_for_the_fine_form(tmp_path):
    with pytest.raises(ValueError, match="'Lena Okoye': 'person', '' are no types for Twitter-FMNERG"):
        write_fmnerg([changed(type="person", fine="")], tmp_path, "dev")


def test_one_id_twice_and_a_split_elsewhere(tmp_path):
    with pytest.raises(ValueError, match="tweet O_1: its id is not its own"):
        write_gmner([TWEET, TWEET], tmp_path, "dev")
    with pytest.raises(ValueError, match=r"split='\.\./dev'"):
        write_gmner([TWEET], tmp_path, "../dev")


def test_the_published_split_round_trips(data, tmp_path):
    """The real texts and boxes, written and read again; the only copy is in a folder of this test."""
    root = data / "gmner" / "dev"
    write_gmner(read_gmner(root, "dev"), tmp_path, "dev")
    assert (tmp_path / "txt" / "dev.txt").read_bytes() == (root / "txt" / "dev.txt").read_bytes()
    split = read_split(tmp_path, "dev", GMNER, root / "images")
    assert split.tweets == read_gmner(root, "dev")
    assert find_irregularities(tmp_path, {"dev": split}, with_images=False) == []

"""Every kind of irregularity, each in data that are otherwise in order, and how such data are read all the same."""

from pathlib import Path

import pytest
from mner_folders import TEXT, XML, write
from PIL import Image

from setaria.datasets_builders.mner.gmner import read_fmnerg, read_gmner, read_split
from setaria.datasets_builders.mner.gmner_checks import find_irregularities
from setaria.datasets_builders.mner.irregularity import KINDS, SEVERITIES, Irregularity
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER


@pytest.fixture
def root(tmp_path):
    """A folder in which nothing is wrong, images included."""
    write(tmp_path, {"txt/dev.txt": TEXT, "xml/O_1.xml": XML})
    (tmp_path / "images").mkdir()
    for name, size in (("O_1", (100, 80)), ("77", (9, 9)), ("16_05_1", (9, 9))):
        Image.new("RGB", size).save(tmp_path / "images" / f"{name}.jpg")
    return tmp_path


def found(root, *names, layout=GMNER, with_images=True):
    splits = {name: read_split(root, name, layout) for name in names or ["dev"]}
    irregularities = find_irregularities(root, splits, with_images)
    return [(one.kind, f"{one.file.name}:{one.line}", one.tweet, one.message) for one in irregularities]


def test_nothing_is_wrong(root):
    assert found(root) == []


def test_broken_text_and_xml(root):
    write(
        root,
        {
            "txt/dev.txt": TEXT.replace("RT\tO", "RT").replace("B-LOC", "I-LOC", 1) + "\nstray\tO\n",
            "xml/O_1.xml": "<annotation/>",
        },
    )
    assert found(root) == [
        ("broken text", "dev.txt:2", "O_1", "'RT' has 1 columns, expected 2"),
        ("broken text", "dev.txt:19", "", r"'stray\tO' belongs to no tweet: IMGID: is missing before it"),
        ("broken xml", "O_1.xml:0", "O_1", "size/width: missing or empty"),
        ("malformed tags", "dev.txt:9", "O_1", "'I-LOC' after 'O' in the coarse tags"),
    ]


def test_malformed_tags(root):
    text = TEXT.replace("RT\tO", "RT\tI-ORG").replace("love\tO", "love\tI-ORG").replace("so\tO", "so\tI-OTHER")
    write(root, {"txt/dev.txt": text})
    assert found(root) == [
        ("malformed tags", "dev.txt:2", "O_1", "'I-ORG' after 'the start' in the coarse tags"),
        ("malformed tags", "dev.txt:8", "O_1", "'I-ORG' after 'I-PER' in the coarse tags"),
        ("malformed tags", "dev.txt:16", "16_05_1", "'I-OTHER' after 'the start' in the coarse tags"),
    ]
    assert [(entity.text, entity.type) for entity in read_gmner(root, "dev")[0].entities] == [
        ("RT", "ORG"),
        ("Lena Okoye", "PER"),
        ("Lena Okoye", "PER"),
        ("love", "ORG"),
        ("Brno", "LOC"),
    ]


def test_unknown_types(root):
    write(root, {"txt/dev.txt": TEXT.replace("B-LOC", "B-GPE", 1)})
    assert found(root) == [("unknown type", "dev.txt:9", "O_1", "'GPE' is none of PER, LOC, ORG, OTHER")]
    assert read_gmner(root, "dev")[0].entities[2].type == "GPE"


def test_tags_that_disagree_with_the_xml(root):
    # A boundary that moved: both mentions become "Lena", and the boxes of "Lena Okoye" belong to nobody.
    write(root, {"txt/dev.txt": TEXT.replace("Okoye\tI-PER", "Okoye\tO")})
    message = "'Lena Okoye' is in the text, but not as one entity"
    assert found(root) == [("orphan name", "O_1.xml:0", "O_1", message)] * 2
    assert not any(entity.boxes for entity in read_gmner(root, "dev")[0].entities)
    write(root, {"txt/dev.txt": TEXT, "xml/O_1.xml": XML.replace("Lena Okoye", "lena okoye", 1)})
    assert found(root) == [("orphan name", "O_1.xml:0", "O_1", "'lena okoye' is not in the text")]
    assert len(read_gmner(root, "dev")[0].entities[0].boxes) == 1


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("<xmax>30", "<xmax>1", "empty box", "(1, 2, 1, 40) of 'Lena Okoye' has no area"),
        ("<xmax>30", "<xmax>0", "empty box", "(1, 2, 0, 40) of 'Lena Okoye' has no area"),
        (
            "<ymax>80",
            "<ymax>81",
            "box outside the image",
            "(50, 2, 100, 81) of 'Lena Okoye' leaves the image of 100 x 80",
        ),
        (
            "<xmin>1<",
            "<xmin>-1<",
            "box outside the image",
            "(-1, 2, 30, 40) of 'Lena Okoye' leaves the image of 100 x 80",
        ),
        (
            "<width>100",
            "<width>20",
            "box outside the image",
            "(1, 2, 30, 40) of 'Lena Okoye' leaves the image of 20 x 80",
        ),
    ],
)
def test_boxes(root, old, new, kind, message):
    write(root, {"xml/O_1.xml": XML.replace(old, new)})
    assert (kind, "O_1.xml:0", "O_1", message) in found(root, with_images=False)
    assert len(read_gmner(root, "dev")[0].entities[0].boxes) == 2  # kept as written


def test_xml_without_objects_and_without_a_tweet(root):
    empty = XML.replace("object", "thing")
    write(root, {"xml/77.xml": empty, "xml/nobody.xml": XML, "xml/bad\x1bname.xml": ""})
    assert found(root, with_images=False) == [
        ("empty xml", "77.xml:0", "77", "no object"),
        ("unused xml", "xml:0", "", r"'bad\x1bname.xml' is of no tweet of these splits"),
        ("unused xml", "xml:0", "", "'nobody.xml' is of no tweet of these splits"),
    ]


def test_empty_tweets_and_repeated_ids(root):
    write(root, {"txt/dev.txt": f"{TEXT}\nIMGID:77\n\nIMGID:77\nagain\tO\n"})
    assert found(root) == [
        ("empty tweet", "dev.txt:19", "77", "no tokens"),
        ("repeated id", "dev.txt:19", "77", "also in line 12"),
        ("repeated id", "dev.txt:21", "77", "also in line 12"),
    ]
    assert [tweet.tokens for tweet in read_gmner(root, "dev")[3:]] == [(), ("again",)]


def test_images(root):
    (root / "images" / "77.jpg").unlink()
    (root / "images" / "16_05_1.jpg").write_bytes(b"GIF89a")
    Image.new("RGB", (80, 100)).save(root / "images" / "O_1.jpg")
    shown = found(root)
    assert [one[:3] for one in shown] == [
        ("image size", "O_1.jpg:0", "O_1"),
        ("missing image", "77.jpg:0", "77"),
        ("broken image", "16_05_1.jpg:0", "16_05_1"),
    ]
    assert shown[0][3] == "80 x 100 pixels, 100 x 80 in the xml"
    assert len(read_gmner(root, "dev")) == 3  # none is dropped
    assert found(root, with_images=False) == []


def test_tweets_in_several_splits(root):
    # Tweet 77 by its id, with another text; the text of 16_05_1 under another id; an empty tweet is like no other.
    write(root, {"txt/test.txt": "IMGID:77\nnew\tO\n\nIMGID:5\nso\tO\ntrue\tO\n\nIMGID:6\n"})
    write(root, {"txt/train.txt": "IMGID:8\n"})
    assert found(root, "train", "dev", "test", with_images=False) == [
        ("empty tweet", "train.txt:1", "8", "no tokens"),
        ("empty tweet", "test.txt:8", "6", "no tokens"),
        ("shared tweet", "test.txt:1", "77", "also in dev.txt"),
        ("shared text", "test.txt:4", "5", "the same tokens as tweet 16_05_1 of dev.txt"),
    ]


def test_fine_tags(root):
    text = (
        "IMGID:O_1\nLena\tB-person\tB-city\nOkoye\tI-person\tI-city\nsang\tO\tB-music\n"
        "Nu\tB-art\tB-ballad\nat\tO\tO\nBrno\tB-place\tB-city\nZoo\tI-place\tI-park\nsoon\tB-event\tO\n"
    )
    write(root, {"txt_fine/dev.txt": text})
    assert found(root, layout=FMNERG, with_images=False) == [
        ("malformed tags", "dev.txt:8", "O_1", "'I-park' after 'B-city' in the fine tags"),
        ("type pair", "dev.txt:2", "O_1", "'city' is no fine type of 'person'"),
        ("unknown type", "dev.txt:5", "O_1", "'ballad' is no fine type of Twitter-FMNERG"),
        ("unknown type", "dev.txt:7", "O_1", f"'place' is none of {', '.join(FMNERG.types)}"),
        ("fine tags", "dev.txt:4", "O_1", "'sang' is an entity in the fine tags alone"),
        ("fine tags", "dev.txt:7", "O_1", "'Brno' is an entity in the fine tags alone"),
        ("fine tags", "dev.txt:7", "O_1", "'Brno Zoo' is an entity in the coarse tags alone"),
        ("fine tags", "dev.txt:8", "O_1", "'Zoo' is an entity in the fine tags alone"),
        ("fine tags", "dev.txt:9", "O_1", "'soon' is an entity in the coarse tags alone"),
    ]
    assert [(one.type, one.fine) for one in read_fmnerg(root, "dev")[0].entities] == [
        ("person", "city"),
        ("art", "ballad"),
        ("place", "city"),
        ("event", ""),
    ]


def test_kinds():
    assert {severity for severity, _ in KINDS.values()} == set(SEVERITIES)
    with pytest.raises(ValueError, match="kind='odd' is none of broken text, "):
        Irregularity("odd", Path(), 0, "")

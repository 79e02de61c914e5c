"""Readers of Twitter-GMNER and Twitter-FMNERG: how entities get their boxes, what is refused, and the real numbers."""

import pytest
from mner_folders import LENA, TEXT, XML, write

from setaria.datasets_builders.mner.gmner import read_fmnerg, read_gmner, read_split
from setaria.datasets_builders.mner.gmner_checks import find_irregularities
from setaria.datasets_builders.mner.gmner_counts import Counts, count_split
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import GoldEntity
from setaria.rewards.grounding_floors import Floors


@pytest.fixture
def root(tmp_path):
    return write(tmp_path, {"txt/dev.txt": TEXT, "xml/O_1.xml": XML})


def test_entities_are_linked_by_their_surface(root):
    first, second, third = read_gmner(root, "dev")
    assert first == Tweet(
        "O_1",
        ("RT", "Lena", "Okoye", "&amp", "Lena", "Okoye", "love", "Brno", "🎤"),
        (
            GoldEntity(1, 3, "Lena Okoye", "PER", "", LENA),  # both mentions share both boxes
            GoldEntity(4, 6, "Lena Okoye", "PER", "", LENA),
            GoldEntity(7, 8, "Brno", "LOC"),  # no object: not groundable
        ),
        root / "images" / "O_1.jpg",
        (100, 80),
    )
    assert first.text == "RT Lena Okoye &amp Lena Okoye love Brno 🎤"
    assert second == Tweet("77", ("Brno",), (GoldEntity(0, 1, "Brno", "LOC"),), root / "images" / "77.jpg")
    assert third == Tweet("16_05_1", ("so", "true"), (), root / "images" / "16_05_1.jpg")


def test_fine_types(tmp_path):
    text = "IMGID:O_1\nLena\tB-person\tB-musician\nOkoye\tI-person\tI-musician\nsang\tO\tO\nNu\tB-art\tB-music\n"
    [tweet] = read_fmnerg(write(tmp_path, {"txt_fine/test.txt": text, "xml/O_1.xml": XML}), "test")
    assert tweet.entities == (
        GoldEntity(0, 2, "Lena Okoye", "person", "musician", LENA),
        GoldEntity(3, 4, "Nu", "art", "music"),
    )


def test_the_fine_type_is_that_of_the_first_token(tmp_path):
    text = "IMGID:1\na\tB-person\tB-actor\nb\tI-person\tB-coach\nc\tB-person\tO\nd\tO\tB-coach\n"
    [tweet] = read_fmnerg(write(tmp_path, {"txt_fine/test.txt": text, "xml/O_1.xml": XML}), "test")
    assert [(entity.text, entity.fine) for entity in tweet.entities] == [("a b", "actor"), ("c", "")]


def test_images_in_another_folder_or_its_subfolders(root, tmp_path):
    elsewhere = write(tmp_path / "elsewhere", {"twitter2015_images/77.jpg": "", "O_1.jpg": "", "b/O_1.jpg": ""})
    images = [tweet.image for tweet in read_gmner(root, "dev", elsewhere)]
    assert images == [elsewhere / name for name in ("O_1.jpg", "twitter2015_images/77.jpg", "16_05_1.jpg")]


def test_what_cannot_be_read_is_refused_and_named(root):
    write(root, {"xml/O_1.xml": "<annotation>", "txt/dev.txt": TEXT.replace("love\tO", "love")})
    with pytest.raises(ValueError, match=r"dev\.txt:8: tweet O_1: 'love' has 1 columns.*\(and 1 more: setaria check"):
        read_gmner(root, "dev")
    write(root, {"txt/dev.txt": TEXT})
    with pytest.raises(ValueError, match=r"O_1\.xml: tweet O_1: no xml that is read here: no element found[^()]*$"):
        read_gmner(root, "dev")


def test_missing_files(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.txt"):
        read_gmner(root, "train")
    with pytest.raises(FileNotFoundError, match=r"test\.txt"):
        read_fmnerg(root, "test")
    with pytest.raises(ValueError, match=r"split='\.\./dev' is no name"):
        read_gmner(root, "../dev")
    (root / "xml/O_1.xml").unlink()
    (root / "xml").rmdir()  # else every entity would be read as not groundable
    with pytest.raises(FileNotFoundError, match="xml: no such folder; the boxes of Twitter-GMNER are read from it"):
        read_gmner(root, "dev")


def test_counts(root):
    # Whole image: (50, 2, 100, 80) covers 3900 of 8000 square pixels, under a half; always None is right for Brno.
    assert count_split(read_split(root, "dev", GMNER)) == Counts(
        tweets=3,
        entities=4,
        groundable=2,
        xml_boxes=2,
        entity_boxes=4,
        multi_box=2,
        most_boxes=2,
        no_xml=2,
        no_entity=1,
        duplicate_surfaces=1,
        types={"PER": (2, 2), "LOC": (2, 0), "ORG": (0, 0), "OTHER": (0, 0)},
        fine_types={},
        floors=Floors(entities=4, always_none=2, whole_image=2),
    )


def test_unknown_types_are_counted_last(tmp_path):
    text = "IMGID:1\na\tB-zoo\tB-ape\nb\tB-art\tB-music\nc\tB-art\tO\n"
    write(tmp_path, {"txt_fine/dev.txt": text, "xml/O_1.xml": XML})
    counts = count_split(read_split(tmp_path, "dev", FMNERG))
    assert list(counts.types) == [*FMNERG.types, "zoo"]
    assert {name: numbers for name, numbers in counts.types.items() if numbers != (0, 0)} == {
        "zoo": (1, 0),
        "art": (2, 0),
    }
    assert {name for name, numbers in counts.fine_types.items() if numbers != (0, 0)} == {"ape", "music"}


def test_fmnerg_has_8_coarse_and_51_fine_types():
    assert len(FMNERG.types) == 8
    assert len(FMNERG.fine_types) == len(set(FMNERG.fine_types)) == 51


def test_the_published_development_split(data):
    """Twitter-GMNER v2.0. The floor of the whole image: 1459 entities without a box, and 302 of the 991 others."""
    root = data / "gmner" / "dev"
    split = read_split(root, "dev", GMNER)
    assert count_split(split) == Counts(
        tweets=1500,
        entities=2450,
        groundable=991,
        xml_boxes=1164,
        entity_boxes=1171,
        multi_box=85,
        most_boxes=11,
        no_xml=668,
        no_entity=87,
        duplicate_surfaces=12,
        types={"PER": (1072, 698), "LOC": (407, 42), "ORG": (595, 139), "OTHER": (376, 112)},
        fine_types={},
        floors=Floors(2450, 1459, 1761),
    )
    assert find_irregularities(root, {"dev": split}, with_images=False) == []
    assert read_gmner(root, "dev") == split.tweets


def test_the_published_floors_counted_by_other_means(data):
    """Lines that begin an entity, and objects of their names, found by splitting text."""
    root = data / "gmner" / "dev"
    entities = invisible = 0
    for block in (root / "txt" / "dev.txt").read_text(encoding="utf-8").strip("\n").split("\n\n"):
        head, *lines = block.split("\n")
        file = root / "xml" / f"{head.removeprefix('IMGID:')}.xml"
        xml = file.read_text(encoding="utf-8") if file.exists() else ""
        joined = " ".join(("\n" if "\tB-" in line else "") + line for line in lines if not line.endswith("\tO"))
        for entity in joined.split("\n")[1:]:
            words = [word.partition("\t")[0] for word in entity.split(" ") if word]
            entities += 1
            invisible += f"<name>{' '.join(words)}</name>" not in xml
    assert count_split(read_split(root, "dev", GMNER)).floors.always_none == invisible == 1459
    assert entities == 2450

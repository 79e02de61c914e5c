"""Pascal VOC's xml of one image, as data: what is read, and what is refused with its file and field named."""

import pytest

from setaria.datasets_builders.mner import voc
from setaria.datasets_builders.mner.voc import Annotation, read_annotation


SIZE = "<size><width>600</width><height>450</height><depth>3</depth></size>"


def thing(name="Lena Okoye", corners=("1", "2", "30.5", "40")):
    box = "".join(f"<{field}>{value}</{field}>" for field, value in zip(voc.CORNERS, corners, strict=True))
    return f"<object><name>{name}</name><pose>Unspecified</pose><bndbox>{box}</bndbox></object>"


def write(tmp_path, text):
    file = tmp_path / "O_1.xml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_an_annotation(tmp_path):
    left_over = "<folder>9-split</folder><filename>other_region.jpg</filename><path>D:\\标注\\O_1.jpg</path>"
    objects = thing() + thing("R&amp;amp;B 🎤") + thing(corners=("-5", "0", "700", "0"))
    read = read_annotation(write(tmp_path, f"<annotation>{left_over}{SIZE}{objects}</annotation>"))
    assert read == Annotation(
        (600, 450),
        (("Lena Okoye", (1, 2, 30.5, 40)), ("R&amp;B 🎤", (1, 2, 30.5, 40)), ("Lena Okoye", (-5, 0, 700, 0))),
    )
    assert read.boxes("Lena Okoye") == ((1, 2, 30.5, 40), (-5, 0, 700, 0))
    assert read.boxes("lena okoye") == ()


def test_no_objects(tmp_path):
    assert read_annotation(write(tmp_path, f"<annotation>{SIZE}</annotation>")).objects == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "size/width: missing or empty"),
        (SIZE.replace("600", "0"), "size: 0 x 450 is no size in pixels"),
        (SIZE.replace("600", "600.5"), "size: 600.5 x 450 is no size"),
        (SIZE.replace("450", "-1"), "size: 600 x -1 is no size"),
        (SIZE.replace("600", "wide"), "size/width: 'wide' is no number of pixels"),
        (SIZE + thing() + thing(name=""), "object 2: name: missing or empty"),
        (SIZE + thing(corners=("1", "2", "nan", "4")), "object 1: bndbox/xmax: 'nan' is no number"),
        (SIZE + thing(corners=("1", "2", "3", "inf")), "object 1: bndbox/ymax: 'inf' is no number"),
        (SIZE + thing(corners=("1e400", "2", "3", "4")), "object 1: bndbox/xmin: '1e400' is no number"),
        (SIZE + thing(corners=("1,5", "2", "3", "4")), "object 1: bndbox/xmin: '1,5' is no number"),
        (SIZE + thing(corners=("1", "", "3", "4")), "object 1: bndbox/ymin: missing or empty"),
        (SIZE + "<object><name>Lena</name></object>", "object 1: bndbox/xmin: missing"),
    ],
)
def test_fields_that_are_missing_or_wrong(tmp_path, body, message):
    with pytest.raises(ValueError, match=rf"O_1\.xml: {message}"):
        read_annotation(write(tmp_path, f"<annotation>{body}</annotation>"))


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
STEAL = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no xml",
        f"<annotation>{SIZE}",
        "<annotation>&nbsp;</annotation>",
        f"{BOMB}<annotation>{SIZE}{thing('&b;')}</annotation>",
        f"{STEAL}<annotation>{SIZE}{thing('&a;')}</annotation>",
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><annotation/>',
        '<?xml version="1.0" encoding="klingon"?><annotation/>',
        '<?xml version="1.0" encoding="shift_jis"?><annotation/>',
        b"<annotation>\xff</annotation>",
        "<annotation>\0</annotation>",
    ],
)
def test_no_xml_or_hostile_xml(tmp_path, text):
    with pytest.raises(ValueError, match=r"O_1\.xml: no xml that is read here: "):
        read_annotation(write(tmp_path, text))


def test_deeply_nested_xml(tmp_path):
    with pytest.raises(ValueError, match="size/width: missing"):
        read_annotation(write(tmp_path, "<a>" * 100_000 + "</a>" * 100_000))


def test_a_large_file(tmp_path):
    with pytest.raises(ValueError, match=r"O_1\.xml: larger than 1000000 bytes"):
        read_annotation(write(tmp_path, f"<annotation>{SIZE}{' ' * 1_000_000}</annotation>"))

"""`setaria check gmner` and `fmnerg`: the report, its exit codes, and the published development split."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from setaria.cli.main import main


TEXT = "IMGID:O_1\nLena\tB-PER\nOkoye\tI-PER\nin\tO\nBrno\tB-LOC\n\nIMGID:2\nso\tO\n\n"
XML = """<annotation><size><width>100</width><height>80</height></size><object><name>Lena Okoye</name><bndbox>
<xmin>0</xmin><ymin>0</ymin><xmax>100</xmax><ymax>40</ymax></bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path):
    for name, content in (("txt/dev.txt", TEXT), ("xml/O_1.xml", XML)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def check(*arguments, what="gmner"):
    return main(["check", what, *map(str, arguments)])


def cells(output):
    """The numbers of the table's first split, by their labels."""
    rows = (line.strip("│").split("│") for line in output.splitlines() if line.startswith("│"))
    return {label.strip(): numbers.strip() for label, numbers, *_ in rows}


def test_a_folder_in_order(folder, capsys):
    assert check(folder) == 0
    output = capsys.readouterr().out
    assert cells(output) == {
        "tweets": "2",
        "entities": "2",
        "groundable": "1",
        "None": "1 (50.0%)",
        "xml boxes": "1",
        "boxes over entities": "1",
        "multi-box (max)": "0 (1)",
        "no xml": "1",
        "no entity": "1",
        "duplicate surface": "0",
        "floor: always None": "1 (50.0%)",
        "floor: whole image": "2 (100.0%)",  # half of the image is the box
        "PER (groundable)": "1 (1)",
        "LOC (groundable)": "1 (0)",
        "ORG (groundable)": "0 (0)",
        "OTHER (groundable)": "0 (0)",
    }
    assert f"Note: images not checked: no --images, and no folder {folder / 'images'}." in output
    assert f"{folder}: dev: 2 tweets, 0 errors, 0 warnings" in output


def test_errors_make_exit_code_1(folder, capsys):
    (folder / "txt/dev.txt").write_text(TEXT.replace("in\tO", "in\tI-ORG\nx").replace("so\tO\n", ""), encoding="utf-8")
    assert check(folder, "--json", folder / "report.json") == 1
    output = capsys.readouterr().out
    assert "unreadable: broken text: 1 (the readers refuse the file)\n" in output
    assert "dev.txt:5: tweet O_1: 'x' has 1 columns, expected 2\n" in output
    assert "error: malformed tags: 1 (an I- that continues no entity of its type starts a new one" in output
    assert "warning: empty tweet: 1 (kept, without tokens)\n" in output
    assert "2 tweets, 2 errors, 1 warnings" in output
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [(one["kind"], one["severity"], one["line"]) for one in report["irregularities"]] == [
        ("broken text", "unreadable", 5),
        ("malformed tags", "error", 4),
        ("empty tweet", "warning", 8),
    ]
    assert report["splits"]["dev"]["types"]["ORG"] == [1, 0]
    assert report["splits"]["dev"]["floors"] == {"entities": 3, "always_none": 2, "whole_image": 3}
    assert not report["images_checked"]


def test_warnings_do_not(folder, capsys):
    (folder / "xml/9.xml").write_text(XML, encoding="utf-8")
    assert check(folder) == 0
    assert "0 errors, 1 warnings" in capsys.readouterr().out


def test_missing_images_are_listed_and_counted(folder, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert check(folder, "--images", tmp_path / "photos") == 1
    output = capsys.readouterr().out
    assert "error: missing image: 2 (the tweet is kept)" in output
    assert "O_1.jpg: tweet O_1: no such file" in output
    assert "2.jpg: tweet 2: no such file" in output
    assert check(folder, "--images", tmp_path / "photos", "--show", 1) == 1
    assert "  and 1 more: --show 2, or --json OUT for all" in capsys.readouterr().out
    Image.new("RGB", (100, 80)).save(tmp_path / "photos" / "O_1.jpg")
    Image.new("RGB", (5, 5)).save(tmp_path / "photos" / "2.jpg")
    assert check(folder, "--images", tmp_path / "photos") == 0
    assert "not checked" not in capsys.readouterr().out


def test_a_tweet_in_two_splits(folder, capsys):
    (folder / "txt/test.txt").write_text(TEXT, encoding="utf-8")
    assert check(folder) == 1
    output = capsys.readouterr().out
    assert "dev, test: 4 tweets, 2 errors" in output
    assert "error: shared tweet: 2 (kept in each split)" in output


def test_fine_types(folder, capsys):
    (folder / "txt_fine").mkdir()
    text = "IMGID:O_1\nLena\tB-person\tB-coach\nOkoye\tI-person\tI-coach\n[red]\tB-zoo\tB-ape\n"
    (folder / "txt_fine/test.txt").write_text(text, encoding="utf-8")
    assert check(folder, what="fmnerg") == 1
    output = capsys.readouterr().out
    assert "Twitter-FMNERG" in output
    assert "error: unknown type: 2 (kept as written)" in output
    shown = cells(output)
    assert (shown["person (groundable)"], shown["coach (groundable)"]) == ("1 (1)", "1 (1)")
    assert (shown["zoo (groundable)"], shown["ape (groundable)"]) == ("1 (0)", "1 (0)")


def test_what_cannot_be_checked_is_exit_code_2(folder, tmp_path, capsys):
    for arguments, message in (
        ([tmp_path / "absent"], "none of train.txt, dev.txt, test.txt"),
        ([folder, "--images", tmp_path / "absent"], "absent: no such folder"),
        ([folder, "--json", tmp_path / "absent" / "report.json"], "No such file or directory"),
    ):
        assert check(*arguments) == 2
        assert message in capsys.readouterr().err
    (folder / "xml").rename(folder / "boxes")
    assert check(folder) == 2
    assert "the boxes of Twitter-GMNER are read from it" in capsys.readouterr().err
    for arguments in ([], [folder, "--show", "-1"], [folder, "--unknown"]):
        with pytest.raises(SystemExit) as exit:
            check(*arguments)
        assert exit.value.code == 2


def test_the_published_development_split(data, capsys):
    assert check(data / "gmner" / "dev") == 0
    output = capsys.readouterr().out
    assert cells(output) == {
        "tweets": "1500",
        "entities": "2450",
        "groundable": "991",
        "None": "1459 (59.6%)",
        "xml boxes": "1164",
        "boxes over entities": "1171",
        "multi-box (max)": "85 (11)",
        "no xml": "668",
        "no entity": "87",
        "duplicate surface": "12",
        "floor: always None": "1459 (59.6%)",
        "floor: whole image": "1761 (71.9%)",
        "PER (groundable)": "1072 (698)",
        "LOC (groundable)": "407 (42)",
        "ORG (groundable)": "595 (139)",
        "OTHER (groundable)": "376 (112)",
    }
    assert "1500 tweets, 0 errors, 0 warnings" in output


def test_it_needs_no_torch(folder):
    code = (
        "import sys; from setaria.cli.main import main; "
        f"code = main(['check', 'gmner', {str(folder)!r}]); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0

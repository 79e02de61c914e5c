"""`setaria check leak`: the report and its exit codes, for our own knowledge and for files as they were released."""

import json

import pytest
from mner_folders import write

from setaria.cli.main import main


XML = "<annotation><size><width>9</width><height>9</height></size></annotation>"


def gold(split, count=40):
    """Tweets of a split, each with one entity."""
    return "".join(
        f"IMGID:{split}{n}\n{split}\tO\nBrno\tB-{'LOC' if n % 2 else 'ORG'}\n{n}\tO\n\n" for n in range(count)
    )


def text(number, right):
    """A text that has the type of the entity, or the other one."""
    return f"Named entities: 1. Brno ({'LOC' if (number % 2 == 1) == right else 'ORG'}) Reasoning: a town"


def lines(split, right, count=40):
    """Knowledge with the right type for so many tweets."""
    return "".join(json.dumps({"tweet": f"{split}{n}", "text": text(n, n < right)}) + "\n" for n in range(count))


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "data", {f"txt/{split}.txt": gold(split) for split in ("train", "dev", "test")})
    return write(tmp_path / "data", {"xml/x.xml": XML})


@pytest.fixture
def knowledge(tmp_path):
    """Knowledge whose types are right for so many of 40 tweets of each split."""

    def written(**right):
        return write(tmp_path / "knowledge", {f"{split}.jsonl": lines(split, count) for split, count in right.items()})

    return written


def check(*arguments):
    return main(["check", "leak", *map(str, arguments)])


def test_honest_knowledge(knowledge, data, capsys):
    folder = knowledge(train=24, dev=22, test=25)
    (folder / "replies.jsonl").write_text("of the agent, and not looked at\n")
    assert check(folder, "--data", data) == 0
    said = capsys.readouterr().out
    assert f"{folder}: train, dev, test: 0 errors, 0 warnings" in " ".join(said.split())
    row = next(line for line in said.splitlines() if "names with types" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "names with types",
        "24 of 40 (60.0%)",
        "22 of 40 (55.0%)",
        "25 of 40 (62.5%)",
    ]


def test_labels_in_the_prompts_of_one_split(knowledge, data, capsys, tmp_path):
    """dev 20 of 40, test 40 of 40: a difference of .5, three standard errors are 3 x .097."""
    folder = knowledge(train=20, dev=20, test=40)
    assert check(folder, "--data", data, "--json", tmp_path / "report.json") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "error jump: pairs: test 40 of 40 (100.0%), dev 20 of 40 (50.0%)" in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["splits"]["test"]["pairs"] == 40
    assert {finding["check"] for finding in report["findings"]} == {"jump"}
    assert check(folder, "--data", data, "--jump", "0.6") == 0


def test_telling_words_end_in_an_error(knowledge, data, capsys):
    folder = knowledge(train=20, dev=20, test=20)
    with (folder / "test.jsonl").open("a") as file:
        file.write(json.dumps({"tweet": "test3", "text": "Brno [bold] is the ground truth"}) + "\n")  # the last counts
    assert check(folder, "--data", data) == 1
    assert "error telling words: test: 1 of 40 texts speak of gold (test3: 'ground truth')" in " ".join(
        capsys.readouterr().out.split()
    )


def test_one_file_for_all_splits(knowledge, data, tmp_path, capsys):
    folder = knowledge(train=20, dev=20, test=40)
    file = tmp_path / "all.jsonl"
    file.write_text("".join((folder / f"{split}.jsonl").read_text() for split in ("train", "dev", "test")))
    assert check(file, "--data", data) == 1
    assert "train, dev, test: " in capsys.readouterr().out


def test_one_split_alone(knowledge, data, capsys):
    assert check(knowledge(dev=40), "--data", data) == 0
    assert "info one split: a jump between splits cannot be seen in one" in " ".join(capsys.readouterr().out.split())


def test_knowledge_in_the_file_of_another_split(knowledge, data, tmp_path, capsys):
    folder = knowledge(dev=20, test=20)
    (folder / "test.jsonl").write_text((folder / "test.jsonl").read_text() + (folder / "dev.jsonl").read_text())
    assert check(folder, "--data", data) == 1
    assert "error foreign tweets: test: 40 texts" in " ".join(capsys.readouterr().out.split())


def released(split, right, count=40):
    blocks = []
    for n in range(count):
        tag = "B-LOC" if n % 2 else "B-ORG"
        words = "".join(f"{word}\tX\n" for word in ("<EOS>", *text(n, n < right).split()))
        blocks.append(f"{split}\tO\nBrno\t{tag}\n{n}\tO\n{words}\n")
    return "".join(blocks)


def test_files_as_released(tmp_path, capsys):
    """As with Twitter-FMNERG: `valid` has the tweets of test, and test has the labels."""
    write(tmp_path, {"train.txt": released("train", 20), "valid.txt": released("test", 16)})
    write(tmp_path, {"test.txt": released("test", 38)})
    assert check(tmp_path) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "jump: pairs: test 38 of 40 (95.0%), valid 16 of 40 (40.0%)" in said
    assert "error shared texts: valid and test share 40 texts, such as 'test Brno 0'" in said


def test_released_gmner_is_honest(tmp_path, capsys):
    write(tmp_path, {f"{split}.txt": released(split, 22) for split in ("train", "valid", "test")})
    assert check(tmp_path) == 0
    assert "train, valid, test: 0 errors" in capsys.readouterr().out


BAD = {
    "no labels": ({"dev.jsonl": lines("dev", 20)}, (), "--data is missing, the folder with the labels"),
    "no knowledge": ({}, ("--data", "DATA"), "no knowledge of a tweet in"),
    "no text": ({"dev.jsonl": '{"tweet": "dev1"}\n'}, ("--data", "DATA"), "dev.jsonl:1: text=None is no text"),
    "no json": ({"dev.jsonl": "so\n"}, ("--data", "DATA"), "dev.jsonl:1: no JSON"),
    "a number": ({"dev.jsonl": lines("dev", 20)}, ("--data", "DATA", "--jump", "2"), "jump=2.0: a share between"),
    "released": ({"test.txt": "Brno\tB-LOC\nso\tX\n"}, (), "test.txt:2: 'so\\tX' is knowledge, and no <EOS>"),
}


@pytest.mark.parametrize(("files", "flags", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_checked(files, flags, message, tmp_path, data, capsys):
    folder = write(tmp_path / "k", files)
    folder.mkdir(exist_ok=True)
    assert check(folder, *(data if flag == "DATA" else flag for flag in flags)) == 2
    error = capsys.readouterr().err
    assert error.startswith("setaria check leak: ") and message in error

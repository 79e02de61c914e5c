"""`setaria check preferences`: the report, its exit codes, and its counts on real files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from setaria.cli.main import main


DATA = Path(os.environ.get("SETARIA_DATA", "absent"))
needs_data = pytest.mark.skipif(not DATA.exists(), reason="SETARIA_DATA names no folder of real data")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def good(tmp_path):
    rows = [{"prompt": f"Question {i}?", "chosen": f"Answer {i}.", "rejected": f"No {i}."} for i in range(20)]
    return write(tmp_path / "good.jsonl", rows)


def check(*arguments):
    return main(["check", "preferences", *map(str, arguments)])


def test_good_pairs(good, capsys):
    assert check(good) == 0
    output = capsys.readouterr().out
    assert "checked 20 of 20 pairs, 0 errors, 0 warnings" in " ".join(output.split())
    assert "no --tokenizer: double BOS, missing EOS and truncation not checked" in " ".join(output.split())


def test_errors_make_exit_code_1(tmp_path):
    rows = [{"prompt": "a", "chosen": "", "rejected": "b"}, {"prompt": "c", "chosen": "d", "rejected": "d"}]
    assert check(write(tmp_path / "bad.jsonl", rows), "--json", tmp_path / "report.json") == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(finding["check"], finding["rows"]) for finding in report["findings"]] == [
        ("empty completion", [0]),
        ("chosen == rejected", [1]),
        ("length bias", []),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "chosen": None, "rejected": "c"}], "row 1"),
        ([{"text": "a"}], "unknown preference layout: columns text (str)"),
    ],
)
def test_data_that_cannot_be_pairs_is_an_error(tmp_path, capsys, rows, message):
    assert check(write(tmp_path / "bad.jsonl", rows)) == 1
    assert message in capsys.readouterr().err


def test_what_cannot_be_checked_is_exit_code_2(tmp_path, good, capsys):
    assert check(tmp_path / "absent.json") == 2
    assert "absent.json: no such file or folder" in capsys.readouterr().err
    assert check(good, "--config", tmp_path / "absent.yaml") == 2
    (tmp_path / "list.yaml").write_text("- a\n")
    assert check(good, "--config", tmp_path / "list.yaml") == 2
    assert "a recipe is a mapping" in capsys.readouterr().err
    assert check(good, "--json", tmp_path / "no" / "report.json") == 2
    assert check(good, "--tokenizer", tmp_path / "absent") == 2
    for arguments in ([], [good, "--sample", "0"], [good, "--unknown"]):
        with pytest.raises(SystemExit) as exit:
            check(*arguments)
        assert exit.value.code == 2


def test_recipe(tmp_path, good, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("beta: 0.1\ndtype: bfloat16\ngradient_accumulation_steps: 16\n")
    assert check(good, "--config", recipe, "--json", tmp_path / "report.json") == 1
    findings = json.loads((tmp_path / "report.json").read_text())["findings"]
    assert [(finding["check"], finding["severity"]) for finding in findings] == [
        ("length bias", "info"),
        ("bf16 weights", "error"),
        ("beta", "error"),
    ]


def test_sample_keeps_row_numbers(tmp_path):
    rows = [{"prompt": f"{i}", "chosen": "", "rejected": "a"} for i in range(50)]
    path = write(tmp_path / "empty.jsonl", rows)
    check(path, "--sample", "3", "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["rows"], report["checked"]) == (50, 3)
    assert report["findings"][0]["rows"] == [24, 26, 48]


def test_help_imports_no_torch():
    code = "import sys; from setaria.cli.main import main\ntry: main(['check', '--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'datasets', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def real_findings(tmp_path, name, *options):
    path, tokenizer = DATA / "preferences" / name, DATA / "tokenizers" / "qwen2.5"
    code = check(path, "--tokenizer", tokenizer, *options, "--json", tmp_path / "report.json")
    findings = json.loads((tmp_path / "report.json").read_text())["findings"]
    return (
        code,
        {finding["check"]: (finding["count"], finding["rows"]) for finding in findings},
        findings[-1]["message"],
    )


@needs_data
def test_hh_harmless(tmp_path):
    """Counts verified by an independent script (regular expressions, the tokenizer, an exact binomial test)."""
    code, findings, lengths = real_findings(tmp_path, "hh_harmless_dev.jsonl", "--max_length", 512)
    assert code == 1
    assert findings == {
        "empty completion": (4, [86, 516, 925, 1103]),
        "prompt fills max_length": (15, [142, 219, 228, 285, 365]),
        "completion cut": (28, [113, 179, 295, 375, 389]),
        "length bias": (517, []),
    }
    assert lengths == (
        "chosen 40.5, rejected 51.0 tokens on average (median 28, 37); chosen is longer in 44.0% of the 1174 pairs of "
        "unequal length (sign test p = 5e-05)"
    )


@needs_data
def test_llama_factory_demo(tmp_path):
    """Counts verified in the same way; 1024 tokens, TRL's default, are too few for these conversations."""
    code, findings, lengths = real_findings(tmp_path, "llama_factory_dpo_en.json")
    assert code == 0
    assert findings == {
        "repeated pair": (5, [157, 186, 230, 248, 275]),
        "prompt fills max_length": (37, [39, 41, 57, 63, 65]),
        "completion cut": (55, [9, 15, 19, 26, 27]),
        "length bias": (128, []),
    }
    assert lengths.startswith("chosen 299.1, rejected 327.6 tokens on average (median 304.5, 329)")

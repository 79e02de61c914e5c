"""`setaria replay`: its table, its JSON, and the gate on real answers."""

import json
import os
from pathlib import Path

import pytest

from setaria.cli.main import main


DATA = Path(os.environ.get("SETARIA_DATA", "absent"))
ANSWERS = DATA / "spec_bench" / "dev.jsonl"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="SETARIA_DATA names no folder of real data")


@pytest.fixture
def answers(tmp_path, tiny_checkpoint):
    rows = [
        {"category": category, "turns": ["Say it."], "answers": ["to be, or not to be, or not to be"]}
        for category in ("rag", "qa")
    ]
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--answers", str(file), "--tokenizer", str(tiny_checkpoint)]


@pytest.mark.parametrize("drafter", ["trie", "paper", "prompt-lookup"])
def test_table_and_json(answers, tmp_path, capsys, drafter):
    output = tmp_path / "out.json"
    assert main(["replay", *answers, "--drafter", drafter, "--budget", "6", "--json", str(output)]) == 0
    summary = json.loads(output.read_text())
    keys = {"tokens_per_forward", "nodes_per_forward", "hit_rate", "draft_us"}
    assert set(summary["overall"]) == keys
    assert set(summary["categories"]) == {"rag", "qa"}
    assert all(set(means) == keys for means in summary["categories"].values())
    assert summary["overall"]["nodes_per_forward"] <= 6
    assert summary["overall"]["tokens_per_forward"] >= 1
    printed = capsys.readouterr().out
    assert "rag" in printed and "overall" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "0"], "budget=0 must be an integer from 1 to 511"),
        (["--max_order", "99"], "max_order=99"),
        (["--answers", "absent.jsonl"], "absent.jsonl"),
        (["--tokenizer", "absent"], "absent"),
        (["--json", "/no/such/folder/out.json"], "out.json"),
    ],
)
def test_bad_input_is_one_line(answers, capsys, options, message):
    assert main(["replay", *answers, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("setaria replay: ")


def test_an_empty_file(answers, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["replay", *answers, "--answers", str(tmp_path / "empty.jsonl")]) == 2
    assert "holds no answers" in capsys.readouterr().err


@needs_data
def test_the_gate_on_answers_of_vicuna(tmp_path):
    found = {}
    for drafter in ("prompt-lookup", "trie", "paper"):
        file = tmp_path / f"{drafter}.json"
        options = ["--answers", str(ANSWERS), "--tokenizer", str(DATA / "tokenizers" / "qwen2.5")]
        assert main(["replay", *options, "--drafter", drafter, "--json", str(file)]) == 0
        found[drafter] = json.loads(file.read_text())
    rates = {name: summary["overall"]["tokens_per_forward"] for name, summary in found.items()}
    rag = {name: summary["categories"]["rag"]["tokens_per_forward"] for name, summary in found.items()}
    assert rates["prompt-lookup"] == pytest.approx(1.64, abs=0.005)
    assert rates["trie"] >= 1.15 * rates["prompt-lookup"]
    assert rag["trie"] >= 1.15 * rag["prompt-lookup"]
    assert found["trie"]["overall"]["nodes_per_forward"] <= 10
    assert rates["paper"] == pytest.approx(0.9 * rates["prompt-lookup"], abs=0.05)

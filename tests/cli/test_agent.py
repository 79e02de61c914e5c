"""`setaria agent`: the pipeline's own keys and exit codes, and the page of its predictions."""

import json

import pytest
from PIL import Image

from setaria.agents.makar.predictions import Found, Prediction, prediction_line
from setaria.cli.main import main as setaria
from setaria.rewards.grounded_entities import GoldEntity


def test_keys_and_exit_codes_are_those_of_the_script(capsys):
    with pytest.raises(SystemExit) as stop:
        setaria(["agent", "makar", "--datta", "d"])
    assert stop.value.code == 2
    assert "did you mean '--data'?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        setaria(["agent", "makar", "--help"])
    assert stop.value.code == 0
    assert "--grounding_knowledge" in capsys.readouterr().out


def test_an_agent_has_to_be_named(capsys):
    with pytest.raises(SystemExit) as stop:
        setaria(["agent"])
    assert stop.value.code == 2
    assert "AGENT" in capsys.readouterr().err


@pytest.fixture
def run(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "images" / "O_1.jpg")
    gold = GoldEntity(0, 1, "Lena", "PER", boxes=((0.0, 0.0, 20.0, 30.0),))
    found = Found(0, 1, "Lena", "PER", box=(0.0, 0.0, 20.0, 30.0), readable=True)
    one = Prediction("O_1", ("Lena", "sings"), "O_1.jpg", (40, 30), (gold,), (found,))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "predictions.jsonl").write_text(json.dumps(prediction_line(one)) + "\n")
    return tmp_path / "run"


def test_the_page(run, capsys):
    assert setaria(["agent", "makar-page", str(run), "--images", str(run.parent / "images")]) == 0
    assert capsys.readouterr().out.startswith(f"{run / 'predictions.html'}: 1 of 1 tweets, ")
    assert "Lena" in (run / "predictions.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written(run, tmp_path, capsys):
    assert setaria(["agent", "makar-page", str(tmp_path / "absent")]) == 2
    assert "setaria agent makar-page: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        setaria(["agent", "makar-page", str(run), "--tweets", "0"])
    assert stop.value.code == 2
    assert "'0' is not a whole number above 0" in capsys.readouterr().err

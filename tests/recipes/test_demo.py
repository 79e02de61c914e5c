"""The demo from end to end, and what it refuses to touch."""

import json
import subprocess
import sys

import pytest

from setaria.recipes.spo import demo


@pytest.mark.slow
def test_demo_improves_the_policy_and_resumes(tmp_path):
    command = [sys.executable, "-m", "setaria.cli.main", "demo", "--output", str(tmp_path / "demo"), "--no-open"]
    first = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert first.returncode == 0, first.stderr[-2000:]
    assert first.stdout.rstrip().splitlines()[-1].endswith("report.html")
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    steps = [point["step"] for point in results["curve"]]
    assert steps == list(range(0, 141, 20))
    gold = [sum(point["gold"]) / len(point["gold"]) for point in results["curve"]]
    assert gold[-1] > gold[0] + 0.03
    events = [json.loads(line) for line in (tmp_path / "demo" / "spo" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "eval_loss", "monitor/state"} <= {key for event in events for key in event}

    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0
    assert "train_runtime" not in again.stdout, "a finished stage was repeated"


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear to somebody")
    with pytest.raises(ValueError, match="holds something that is not a demo"):
        demo.run_demo(tmp_path, fresh=True)
    assert (tmp_path / "thesis.txt").read_text() == "dear to somebody"

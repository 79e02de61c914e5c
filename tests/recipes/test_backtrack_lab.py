import json

import pytest

from setaria.agents.backtrack.traces import read_traces
from setaria.cli.main import main
from setaria.recipes.backtrack.lab import LAB, run_seed, run_shared
from setaria.recipes.backtrack.lab_arms import ARMS, chosen_tasks
from setaria.recipes.backtrack.lab_config import LabConfig
from setaria.recipes.backtrack.lab_report import COLUMNS, MORE, write_report


def result(seed, **success):
    """Result of a seed: per arm, whether each of four tasks succeeded."""
    arms = {}
    for name in ARMS:
        values = success.get(name, [False] * 4)
        metrics = {"success": {"value": sum(values) / 4}} | {column: {"value": 0.5} for column in (*COLUMNS, *MORE)}
        arms[name] = {"metrics": metrics, "success": {f"task-{number}": value for number, value in enumerate(values)}}
    return {"seed": seed, "minutes": 1.0, "arms": arms}


def test_gains_are_paired_and_averaged_over_seeds(tmp_path):
    seeds = [
        result(0, full=[True, True, False, False], none=[True, False, False, False]),  # +.25
        result(1, full=[True, True, True, True], none=[False, False, True, False]),  # +.75
    ]
    results = write_report(LabConfig(), seeds, tmp_path)
    gain = results["gains"]["full - none"]
    assert gain["value"] == pytest.approx(0.5)
    assert 0 <= gain["low"] < 0.5 < gain["high"] <= 1
    assert results["arms"]["full"]["success"] == [0.5, 1.0]
    assert results["arms"]["none"]["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    table = (tmp_path / "report.md").read_text()
    assert "| full | 0.750 | 0.50, 1.00 | +0.500 [" in table
    assert len({line.count("|") for line in table.split("\n\n")[0].splitlines()}) == 1


def test_the_same_tasks_are_chosen_whatever_their_order():
    class Named:
        def __init__(self, name):
            self.id = name

    tasks = [Named(f"{number:03}") for number in range(50)]
    chosen = [task.id for task in chosen_tasks(tasks, 10)]
    assert len(set(chosen)) == 10 and chosen == sorted(chosen)
    assert [task.id for task in chosen_tasks(tasks, 100)] == [task.id for task in tasks]


def test_another_configuration_is_not_mixed_in(tmp_path):
    (tmp_path / "lab.json").write_text(json.dumps({"apps": 1}))
    with pytest.raises(ValueError, match="other settings"):
        LAB.run(LabConfig(), tmp_path)


def test_the_command_names_a_folder_with_other_settings(tmp_path, capsys):
    (tmp_path / "lab.json").write_text("{}")
    assert main(["lab", "backtrack", "--output", str(tmp_path), "--quick"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_seed_from_nothing_to_its_result(tmp_path):
    """All stages and arms in small, in this process; what is there is not made again."""
    config = LabConfig().quick()
    run_shared(config, tmp_path)
    run_seed(config, tmp_path, 0, report=lambda text: None)
    seed = json.loads((tmp_path / "seed0" / "result.json").read_text())
    assert set(seed["arms"]) == set(ARMS)
    assert all(len(arm["success"]) == config.tasks for arm in seed["arms"].values())
    episodes = list(read_traces(tmp_path / "seed0" / "arms" / "full"))
    assert len(episodes) == config.tasks and all(episode["end"]["reason"] for episode in episodes)
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "seed0").rglob("model.safetensors")}
    run_seed(config, tmp_path, 0, report=lambda text: None)
    assert made == {file: file.stat().st_mtime_ns for file in (tmp_path / "seed0").rglob("model.safetensors")}

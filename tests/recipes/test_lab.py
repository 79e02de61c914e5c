import json

import pytest

from setaria.cli.lab import SPO_ARMS
from setaria.cli.main import main
from setaria.recipes.spo.lab import run_lab
from setaria.recipes.spo.lab_config import ARMS, TUNING_SEED, Arm, LabConfig
from setaria.recipes.spo.lab_curves import (
    auc,
    best_threshold,
    gold_at_kl,
    mean_and_sd,
    over_optimized,
    summarize_curve,
)
from setaria.recipes.spo.lab_policy import win_rate
from setaria.recipes.spo.lab_report import alarm_quality, summarize_arm
from setaria.trainers.objective_settings import resolve_objective


def curve(*gold_and_kl):
    return [{"step": 10 * index, "gold": gold, "kl": kl} for index, (gold, kl) in enumerate(gold_and_kl)]


RISE_AND_FALL = curve((0.4, 0.0), (0.6, 1.0), (0.8, 3.0), (0.5, 2.0), (0.3, 7.0))


def test_peak_final_and_drop():
    summary = summarize_curve(RISE_AND_FALL)
    assert (summary["peak"], summary["final"], summary["drop"]) == (0.8, 0.3, pytest.approx(0.5))
    assert summary["kl"] == 7.0
    assert summarize_curve(curve((0.4, 0.0), (0.5, 1.0)))["drop"] == 0.0


@pytest.mark.parametrize(
    ("level", "gold"),
    [(0.5, 0.5), (1.0, 0.6), (2.0, 0.7), (3.0, 0.8), (4.5, 0.4), (7.0, 0.3), (7.1, None)],
)
def test_gold_at_matched_kl(level, gold):
    """Linear between checkpoints, at the first crossing: 2.0 is crossed between (.6, 1) and (.8, 3)."""
    assert gold_at_kl(RISE_AND_FALL, level) == (None if gold is None else pytest.approx(gold))


def test_mean_and_sample_deviation():
    assert mean_and_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_and_sd([4.0]) == (4.0, 0.0)


def test_over_optimized_compares_with_the_best_before():
    assert over_optimized(curve((0.4, 0), (0.8, 0), (0.7, 0), (0.71, 0), (0.9, 0)), 0.1) == [
        *(False, False, True, False, False)
    ]


def test_auc_and_threshold():
    """Pairs (bad, good): 3>1, 3>2, 2=2 counts half, 2>1: 3.5 of 4."""
    assert auc([1, 2, 3, 2], [False, False, True, True]) == 0.875
    assert auc([1, 2], [False, False]) is None
    assert best_threshold([1, 2, 3, 5], [False, False, True, True]) == (3, 1.0)


def test_win_rate_counts_ties_half():
    assert win_rate([1.0, 0.0, 0.5, 0.5], [0.0, 1.0, 0.5, 0.0]) == 0.625


def test_arm_summary_over_seeds():
    watched = {"win_rate": 0.5, "length": 20.0, "monitor/u_p50": 1.0, "monitor/chosen_drift": -0.2}
    runs = [
        {"curve": [{**point, **watched, "monitor/holdout_nll": 0.5} for point in points]}
        for points in (RISE_AND_FALL, curve((0.4, 0.0), (0.6, 1.0)))
    ]
    row = summarize_arm(runs, matched_kl=2.0)
    assert row["peak"] == (pytest.approx(0.7), pytest.approx(0.1414, abs=1e-4))
    assert row["gold_at_kl"] == (pytest.approx(0.7), 0.0, 1)
    assert summarize_arm(runs, matched_kl=50.0)["gold_at_kl"] is None


def test_alarm_quality_orients_every_signal():
    """The checkpoint that lost gold has drifted down, so a cut-off of -0.5 separates it."""
    signals = ("nll_rise", "kl", "entropy_change", "u_p50", "rejected_drift")
    points = curve((0.4, 0.0), (0.8, 1.0), (0.5, 2.0))
    for point, drift in zip(points, (0.0, 0.1, -0.5), strict=True):
        point |= {"monitor/chosen_drift": drift, **{f"monitor/{name}": 0.0 for name in signals}}
    quality = alarm_quality([{"curve": points}])
    assert quality["chosen drift"] == {"auc": 1.0, "threshold": -0.5, "accuracy": 1.0}
    assert quality["median u"]["auc"] == 0.5


def test_shipped_arms_are_the_defaults_of_their_objectives():
    assert tuple(arm.name for arm in ARMS) == SPO_ARMS
    for arm in ARMS:
        assert arm.settings[arm.tuned] in arm.grid
        if arm.objective != "dpo" and arm.name != "SPO + NLL":
            assert resolve_objective(arm.objective, **arm.settings) == resolve_objective(arm.objective)


TINY = LabConfig(
    seeds=1,
    arms=(Arm("SPO", "spo", {"beta": 2.0}, "beta", (1.0, 2.0)), Arm("DPO", "dpo", {"beta": 0.1}, "beta", (0.1,))),
    hidden_size=16,
    demonstrations=40,
    sft_steps=2,
    prompts=16,
    steps=2,
    checkpoints=2,
    batch_size=4,
    held_out_prompts=6,
    max_new_tokens=8,
)


def test_finished_runs_are_not_repeated(tmp_path):
    lines = []
    first = run_lab(TINY, tmp_path, lines.append)
    assert [record["arm"] for record in first] == ["SPO", "DPO"]
    assert [point["step"] for point in first[0]["curve"]] == [0, 1, 2]
    start = first[0]["curve"][0]
    assert (start["kl"], start["win_rate"]) == (pytest.approx(0, abs=1e-6), 0.5)
    assert start["gold"] == first[1]["curve"][0]["gold"]
    assert len(lines) == 2
    assert run_lab(TINY, tmp_path, lines.append) == first
    assert len(lines) == 2


def test_other_settings_need_another_folder(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ValueError, match="choose another folder with --output"):
        run_lab(TINY, tmp_path)


@pytest.mark.slow
def test_tuning_uses_a_seed_of_its_own(tmp_path):
    config = LabConfig(**{**vars(TINY), "tune": True, "arms": TINY.arms[:1]})
    (record,) = run_lab(config, tmp_path)
    assert record["seed"] == 0
    names = {path.stem for path in (tmp_path / "runs").iterdir()}
    tuning = {f"SPO-beta{beta}-seed{TUNING_SEED}" for beta in (1, 2)}
    assert names == tuning | {f"SPO-beta{record['settings']['beta']:g}-seed0"}


@pytest.mark.slow
def test_quick_study_through_the_command(tmp_path, capsys):
    assert main(["lab", "spo", "--quick", "--output", str(tmp_path), "--arms", "SPO", "DPO"]) == 0
    assert "means of 1 seeds" in capsys.readouterr().out
    study = json.loads((tmp_path / "lab.json").read_text())
    assert set(study["summary"]) == {"SPO", "DPO"}
    assert len(study["runs"][0]["curve"]) == 7
    assert study["environment"]["packages"]["trl"]
    assert (tmp_path / "lab.md").read_text().startswith("| arm | settings |")
    assert (tmp_path / "lab.png").stat().st_size > 10_000


def test_bad_sizes(tmp_path, capsys):
    assert main(["lab", "spo", "--seeds", "0", "--output", str(tmp_path)]) == 2
    assert "seeds=0 is not allowed" in capsys.readouterr().err

"""The monitor's verdict, its statistics of samples and its configuration, as pure functions."""

import math

import pytest

from setaria.trainers.monitor_config import MonitorConfig
from setaria.trainers.monitor_metrics import MonitorState, judge
from setaria.trainers.probe_samples import sample_statistics


def metrics(**values):
    return {"chosen_drift": 0.0, "nll_rise": 0.0, "entropy_change": 0.0, "kl": 0.0, **values}


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, MonitorState.OK),
        ({"chosen_drift": -0.19}, MonitorState.OK),
        ({"chosen_drift": -0.2}, MonitorState.WARN),
        ({"chosen_drift": -0.59}, MonitorState.WARN),
        ({"chosen_drift": -0.6}, MonitorState.STOP),
        ({"nll_rise": 0.95}, MonitorState.WARN),
        ({"entropy_change": -0.31}, MonitorState.WARN),
        ({"entropy_change": 0.31}, MonitorState.OK),
        ({"kl": 9.0}, MonitorState.WARN),
        ({"chosen_drift": 2.0}, MonitorState.OK),
    ],
)
def test_verdict(values, state):
    verdict = judge(metrics(**values), MonitorConfig())
    assert verdict.state is state
    assert bool(verdict.reasons) is (state is not MonitorState.OK)


def test_verdict_names_the_threshold():
    verdict = judge(metrics(chosen_drift=-0.21), MonitorConfig())
    assert verdict.reasons == ["chosen_drift -0.210 passed monitor_warn_drift=-0.2"]


def test_sample_statistics():
    """[1,2,1,2,1,2,9]: bigrams 12 21 12 21 12 29, 4-grams 1212 2121 1212 2129; [3,4]: bigram 34, no 4-gram."""
    statistics = sample_statistics([[1, 2, 1, 2, 1, 2, 9], [3, 4]], end={9})
    assert statistics == {
        "sample_length": 4.5,
        "sample_ended": 0.5,
        "sample_distinct_2": pytest.approx(4 / 7),
        "sample_repetition_4": pytest.approx(0.125),
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("monitor_pairs", 0),
        ("monitor_kl_tokens", -1),
        ("monitor_max_new_tokens", 0),
        ("monitor_temperature", math.inf),
        ("monitor_warn_drift", 0.1),
        ("monitor_stop_drift", -0.1),
        ("monitor_warn_entropy_drop", 1.5),
        ("monitor_warn_kl", 0.0),
    ],
)
def test_config_names_the_bad_field(field, value):
    with pytest.raises(ValueError, match=f"^{field}={value} is not allowed"):
        MonitorConfig(**{field: value})

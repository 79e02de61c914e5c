import subprocess
import sys

import pytest
from PIL import Image

from setaria.cli.main import main
from setaria.trainers.objective_settings import SPO_MINIMUM_LOGIT, SPO_STRONGEST_PULL_BACK, resolve_objective
from setaria.trainers.objective_theory import gradient, loss, minimum_logit, target_gap


@pytest.fixture
def explained(tmp_path, monkeypatch, capsys):
    """Run `setaria explain spo` and return what it printed."""
    monkeypatch.chdir(tmp_path)

    def explain(*arguments):
        assert main(["explain", "spo", *arguments]) == 0
        return capsys.readouterr().out

    return explain


def test_class_defaults(explained, tmp_path):
    """delta* = (1 + 1.27846) / 2 = 1.139, p* = sigmoid(1.27846) = 0.782, floor 1 - u* = -0.278."""
    text = explained()
    for row in (
        "equivalent SimPO margin     0.500   nats per token",
        "minimum u*                  1.278",
        "target gap delta*           1.139   nats per token",
        "preference p*               0.782",
        "floor of the loss          -0.278",
    ):
        assert row in text
    assert "200 tokens that is 228 nats" in text
    with Image.open(tmp_path / "explain_spo.png") as image:
        assert image.size == (1320, 552)


def test_ratio_and_absolute_margin_say_the_same(explained):
    assert explained("--beta", "2.5", "--gamma", "0.25") == explained("--beta", "2.5", "--gamma_beta_ratio", "0.1")


def test_summed_reading(explained):
    text = explained("--length_normalize", "false", "--beta", "0.1", "--gamma", "0")
    assert "target gap delta*          12.785   nats per completion" in text
    assert "0.064 nats per token at 200 tokens" in text


def test_mismatched_beta_is_pointed_out(explained):
    assert "No model can reach this gap" in explained("--beta", "0.1")
    assert "less than one token's worth" in explained("--length_normalize", "false", "--gamma", "0")


def test_objective_without_a_minimum(explained):
    text = explained("--objective", "simpo")
    assert "minimum u*                   none" in text
    assert "SPO would stop at           1.139" in text
    assert "minimum u*                  2.197" in explained("--objective", "simpo", "--label_smoothing", "0.1")


def test_bad_values(tmp_path, capsys):
    assert main(["explain", "spo", "--beta", "-1"]) == 2
    assert capsys.readouterr().err == (
        "setaria explain spo: beta=-1.0 is not allowed: beta must be a finite number above 0\n"
    )
    assert main(["explain", "spo", "--png", str(tmp_path / "missing" / "out.png")]) == 2
    assert "missing/out.png" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["explain", "spo", "--gamma", "1", "--gamma_beta_ratio", "0.5"])


def test_needs_no_torch(tmp_path):
    script = (
        "import sys; from setaria.cli.main import main; "
        f"code = main(['explain', 'spo', '--png', {str(tmp_path / 'out.png')!r}]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("label_smoothing", "spo", "simpo"),
    [(0.05, 1.077, 2.944), (0.1, 0.912, 2.197), (0.2, 0.641, 1.386), (0.3, 0.411, 0.847), (0.4, 0.201, 0.405)],
)
def test_minimum_under_label_noise(label_smoothing, spo, simpo):
    assert minimum_logit("spo", label_smoothing) == pytest.approx(spo, abs=6e-4)
    assert minimum_logit("simpo", label_smoothing) == pytest.approx(simpo, abs=6e-4)


def test_minimum_without_label_noise():
    assert minimum_logit("spo") == pytest.approx(SPO_MINIMUM_LOGIT, abs=1e-11)
    assert minimum_logit("cpo") == float("inf")
    assert minimum_logit("repo") == 0.0


@pytest.mark.parametrize(
    ("beta", "gamma", "gap"),
    [(2, 1.6, 1.439), (2.5, 0.25, 0.611), (2, 1, 1.139), (2.5, 1.375, 1.061), (10, 3, 0.428), (10, 5, 0.628)],
)
def test_target_gap(beta, gamma, gap):
    assert target_gap("spo", resolve_objective("spo", beta, gamma)) == pytest.approx(gap, abs=6e-4)


@pytest.mark.parametrize(
    ("u", "slope"), [(-2.399, -1.0998), (-1.278, -1.0), (0, -0.5), (1, -0.072), (2, 0.091), (3, 0.088), (8, 0.0024)]
)
def test_gradient_is_the_derivative(u, slope):
    assert gradient("spo", u) == pytest.approx(slope, abs=6e-4)
    for objective in ("spo", "simpo", "cpo"):
        numeric = (loss(objective, u + 1e-6, 0.1) - loss(objective, u - 1e-6, 0.1)) / 2e-6
        assert gradient(objective, u, 0.1) == pytest.approx(numeric, abs=1e-8)


def test_strongest_pull_back():
    step = 1e-4
    here = gradient("spo", SPO_STRONGEST_PULL_BACK)
    assert here > gradient("spo", SPO_STRONGEST_PULL_BACK - step)
    assert here > gradient("spo", SPO_STRONGEST_PULL_BACK + step)


def test_far_logits_do_not_overflow():
    assert loss("spo", 1e4) == loss("simpo", 1e4) == 0.0
    assert loss("spo", -1e4) == loss("simpo", -1e4) == 1e4

"""The demo's page from made-up results: what it says, that it escapes, and how it looks in a real browser."""

import json

import pytest
import yaml

from setaria.recipes.spo.demo_report import write_report


REQUEST = "Write a polite note to Ben. Mention the cat."
PERFECT = {"greeting": 1, "coverage": 1, "courtesy": 1, "closing": 1}
FAULTS = {"unrequested": 0, "repetition": 0, "rambling": 0, "malformed": 0}


@pytest.fixture
def demo_folder(tmp_path):
    """What a finished demo leaves on disk, without the models."""
    run = tmp_path / "spo" / "run"
    run.mkdir(parents=True)
    monitor = {"chosen_drift": -0.1, "rejected_drift": -0.5, "holdout_nll": 1.2, "kl": 0.05, "u_p05": -1.0}
    monitor |= {"u_p50": 0.4, "u_p95": 2.0, "u_past_minimum": 0.25}
    events = [
        {"step": step, **{f"monitor/{k}": v for k, v in monitor.items()}, "monitor/state": 0.0} for step in (0, 20)
    ]
    events += [{"step": step, "loss": 0.1 - step / 100} for step in (5, 10, 20)] + [{"step": 20, "eval_loss": None}]
    (tmp_path / "spo" / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (run / "command.txt").write_text("accelerate launch --output_dir '<b>runs</b>'")
    settings = {"objective": "spo", "beta": 2.0, "gamma_beta_ratio": 0.5, "learning_rate": 5e-4, "max_steps": 20}
    (run / "config.yaml").write_text(yaml.safe_dump({**settings, "per_device_train_batch_size": 32}))
    packages = dict.fromkeys(("torch", "transformers", "trl", "accelerate", "setaria"), "1.0")
    environment = {"seed": 0, "processes": 1, "python": "3.11", "platform": "Linux", "packages": packages}
    (run / "environment.json").write_text(json.dumps({**environment, "git_revision": "0123456789abcdef"}))
    return tmp_path


def results() -> dict:
    """Ten requests: gold .5 before; after, .9 for all but the last, which loses .2. Means .5 and .84."""
    before, after = [0.5] * 10, [0.9] * 9 + [0.3]
    return {
        "requests": [REQUEST] * 9 + ["Write <script>alert(1)</script>"],
        "curve": [
            {"step": step, "notes": [note] * 10, "gold": gold, "components": [{**PERFECT, **FAULTS}] * 10}
            for step, note, gold in ((0, "Dear Ben,", before), (20, "Dear Ben, Feed the cat at six.", after))
        ],
        "seconds": 61.4,
    }


def test_numbers_on_the_page(demo_folder):
    page = write_report(demo_folder, results()).read_text()
    assert "<b>0.50</b>" in page
    assert "<b>0.84</b>" in page
    # The differences are .4 nine times and -.2 once: mean .34, standard deviation .19, 1.96 * .19 / sqrt(10) = .12
    assert "+0.34 &plusmn; 0.12" in page
    assert "<b>90 %</b>" in page
    assert '<b class="state-OK">OK</b>' in page


def test_text_from_outside_is_escaped(demo_folder):
    page = write_report(demo_folder, results()).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;runs&lt;/b&gt;" in page


def test_needs_no_network(demo_folder):
    page = write_report(demo_folder, results()).read_text()
    assert "http://" not in page and "https://" not in page


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(demo_folder, browser, scheme, width):
    report = write_report(demo_folder, results())
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(report.as_uri())
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    widths = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], "the page scrolls sideways"
    drawn = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(drawn) == 4 and all(drawn)
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]

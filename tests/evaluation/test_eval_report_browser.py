"""The report in a real browser: sorting, filtering, plots, samples side by side, and both colour schemes."""

from pathlib import Path

import pytest
from eval_runs import EVIL, METRICS, example_run

from setaria.evaluation.report import write_report


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "example"
    example_run(folder, items=30, evil=True)
    return folder


@pytest.fixture
def opened(run, browser):
    """The page in a browser of 1200 by 900; what it logs fails the test."""
    file = write_report(run).file
    size(browser, 1200, "light")
    browser.get(file.as_uri())
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert browser.title == "example: evaluation"


def size(browser, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def texts(browser, selector: str) -> list[str]:
    """Texts of the elements that are shown."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(one => one.getClientRects().length)"
        ".map(one => one.textContent.trim())",
        selector,
    )


def click(browser, selector: str, place: int = 0) -> None:
    browser.execute_script("document.querySelectorAll(arguments[0])[arguments[1]].click()", selector, place)


def choose(browser, selector: str, value) -> None:
    browser.execute_script(
        "const one = document.querySelector(arguments[0]); one.value = arguments[1];"
        "one.dispatchEvent(new Event('change'))",
        selector,
        str(value),
    )


ROWS = "#summary tbody th"
NAMES = [
    "plain",
    "trie",
    "xquant-4",
    "xquant-4 / trie",
    "xquant-2",
    "xquant-2 / trie",
    "xquant-1.4",
    "xquant-1.4 / trie",
]


@pytest.mark.browser
def test_sorting(opened):
    assert texts(opened, ROWS) == NAMES
    heads = "#summary thead button"
    speed = 2 + [metric.name for metric in METRICS].index("tokens_per_second")
    click(opened, heads, speed)  # higher is better: fastest first
    fast = [NAMES[place] for place in (1, 7, 5, 3, 0, 6, 4, 2)]  # 61, 58, 57, 55 with the trie, then without
    assert texts(opened, ROWS) == fast
    click(opened, heads, speed)
    assert texts(opened, ROWS) == fast[::-1]
    click(opened, heads, speed + 1)  # milliseconds, lower is better: 1900 / speed
    assert texts(opened, ROWS) == fast
    click(opened, heads, 1)
    assert texts(opened, ROWS) == [NAMES[place] for place in (6, 7, 4, 5, 2, 3, 0, 1)]  # fewest bits first
    click(opened, heads, 0)
    assert texts(opened, ROWS) == [NAMES[place] for place in (0, 1, 6, 7, 4, 5, 2, 3)]
    sorts = [head.get_attribute("aria-sort") for head in opened.find_elements("css selector", "#summary thead th")]
    assert sorts == ["ascending", *["none"] * 8]


@pytest.mark.browser
def test_filtering(opened):
    chips = ".chips button"
    assert texts(opened, chips) == [
        "none", "xquant-4", "xquant-2", "xquant-1.4", "none", "trie", "sums", "needle", "nll", "speed", "memory",
    ]  # fmt: skip
    click(opened, chips, 5)  # trie
    assert texts(opened, ROWS) == NAMES[1::2]
    click(opened, chips, 1)  # xquant-4
    click(opened, chips, 2)  # or xquant-2
    assert texts(opened, ROWS) == ["xquant-4 / trie", "xquant-2 / trie"]
    assert texts(opened, ".metric:first-child .who") == ["xquant-4 / trie", "xquant-2 / trie"]
    assert len(opened.find_elements("css selector", "#speed-plot g")) == 2
    assert texts(opened, "#status") == ["2 of 8 settings"]
    click(opened, chips, 8)  # nll
    assert texts(opened, "#summary thead small") == ["cache", "nll", "nll"]
    assert [text.split()[0] for text in texts(opened, ".metric h3")] == ["nll", "nll"]
    search = opened.find_element("id", "search")
    search.send_keys("QUANT-2 stories")
    assert texts(opened, ROWS) == ["xquant-2 / trie"]
    search.send_keys("x")
    assert texts(opened, ROWS) == [] and texts(opened, "#nothing") == ["No setting matches the filter and the search."]
    assert texts(opened, "#bits-plot text") == ["Nothing measured to draw"]


@pytest.mark.browser
def test_plots(opened):
    marks = "return [...document.querySelectorAll(`#${arguments[0]} use`)].map(one => [one.getAttribute('class'),"
    marks += "one.parentElement.querySelector('title').textContent.split('\\n')[0].replace('stories / ', '')])"
    front = {name for kind, name in opened.execute_script(marks, "speed-plot") if kind == "point"}
    assert front == {"none / trie"}  # best and fastest
    # On 30 items xquant-4 is as good as the full cache, which is therefore behind it.
    behind = {name for kind, name in opened.execute_script(marks, "bits-plot") if kind == "behind"}
    assert behind == {"none / none", "none / trie"}
    assert "plain ± trie" in texts(opened, "#bits-plot .label")
    choose(opened, "#quality", 2)
    assert texts(opened, "#bits-title") == ["nll nats_per_token, nats and true bits"]
    # Fewer nats are better, so they are higher: the full cache is above the others, and 16 bits are left of 1.42.
    place = (
        "const one = document.querySelectorAll('#bits-plot use'); return [...one].map(each => [each.x.baseVal.value,"
    )
    place += "each.y.baseVal.value, each.parentElement.querySelector('title').textContent])"
    points = {name.split("\n")[0]: (x, y) for x, y, name in opened.execute_script(place)}
    assert points["stories / none / none"][0] < points["stories / xquant-1.4 / none"][0]
    assert points["stories / none / none"][1] < points["stories / xquant-1.4 / none"][1]
    choose(opened, "#speed", 5)
    assert texts(opened, "#speed-title") == ["nll nats_per_token, nats and speed time_to_first_token, ms"]


@pytest.mark.browser
def test_samples_side_by_side(opened):
    status = texts(opened, "#sample-status")[0]
    assert status.startswith("24 of the 24 items of sums on this page (the first 12 and 12 others on which")
    assert status.endswith("6 more items are not on this page.")
    assert len(texts(opened, ".sample")) == 6
    click(opened, "#more")
    assert len(texts(opened, ".sample")) == 24 and texts(opened, "#more") == []
    prompts = texts(opened, ".sample header p:nth-child(2)")
    assert prompts[0] == EVIL and prompts[1].startswith("WWWW")
    # "First I count the apples, then the pears. .." beside "I count the apples and then all pears. .."
    assert texts(opened, ".sample:nth-child(4) mark.first")[:3] == ["First", ",", "the"]
    assert texts(opened, ".sample:nth-child(4) mark.second")[:2] == ["and", "all"]
    choose(opened, "#right", 1)
    assert texts(opened, ".sample mark") == []  # the trie says the same
    choose(opened, "#which", "differ")
    assert texts(opened, ".sample") == []
    choose(opened, "#right", 6)
    choose(opened, "#sample-task", 1)
    choose(opened, "#which", "left")
    better = texts(opened, ".sample .better")
    assert better and set(better) == {"recall 1 ✓"}
    choose(opened, "#which", "right")
    assert texts(opened, ".sample") == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1200])
def test_nothing_scrolls_sideways(opened, scheme, width):
    size(opened, width, scheme)
    for right in (7, 1):
        choose(opened, "#right", right)
        widths = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1]
    background = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]

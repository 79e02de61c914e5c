"""The page of predictions of a made-up run in a browser: filters, keys, boxes, and any width."""

from pathlib import Path

import pytest
from makar_prediction_runs import write_run

from setaria.agents.makar.prediction_page import write_prediction_page


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path)


@pytest.fixture
def opened(run, browser):
    """The page in a browser of 1400 by 900; what it logs fails the test."""
    file = write_prediction_page(run, run / "predictions.html").file
    browser.get_log("browser")
    metrics = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(file.as_uri())
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert browser.title == "run: predictions"


def shown(browser) -> list[str]:
    """Ids of the tweets whose panel is seen."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#tweets > article')].filter(one => one.offsetHeight)"
        ".map(one => one.querySelector('header code').textContent)"
    )


def listed(browser) -> list[int]:
    """Numbers of the tweets that are listed."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#entries > li')].flatMap((one, place) => one.hidden ? [] : [place + 1])"
    )


def press(browser, keys: str) -> None:
    browser.find_element("tag name", "body").send_keys(keys)


@pytest.mark.browser
def test_filters_and_search(opened):
    expected = {
        "All 5": [1, 2, 3, 4, 5],
        "All right 2": [1, 4],
        "Wrong type 2": [2, 5],
        "Wrong box 1": [2],
        "None errors 2": [3, 5],
        "Unread place 0": None,
        "Missed 1": [3],
        "Spurious 1": [3],
        "Searched 2": [1, 5],
        "With marks 2": [1, 5],
    }
    buttons = opened.find_elements("css selector", "#filters button")
    assert [button.text for button in buttons] == list(expected)
    for button, numbers in zip(buttons, expected.values(), strict=True):
        assert button.is_enabled() == (numbers is not None)
        if numbers:
            button.click()
            assert listed(opened) == numbers
            assert button.get_attribute("aria-pressed") == "true"
    search = opened.find_element("id", "search")
    buttons[0].click()
    search.send_keys("BANK kiwi")
    assert listed(opened) == [2] and shown(opened) == ["wrong"]
    search.send_keys(" jf?")  # typed, not keys
    assert listed(opened) == [] and shown(opened) == []
    assert opened.find_element("id", "nothing").is_displayed()
    search.clear()
    search.send_keys("the woman on the left")  # reasoning is text as well
    assert listed(opened) == [1]
    assert opened.find_element("id", "status").text == "1 of 5 tweets"


@pytest.mark.browser
def test_keyboard(opened):
    for keys, expected in (
        ("k", "right"),
        ("j", "wrong"),
        ("jj", "nothing"),
        ("jj", "hostile"),
        ("f", "right"),  # all right: what is shown is not among them, so the first is
        ("f", "wrong"),  # wrong type
        ("f", "wrong"),  # wrong box
        ("f", "several"),  # None errors
        ("f", "several"),  # missed: unread place is passed over, there is none
        ("f", "several"),  # spurious
        ("f", "right"),  # searched
        ("j", "hostile"),
        ("f", "hostile"),  # with marks
        ("f", "hostile"),  # all
        ("kkkk", "right"),
    ):
        press(opened, keys)
        assert shown(opened) == [expected], keys
    press(opened, "?")
    assert opened.find_element("id", "help").is_displayed()
    press(opened, "j")
    assert shown(opened) == ["right"]
    press(opened, "\ue00c")  # escape
    assert not opened.find_element("id", "help").is_displayed()
    press(opened, "/")
    assert opened.switch_to.active_element.get_attribute("id") == "search"
    assert opened.current_url.endswith("#1")


@pytest.mark.browser
def test_boxes_on_the_image(opened):
    panel = "#tweets > article:not([hidden])"
    photo = opened.find_element("css selector", f"{panel} button.photo")
    assert photo.value_of_css_property("background-image").startswith('url("data:image/')
    boxes = photo.find_elements("css selector", ".box")
    assert [(box.get_attribute("class").split()[1], box.text) for box in boxes] == [
        ("right", "1 PER"),
        ("gold", "1 gold"),
        ("gold", "1 gold"),
    ]
    image, box = photo.rect, boxes[0].rect
    # 10 to 110 of 400 pixels, 20 to 172 of 200.
    assert image["width"] / image["height"] == pytest.approx(2, abs=0.01)
    assert box["x"] - image["x"] == pytest.approx(image["width"] * 10 / 400, abs=1)
    assert box["y"] - image["y"] == pytest.approx(image["height"] * 20 / 200, abs=1)
    assert box["width"] == pytest.approx(image["width"] * 100 / 400, abs=1)
    assert box["height"] == pytest.approx(image["height"] * 152 / 200, abs=1)
    photo.click()
    zoom = opened.find_element("id", "zoom")
    assert zoom.is_displayed() and zoom.find_element("css selector", ".photo").rect["width"] > 1200
    zoom.click()
    assert not zoom.is_displayed()


@pytest.mark.browser
def test_an_entity_stands_out(opened):
    def dimmed() -> list[str]:
        boxes = opened.find_elements("css selector", "#tweets > article:not([hidden]) .box.dim i")
        return [box.text for box in boxes]

    assert dimmed() == []
    press(opened, "\ue014\ue014")  # right: Brno, which has no box
    assert dimmed() == ["1 PER", "1 gold", "1 gold"]
    assert opened.find_element("css selector", ".entity[aria-current]").get_attribute("data-entity") == "2"
    assert [mark.text for mark in opened.find_elements("css selector", "mark.chosen")] == ["Brno2"]
    press(opened, "\ue012")  # left
    assert dimmed() == []
    press(opened, "\ue014\ue00c")  # and let go
    assert opened.find_elements("css selector", ".entity[aria-current]") == []
    opened.find_element("css selector", "#tweets > article:not([hidden]) .entity:nth-child(2) h3").click()
    assert len(opened.find_elements("css selector", ".entity[aria-current]")) == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_scrolls_sideways(opened, scheme, width):
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for name in ("right", "wrong", "several", "nothing", "hostile"):
        assert shown(opened) == [name]
        widths = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1], f"the page scrolls sideways at {name}"
        press(opened, "j")
    background = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]

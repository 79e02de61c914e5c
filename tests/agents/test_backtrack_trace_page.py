"""The trace page of a made-up run: its numbers, what it refuses and escapes, and how it behaves in a real browser."""

import base64
import json
import re
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from setaria.agents.backtrack.trace_counts import count_episode, step_verdict
from setaria.agents.backtrack.trace_page import write_trace_page
from setaria.agents.backtrack.traces import TraceFolder
from setaria.cli.main import main
from setaria.datasets_builders.gui.pages import Page


EVIL = "</pre></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
LONG = "W" * 10_000
SAVE = {"type": "click", "box": [24, 300, 336, 348], "text": "Save"}
NAME = {"type": "input", "box": [24, 120, 336, 168], "text": "Name", "value": "Ann & Bob"}
UP = {"type": "scroll", "box": [0, 60, 360, 640], "direction": "up"}
POINT = {"type": "click", "box": [180, 324, 180, 324], "text": ""}
DONE = {"type": "complete", "success": True}


def drawn(name: str, size: tuple[int, int] = (360, 640)) -> Page:
    """A screen that shows its name and the two elements of the actions above."""
    image = Image.new("RGB", size, "#fafafa")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0], 56), fill="#3367d6")
    draw.text((16, 20), name, fill="white")
    for box, label in ((NAME["box"], "Name"), (SAVE["box"], "Save")):
        draw.rounded_rectangle(box, 8, fill="#dde3ea")
        draw.text((box[0] + 16, box[1] + 16), label, fill="black")
    return Page(name, image)


def attempt(page: dict | None, action: dict | None, match: bool | None, accepted: bool, **changes) -> dict:
    outcome = page and {"page": page, "valid": True, "changed": True, "reason": ""}
    values = {"role": "generator", "reply": "ok", "action": action, "error": None, "outcome": outcome, "judger": 0.25}
    return {
        **values,
        "verifier": accepted,
        "accepted": accepted,
        "gold_match": match,
        "seconds": 0.5,
        **changes,
    }


def again(page: dict, action: dict, match: bool | None, accepted: bool, **changes) -> dict:
    return attempt(page, action, match, accepted, role="reflector", **changes)


def step(page: dict, gold: dict | None, *attempts: dict) -> dict:
    return {"page": page, "gold": gold, "attempts": list(attempts), "accepted": len(attempts) - 1}


def episode(name: str, page: dict, success: bool | None, *steps: dict, **changes) -> dict:
    end = {"reason": "complete", "page": page, "success": success, "seconds": 2.5}
    values = {"instruction": f"Do {name}", "app": "notes", "agent": "full", "task": {"id": name}}
    return {"episode": name, **values, "steps": list(steps), "end": end, **changes}


@pytest.fixture
def run(tmp_path) -> Path:
    """Four episodes: repaired and one step unnoticed; unrepaired; broken and a false alarm; one without gold."""
    folder = TraceFolder(tmp_path / "run")
    home, form, wide = (folder.page(drawn(name)) for name in ("home", "form", EVIL[:40]))
    landscape = folder.page(drawn("wide", (1280, 720)))
    lost = {**home, "screen": "screens/0.png"}
    rubbish = attempt(None, None, None, False, reply=EVIL + LONG, error=f"no action in {LONG}", judger=None)
    folder.add(
        episode(
            "pears",
            form,
            True,
            step(home, SAVE, rubbish, again(home, UP, False, False), again(form, SAVE, True, True, judger=0.875)),
            step(form, NAME, attempt(home, SAVE, False, True)),
            instruction=EVIL,
        )
    )
    third = again(lost, NAME, False, False, reply=LONG)
    folder.add(episode("plums", lost, False, step(lost, SAVE, attempt(lost, NAME, False, False), third)))
    folder.add(
        episode(
            "figs",
            wide,
            False,
            step(landscape, SAVE, attempt(form, SAVE, True, False), again(home, NAME, False, True)),
            step(home, UP, attempt(home, UP, True, False), again(home, UP, True, True)),
        )
    )
    folder.add(episode("limes", form, None, step(form, None, attempt(form, POINT, None, True)), step(form, None)))
    return tmp_path / "run"


def rewritten(run: Path, change) -> None:
    """Apply `change` to the first episode of the run."""
    first, *others = (run / "episodes.jsonl").read_text().splitlines(keepends=True)
    values = json.loads(first)
    change(values)
    (run / "episodes.jsonl").write_text(json.dumps(values) + "\n" + "".join(others))


def page_of(run: Path, **options) -> str:
    return write_trace_page(run, run / "trace.html", **options).file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("first", "accepted", "stood", "verdict"),
    [
        (True, True, True, "right"),
        (False, True, False, "unnoticed"),
        (False, False, True, "repaired"),
        (False, False, False, "unrepaired"),
        (True, False, False, "broken"),
        (True, False, True, "false alarm"),
        (None, False, True, None),
    ],
)
def test_verdict_of_a_step(first, accepted, stood, verdict):
    tries = [attempt(None, SAVE, first, accepted)]
    tries += [] if accepted else [attempt(None, SAVE, stood, True)]
    assert step_verdict({"gold": SAVE, "attempts": tries, "accepted": len(tries) - 1}) == verdict


def test_a_reply_without_an_action_is_wrong_where_gold_is_known():
    tries = [attempt(None, None, None, False), attempt(None, SAVE, True, True)]
    assert step_verdict({"gold": SAVE, "attempts": tries, "accepted": 1}) == "repaired"
    assert step_verdict({"gold": None, "attempts": tries, "accepted": 1}) is None


def test_counts_add_up(run):
    counts = sum(
        (count_episode(json.loads(line)) for line in (run / "episodes.jsonl").read_text().splitlines()), Counter()
    )
    verdicts = {"repaired": 1, "unnoticed": 1, "unrepaired": 1, "broken": 1, "false alarm": 1}
    # Reflections: 2 pears, 1 plums, 2 figs.
    expected = {"episodes": 4, "succeeded": 1, "failed": 2, "steps": 7, "backtracked": 4, "reflections": 5}
    assert counts == {**expected, **verdicts}


def test_numbers_on_the_page(run):
    page = page_of(run)
    summary = re.sub(r"<[^>]*>", " ", page[page.index('id="summary"') : page.index('id="filters"')])
    text = " ".join(summary.split())
    assert "Episodes 4 7 steps Success 33 % 1 of 3, 1 unknown Reflections 5 in 4 steps Repaired 1" in text
    assert "Unrepaired 1 wrong → wrong Broken 1 right → wrong False alarm 1 right → right Unnoticed 1" in text
    assert "limits" not in page


def test_text_from_outside_is_escaped(run):
    page = page_of(run)
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "&lt;/pre&gt;&lt;/script&gt;&lt;script&gt;document.title" in page
    assert "Ann &amp; Bob" in page
    assert "default-src &#39;none&#39;" not in page and "content=\"default-src 'none'; img-src data:;" in page
    # A reply is clipped to 4000 characters: 84 of EVIL and 10,000 of LONG are 6084 more.
    assert len(EVIL) == 84 and "and 6084 more characters" in page


def test_needs_no_network(run):
    page = page_of(run)
    assert "http://" not in page and "https://" not in page


def test_a_screenshot_is_stored_once(run):
    page = page_of(run)
    # home, form, the one with the odd name and the landscape one; the lost one is not there.
    assert page.count("data:image/") == 4
    assert page.count("no screen&shy;shot") > 1


@pytest.mark.parametrize("screen", ["../secret.png", "/etc/hostname", "screens/../../secret.png", "screens/link.png"])
def test_a_screenshot_outside_the_run_is_refused(run, screen):
    drawn("secret").image.save(run.parent / "secret.png")
    (run / "screens" / "link.png").symlink_to(run.parent / "secret.png")
    rewritten(run, lambda first: first["steps"][1]["page"].update(screen=screen))
    with pytest.raises(ValueError, match=r"episodes\.jsonl:1: screen .* is outside the run"):
        page_of(run)
    assert not (run / "trace.html").exists()


def test_a_file_that_is_no_image_is_a_missing_screenshot(run):
    (run / "screens" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    assert page_of(run).count("data:image/") == 4


def test_screenshots_are_shrunk(run):
    TraceFolder(run).page(drawn("large", (1440, 2560)))
    large = max((run / "screens").iterdir(), key=lambda file: file.stat().st_size)
    rewritten(run, lambda first: first["steps"][1]["page"].update(screen=f"screens/{large.name}"))
    uris = re.findall(r"url\(data:image/\w+;base64,([^)]*)\)", page_of(run))
    sizes = [Image.open(BytesIO(base64.b64decode(uri))).size for uri in uris]
    assert (405, 720) in sizes and all(max(size) <= 720 for size in sizes)


def test_an_empty_run_says_so(tmp_path):
    (tmp_path / "episodes.jsonl").touch()
    assert "This run has no finished episode." in page_of(tmp_path)


def test_fewer_episodes_than_the_run_has(run):
    page = page_of(run, most_episodes=2)
    assert page.count("<article") == 2
    assert "The numbers are those of all 4 episodes; the first 2 are shown, as asked for." in page
    with pytest.raises(ValueError, match="0 episodes"):
        page_of(run, most_episodes=0)


def test_a_page_keeps_to_its_size(run):
    whole = write_trace_page(run, run / "trace.html")
    smaller = write_trace_page(run, run / "trace.html", most_bytes=whole.size - 5000)
    assert 0 < smaller.shown < whole.shown == 4
    assert smaller.size == (run / "trace.html").stat().st_size <= whole.size - 5000
    page = (run / "trace.html").read_text()
    assert f"which is what fits into {(whole.size - 5000) / 1e6:g} MB" in page
    used = set(re.findall(r'class="screen s(\d+)"', page))
    assert used == set(re.findall(r"^\.s(\d+) ", page, re.MULTILINE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda first: first["steps"][0]["attempts"][0].pop("reply"), "reply"),
        (lambda first: first["steps"][0].pop("page"), "'page'"),
        (lambda first: first["steps"][0].update(accepted=7), "index out of range"),
        (lambda first: first["end"]["page"].update(size=[0, 640]), "page of size 0 x 640"),
        (lambda first: first["steps"][0]["attempts"][2].update(judger="high"), "number"),
    ],
)
def test_an_episode_of_another_form_is_named(run, change, message):
    rewritten(run, change)
    with pytest.raises(ValueError, match=rf"episodes\.jsonl:1: .*{message}"):
        page_of(run)


def test_odd_values_are_shown_not_followed(run):
    def change(first):
        first["end"]["page"] = None
        first["instruction"] = "half a pair \ud800"
        first["steps"][0]["attempts"][2]["action"] = {"type": "fly", "box": [1e308, 0, 0, 0]}

    rewritten(run, change)
    page = page_of(run)
    assert "half a pair ?" in page
    assert "unknown action &#39;fly&#39;" in page


def test_command(run, capsys):
    assert main(["trace", "view", str(run), "--episodes", "3"]) == 0
    assert re.fullmatch(rf"{run}/trace\.html: 3 of 4 episodes, \d\.\d MB\n", capsys.readouterr().out)
    assert main(["trace", "view", str(run), "--output", str(run / "other.html")]) == 0
    assert (run / "other.html").exists()
    assert main(["trace", "view", str(run), "--output", str(run / "no" / "other.html")]) == 2
    assert main(["trace", "view", str(run / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_line_that_was_cut_short_is_an_error(run, capsys):
    text = (run / "episodes.jsonl").read_text()
    (run / "episodes.jsonl").write_text(text[:-100])
    assert main(["trace", "view", str(run)]) == 2
    assert "episodes.jsonl:4: no episode" in capsys.readouterr().err


@pytest.fixture
def opened(run, browser):
    """The page in a browser of 1200 by 900; what it logs fails the test."""
    file = write_trace_page(run, run / "trace.html").file
    metrics = {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(file.as_uri())
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert browser.title == "run: traces"


def listed(browser) -> list[str]:
    """First words of the episodes that are listed."""
    titles = browser.find_elements("css selector", "#entries > li:not([hidden]) .title")
    return [title.text.removeprefix("Do ").split("<")[0] or "pears" for title in titles]


def place(browser) -> str:
    """Number of the episode and heading of the step that are shown; nothing else may be."""
    shown = browser.execute_script(
        "return [...document.querySelectorAll('#episodes > article')].filter(one => one.offsetHeight)"
        ".map(one => one.dataset.number + ' ' + [...one.querySelectorAll('.step')].filter(one => one.offsetHeight)"
        ".map(one => one.querySelector('h3').firstChild.textContent.trim()))"
    )
    return ", ".join(shown)


def press(browser, keys: str) -> None:
    browser.find_element("tag name", "body").send_keys(keys)


@pytest.mark.browser
def test_filters_and_search(opened):
    expected = {
        "All 4": ["pears", "plums", "figs", "limes"],
        "Failed 2": ["plums", "figs"],
        "Succeeded 1": ["pears"],
        "Repaired 1": ["pears"],
        "Broken 1": ["figs"],
        "With backtracks 3": ["pears", "plums", "figs"],
    }
    buttons = opened.find_elements("css selector", "#filters button")
    assert [button.text for button in buttons] == list(expected)
    for button, episodes in zip(buttons, expected.values(), strict=True):
        button.click()
        assert listed(opened) == episodes
        assert button.get_attribute("aria-pressed") == "true"
    search = opened.find_element("id", "search")
    search.send_keys("PLUMS do")
    assert listed(opened) == ["plums"] and place(opened) == "2 Step 1"
    search.send_keys(" jf?")  # typed, not keys
    assert listed(opened) == [] and place(opened) == ""
    assert opened.find_element("id", "nothing").is_displayed()
    search.clear()
    search.send_keys("\ue003 ")
    assert opened.find_element("id", "status").text == "3 of 4 episodes"


@pytest.mark.browser
def test_keyboard(opened):
    assert place(opened) == "1 Step 1"
    for keys, expected in (
        ("k", "1 Step 1"),
        ("\ue014", "1 Step 2"),  # right
        ("\ue014", "1 End"),
        ("\ue014", "1 End"),
        ("\ue012", "1 Step 2"),  # left
        ("j", "2 Step 1"),
        ("jj", "4 Step 1"),
        ("j", "4 Step 1"),
        ("ff", "1 Step 1"),  # succeeded
        ("f", "1 Step 1"),  # repaired
        ("f", "3 Step 1"),  # broken
        ("f", "3 Step 1"),  # with backtracks
        ("kk", "1 Step 1"),
        ("jj", "3 Step 1"),
        ("f", "3 Step 1"),  # all
    ):
        press(opened, keys)
        assert place(opened) == expected, keys
    press(opened, "?")
    assert opened.find_element("id", "help").is_displayed()
    press(opened, "j")
    assert place(opened) == "3 Step 1"
    press(opened, "\ue00c")  # escape
    assert not opened.find_element("id", "help").is_displayed()
    press(opened, "/")
    assert opened.switch_to.active_element.get_attribute("id") == "search"
    assert opened.current_url.endswith("#3.1")


@pytest.mark.browser
def test_screens_and_boxes(opened):
    style = "return getComputedStyle(document.querySelector(arguments[0])).backgroundImage"
    first = "#episodes > article:first-child .step:not([hidden])"
    assert opened.execute_script(style, f"{first} .page .screen").startswith('url("data:image/')
    marks = opened.find_elements("css selector", f"{first} .page .mark")
    # The reply without an action has no box.
    assert [(mark.get_attribute("class"), mark.text) for mark in marks] == [
        ("mark discarded", "2↑"),
        ("mark stood", "3"),
        ("mark gold", "gold"),
    ]
    screen, box = marks[0].find_element("xpath", "..").rect, marks[1].rect
    # Save is 24 to 336 of 360 pixels wide and 300 to 348 of 640 high; a border of one pixel is around the screen.
    assert box["x"] - screen["x"] - 1 == pytest.approx((screen["width"] - 2) * 24 / 360, abs=1)
    assert box["y"] - screen["y"] - 1 == pytest.approx((screen["height"] - 2) * 300 / 640, abs=1)
    assert box["width"] == pytest.approx((screen["width"] - 2) * 312 / 360, abs=1)
    opened.find_element("css selector", f"{first} .page .screen").click()
    zoom = opened.find_element("id", "zoom")
    assert zoom.is_displayed() and zoom.find_element("css selector", ".screen").rect["height"] > 700
    zoom.click()
    assert not zoom.is_displayed()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_scrolls_sideways(opened, scheme, width):
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for keys in ("", "\ue014", "\ue014", "j", "j", "j", "\ue014"):
        press(opened, keys)
        widths = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1], f"the page scrolls sideways at {place(opened)}"
    background = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]

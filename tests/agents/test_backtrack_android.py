"""A device over adb, against the fake adb of fake_android.py."""

import re
import shlex
import subprocess
from io import BytesIO
from types import SimpleNamespace

import pytest
from fake_android import COLOURS, CUT_OFF, DISPLAY, FIELD, HOME, LIST, Phone, hierarchy, node
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from setaria.agents.backtrack import adb as adb_module
from setaria.agents.backtrack.android_device import AndroidDevice
from setaria.agents.backtrack.environment import EnvironmentLost
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Open, Press, Scroll, Wait


@pytest.fixture
def phone(tmp_path) -> Phone:
    return Phone(tmp_path)


def test_observe(phone):
    page = phone.connect().observe()
    assert page.size == (180, 320)
    assert page.image.getpixel((0, 0)) == (255, 255, 255)
    assert [element.name for element in page.elements] == ["old", "", "Display", "Network", "About", ""]
    assert [call[:3] for call in phone.calls()] == [
        ["-s", "emulator-5554", "get-state"],
        ["-s", "emulator-5554", "exec-out"],
        ["-s", "emulator-5554", "exec-out"],
    ]
    assert phone.ran() == []
    assert not (phone.folder / "dumped").exists()


def test_pages_that_look_the_same_have_one_id(phone):
    device = phone.connect()
    home, again = device.observe(), device.observe()
    assert home.id == again.id
    assert device.execute(Click(DISPLAY, "Display")).page.id != home.id


def test_the_only_device_needs_no_serial(phone):
    phone.connect(serial=None)
    assert phone.calls() == [["get-state"]]


def test_noise_around_screenshot_and_hierarchy(phone):
    phone.set(noise="[Warning] Multiple displays were found\njava.io.FileNotFoundException: <board_info>\n")
    page = phone.connect().observe()
    assert page.size == (180, 320)
    assert len(page.elements) == 6


# 3 characters are deleted from wherever the caret is: 3 to the left and 3 to the right.
ERASE_OLD = ["input", "keyevent", *["KEYCODE_DEL", "KEYCODE_FORWARD_DEL"] * 3]
CHROME = "com.android.chrome/com.google.android.apps.chrome.Main"
LIST_APPS = "cmd package query-activities --brief -a android.intent.action.MAIN -c android.intent.category.LAUNCHER"
DONE = {
    # name: action, commands on the device
    "click": (Click(DISPLAY, "Display"), ["input tap 90 80"]),
    "click by text": (Click((0, 0, 5, 5), "Display"), ["input tap 90 80"]),
    "click a point": (Click((20, 70, 20, 70)), ["input tap 20 70"]),
    "click what is cut off": (Click(CUT_OFF, "About"), ["input tap 90 310"]),
    "long press": (LongPress(DISPLAY, "Display"), ["input swipe 90 80 90 80 1000"]),
    "scroll up": (Scroll(LIST, "up"), ["input swipe 90 245 90 115 500"]),
    "scroll down": (Scroll(LIST, "down"), ["input swipe 90 115 90 245 500"]),
    "scroll left": (Scroll(LIST, "left"), ["input swipe 135 180 45 180 500"]),
    "scroll right": (Scroll(LIST, "right"), ["input swipe 45 180 135 180 500"]),
    "scroll at a point": (Scroll((90, 200, 90, 200), "up"), ["input swipe 90 245 90 115 500"]),
    "back": (Press("back"), ["input keyevent KEYCODE_BACK"]),
    "home": (Press("home"), ["input keyevent KEYCODE_HOME"]),
    "enter": (Press("enter"), ["input keyevent KEYCODE_ENTER"]),
    "input": (Input(FIELD, "old", "new"), ["input tap 90 25", shlex.join(ERASE_OLD), "input text new"]),
    "input nothing": (Input(FIELD, "old", ""), ["input tap 90 25", shlex.join(ERASE_OLD)]),
    "open a package": (Open("com.android.chrome"), [LIST_APPS, f"am start -W -n {CHROME}"]),
    "open a name": (Open("Chrome"), [LIST_APPS, f"am start -W -n {CHROME}"]),
    "open the last part": (
        Open("You Tube"),
        [LIST_APPS, "am start -W -n 'com.google.android.youtube/.Home$Inner'"],
    ),
}


@pytest.mark.parametrize(("action", "commands"), DONE.values(), ids=DONE)
def test_execute(phone, action, commands):
    outcome = phone.connect().execute(action)
    assert phone.ran() == [shlex.split(command) for command in commands]
    assert outcome.valid is True
    assert outcome.reason == ""


CHANGES = {
    "another page": (Click(DISPLAY, "Display"), "display", True),
    "scrolled": (Scroll(LIST, "up"), "lower", True),
    "another app": (Open("Chrome"), "browser", True),
    "nothing happens": (LongPress(DISPLAY, "Display"), "home", False),
}


@pytest.mark.parametrize(("action", "page", "changed"), CHANGES.values(), ids=CHANGES)
def test_changed(phone, action, page, changed):
    outcome = phone.connect().execute(action)
    assert phone.page() == page
    assert outcome.changed is changed
    assert outcome.page.image.getpixel((0, 0)) == Image.new("RGB", (1, 1), COLOURS[page]).getpixel((0, 0))


IMPOSSIBLE = {
    "right of the screen": (Click((180, 60, 200, 100), "Display"), r"outside the screen of 180 x 320"),
    "left of the screen": (Click((-50, 60, -10, 100), "Display"), r"outside the screen"),
    "a point below": (Click((20, 320, 20, 320)), r"outside the screen"),
    "not finite": (Click((float("nan"), 0, 1, 1)), r"outside the screen"),
    "unknown element": (Click((10, 200, 170, 240), "Sound"), r"no element on the page for click\(<ref>Sound</ref>"),
    "nothing at the point": (LongPress((5, 5, 5, 5)), "no element on the page"),
    "no container": (Scroll(DISPLAY, "up"), "no element on the page for scroll"),
    "tiny container": (Scroll((100, 100, 103, 103), "up"), "too small to swipe over"),
    "text is no field": (Input(DISPLAY, "Display", "x"), "no element on the page for input"),
    "not ASCII": (Input(FIELD, "old", "café"), r"'café' cannot be typed: adb types printable ASCII only"),
    "line break": (Input(FIELD, "old", "a\nb"), r"'a\\nb' cannot be typed"),
    "wait": (Wait(), r"wait\(\) is nothing that a device does"),
    "complete": (Complete(), r"complete\(\) is nothing that a device does"),
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> tuple[Phone, AndroidDevice]:
    phone = Phone(tmp_path_factory.mktemp("untouched"))
    device = phone.connect()
    device.observe()
    return phone, device


@pytest.mark.parametrize(("action", "reason"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_the_impossible_does_not_touch_the_device(untouched, action, reason):
    phone, device = untouched
    outcome = device.execute(action)
    assert len(phone.calls()) == 3  # the state, the hierarchy and the screenshot of before
    assert outcome.page is device.snapshot()
    assert (outcome.valid, outcome.changed) == (False, False)
    assert re.search(reason, outcome.reason)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("Maps", "no app 'Maps'"),
        ("", "no app ''"),
        ("clock", "app 'clock' may be org.clock.one, org.clock.two"),
        ("chrome; reboot", "no app 'chrome; reboot'"),
    ],
)
def test_apps_that_cannot_be_meant(phone, app, reason):
    outcome = phone.connect().execute(Open(app))
    assert (outcome.valid, outcome.changed, outcome.reason) == (False, False, reason)
    assert phone.ran() == [LIST_APPS.split()]  # only looked up


def test_the_named_app_is_started_afresh(phone):
    phone.connect(app="com.android.chrome")
    assert phone.ran() == [LIST_APPS.split(), ["am", "start", "-S", "-W", "-n", CHROME]]
    assert phone.page() == "browser"
    with pytest.raises(ValueError, match="app='Maps': no app 'Maps'"):
        phone.connect(app="Maps")


TYPED = [
    "a b  c ",
    "; rm -rf /",
    "$(reboot) `id` ${HOME} $PATH",
    'it\'s "quoted" \\n \'both"',
    "100% sure, 100%sure, %s %%s % s %%",
    "a && b || c & d | e > f < g # h * ? ~ ! [x] {y} \\",
    "-n --help",
    "'; touch /x; '",
]


@pytest.mark.parametrize("value", TYPED)
def test_typed_text_survives_the_shell_of_the_device(phone, value):
    outcome = phone.connect().execute(Input(FIELD, "old", value))
    assert outcome.valid is True
    tap, erase, *typing = phone.ran()
    assert (tap, erase) == (["input", "tap", "90", "25"], ERASE_OLD)
    assert {tuple(words[:2]) for words in typing} == {("input", "text")}
    assert {len(words) for words in typing} == {3}
    # `input text` puts a space for every %s; a space itself would be lost in older Androids, where it is a script.
    assert not any(" " in words[2] for words in typing)
    assert "".join(words[2].replace("%s", " ") for words in typing) == value


def fake_run(lines: list[str]):
    """`subprocess.run` of a device that shows HOME, in this process; command lines for its shell go to `lines`."""
    screenshot = BytesIO()
    Image.new("RGB", (180, 320)).save(screenshot, "PNG")
    printed = {"get-state": b"device\n", "screencap -p": screenshot.getvalue()}

    def run(command, stdout, **_):
        if command[1] == "shell":
            lines.append(command[2])
        else:
            stdout.write(printed.get(command[-1], HOME.encode()))
        return SimpleNamespace(returncode=0)

    return run


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.text("%s '\"$\\;"))
@example("%s")
@example("%%ss% s")
def test_any_ascii_is_typed_as_it_is(value):
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", fake_run(lines))
        assert AndroidDevice(settle=0).execute(Input(FIELD, "old", value)).valid
    typing = [shlex.split(line) for line in lines[2:]]
    assert all(words[:2] == ["input", "text"] and len(words) == 3 for words in typing)
    assert "".join(words[2].replace("%s", " ") for words in typing) == value


def test_long_texts_are_deleted_in_pieces(phone):
    # 120 characters and 1 line break, which is not in the text of an element: 50 + 50 + 21.
    xml = hierarchy(node("EditText", "[10,10][170,40]", "x" * 60 + "&#10;" + "y" * 60))
    phone.set(pages={"home": {"xml": xml, "links": {}}})
    phone.connect().execute(Input(FIELD, "x" * 60 + "y" * 60, ""))
    assert [words.count("KEYCODE_DEL") for words in phone.ran()] == [0, 50, 50, 21]
    assert [words.count("KEYCODE_FORWARD_DEL") for words in phone.ran()] == [0, 50, 50, 21]


def test_a_screen_that_is_idle_at_the_third_look(phone):
    phone.set(busy=2)
    device = phone.connect()
    assert len(device.observe().elements) == 6
    assert device.note == ""


def test_a_screen_that_is_never_idle(phone):
    phone.set(busy=1000)
    device = phone.connect()
    assert device.observe().xml == ""
    assert device.note == "no view hierarchy: ERROR: could not get idle state."
    outcome = device.execute(Click(DISPLAY, "anything"))  # on trust
    assert (outcome.valid, outcome.changed, outcome.reason) == (True, True, device.note)
    assert device.execute(LongPress(DISPLAY)).changed is False  # by pixels
    assert device.execute(Click((0, 400, 10, 410))).valid is False
    device.execute(Input(FIELD, "old", "new"))
    assert phone.ran()[-3:] == [["input", "tap", "90", "25"], ERASE_OLD, ["input", "text", "new"]]


def test_an_old_hierarchy_is_not_read_again(phone):
    (phone.folder / "dumped").write_text(HOME)
    phone.set(busy=1000)
    assert phone.connect().observe().xml == ""


def test_a_page_without_hierarchy_is_compared_by_pixels(phone):
    device = phone.connect()
    device.observe()
    phone.set(busy=1000)
    assert device.execute(LongPress(DISPLAY, "Display")).changed is False
    assert device.execute(Click(DISPLAY, "Display")).changed is True


BAD_XML = {
    "cut off": ('<hierarchy><node bounds="[0,0][1,1]" />', "no view hierarchy: no view hierarchy: ParseError"),
    "bad bounds": (hierarchy(node("Button", "[0,0]")), r"no view hierarchy: bounds='\[0,0\]' of <node>"),
    "entities": ('<!DOCTYPE x [<!ENTITY a "b">]><hierarchy>&a;</hierarchy>', "no view hierarchy: no view hierarchy"),
    "nothing": ("", "no view hierarchy: UI hierchary dumped to"),
}


@pytest.mark.parametrize(("xml", "note"), BAD_XML.values(), ids=BAD_XML)
def test_bad_hierarchies_are_noted(phone, xml, note):
    phone.set(pages={"home": {"xml": xml, "links": {}}})
    device = phone.connect()
    assert device.observe().elements == []
    assert re.match(note, device.note)


def test_restore(phone):
    device = phone.connect()
    device.observe()
    home = device.snapshot()
    assert device.restore(home) is True
    assert phone.ran() == []
    device.execute(Click(DISPLAY, "Display"))
    device.execute(Click(DISPLAY, "Brightness"))
    assert phone.page() == "level"
    assert device.restore(home) is True
    assert phone.page() == "home"
    assert phone.ran()[2:] == [["input", "keyevent", "KEYCODE_BACK"]] * 2
    assert device.snapshot().id == home.id
    assert device.restores_exactly is False


def test_restore_gives_up_after_three(phone):
    device = phone.connect()
    home = device.observe()
    phone.set(path=["home", "display", "level", "display"])
    assert device.restore(home) is True
    assert phone.ran() == [["input", "keyevent", "KEYCODE_BACK"]] * 3
    phone.set(path=["home", "display", "level", "display", "level"])
    assert device.restore(home) is False
    assert phone.ran() == [["input", "keyevent", "KEYCODE_BACK"]] * 6
    assert phone.page() == "display"


def test_a_command_that_fails_on_the_device(phone):
    phone.set(refused="input")
    outcome = phone.connect().execute(Input(FIELD, "old", "new"))
    assert (outcome.valid, outcome.changed) == (False, False)
    assert outcome.reason.startswith("input tap: java.lang.SecurityException: Injecting input events")
    assert len(phone.ran()) == 1  # nothing is typed where the tap failed


TROUBLE = {
    "unauthorized": "error: device unauthorized.",
    "offline": "error: device offline",
    "vanished": "error: device 'emulator-5554' not found",
    "several": "error: more than one device/emulator",
}


@pytest.mark.parametrize("message", TROUBLE.values(), ids=TROUBLE)
def test_a_device_that_cannot_be_used(phone, message):
    phone.set(trouble=message)
    with pytest.raises(EnvironmentLost) as lost:
        phone.connect()
    assert str(lost.value) == f"{phone.adb} -s emulator-5554: {message}"


USES = {
    "observe": lambda device: device.observe(),
    "execute": lambda device: device.execute(Press("back")),
    "open": lambda device: device.execute(Open("Chrome")),
    "restore": lambda device: device.restore(device.snapshot()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_device_that_vanishes(phone, use):
    device = phone.connect()
    device.observe()
    phone.set(trouble=TROUBLE["vanished"])
    calls = len(phone.calls())
    with pytest.raises(EnvironmentLost, match=r"^\S+ -s emulator-5554: error: device 'emulator-5554' not found$"):
        use(device)
    assert len(phone.calls()) == calls + 2  # the one that failed, and the state


def test_a_device_that_vanishes_under_a_screenshot(phone):
    phone.set(most=50, then=TROUBLE["vanished"])
    with pytest.raises(EnvironmentLost, match="error: device 'emulator-5554' not found"):
        phone.connect().observe()


def test_a_device_that_vanishes_under_an_action(phone):
    device = phone.connect()
    with pytest.raises(EnvironmentLost, match="not found"):
        device.execute(Click((10, 110, 170, 150), "Network"))
    assert phone.ran() == [["input", "tap", "90", "130"]]


def test_adb_that_hangs(phone):
    phone.set(trouble="hang")
    with pytest.raises(EnvironmentLost, match=r"^adb get-state has not answered for 0\.2 s$"):
        phone.connect(timeout=0.2)


def test_adb_that_is_missing(tmp_path):
    with pytest.raises(EnvironmentLost, match=r"/no-adb cannot be run: No such file or directory$"):
        AndroidDevice(adb=str(tmp_path / "no-adb"))
    (tmp_path / "text").write_text("no program")
    with pytest.raises(EnvironmentLost, match=r"/text cannot be run: Permission denied$"):
        AndroidDevice(adb=str(tmp_path / "text"))


# A screenshot of 200 bytes ends within its first chunk of pixels.
@pytest.mark.parametrize(
    ("most", "why"), [(0, "no answer"), (50, "truncated|Truncated"), (100, "truncated|Truncated")]
)
def test_broken_screenshots(phone, most, why):
    device = phone.connect()
    phone.set(most=most)
    with pytest.raises(EnvironmentLost, match=f"^no screenshot: .*({why})"):
        device.observe()


def test_limits(phone, monkeypatch):
    device = phone.connect()
    Image.new("1", (8000, 5001)).save(phone.folder / "home.png")  # 40,008,000 pixels
    with pytest.raises(EnvironmentLost, match=r"no screenshot: \(8000, 5001\) pixels, at most 40000000 are read"):
        device.observe()
    monkeypatch.setattr(adb_module, "MOST_BYTES", 1000)
    with pytest.raises(EnvironmentLost, match="adb exec-out wrote more than 1000 bytes"):
        device.observe()

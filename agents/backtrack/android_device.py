"""A real phone or an emulator as an environment, over adb.

    device = AndroidDevice("emulator-5554", app="com.android.settings")
    page, token = device.observe(), device.snapshot()
    outcome = device.execute(Click((0, 600, 720, 740), "Display"))
    if outcome.changed and not device.restore(token):
        ...  # the page did not come back

The device is one that `adb devices` lists as `device`, with Android 7 or later, awake and unlocked. Whatever an agent
does there is done: use a device and accounts that are made for it, and turn its animations off, as uiautomator may
never find the screen idle with them.
"""

import hashlib
import re
import time
from collections.abc import Hashable
from dataclasses import replace
from io import BytesIO

from PIL import Image

from setaria.agents.backtrack.adb import Adb, CommandFailed, first_line
from setaria.agents.backtrack.environment import EnvironmentLost, Outcome
from setaria.datasets_builders.gui.elements import Element, find_element, read_elements
from setaria.datasets_builders.gui.mobile3m_actions import swipe_ends
from setaria.datasets_builders.gui.pages import MOST_PIXELS, SAME_PIXELS, Page, pixel_difference, same_page
from setaria.rewards.boxes import Box, center, clip, contains
from setaria.rewards.gui.actions import Action, Click, Input, LongPress, Open, Press, Scroll, format_action


MOST_DUMPS = 3
MOST_BACKS = 3
SWIPE_MS = "500"
LONG_PRESS_MS = "1000"
DELETIONS_PER_COMMAND = 50
# The old file goes first: uiautomator exits with 0 when it fails, and the page before would be read again.
_DUMP = "F=/data/local/tmp/setaria.xml; rm -f $F; uiautomator dump $F; cat $F; rm -f $F"
_LAUNCHER = ["-a", "android.intent.action.MAIN", "-c", "android.intent.category.LAUNCHER"]
_KEY_CODES = {"back": "KEYCODE_BACK", "home": "KEYCODE_HOME", "enter": "KEYCODE_ENTER"}
_PNG = b"\x89PNG\r\n\x1a\n"


class AndroidDevice:
    """An `Environment` on a live device.

    An action is judged by the page last observed: its box has to be on the screen and its element there; otherwise
    the device is not touched. Where uiautomator gives no hierarchy, boxes are trusted and pages compared by pixels.

    `restore` presses the back key. That is approximate, which `restores_exactly` says: it brings back a page that
    looks the same, and undoes nothing that was sent, typed, scrolled or set.

    Attributes:
        note: why the last page has no hierarchy; empty if it has one.
    """

    restores_exactly = False

    def __init__(
        self,
        serial: str | None = None,
        adb: str = "adb",
        timeout: float = 30.0,
        settle: float = 1.0,
        app: str | None = None,
    ):
        """
        Args:
            serial: which device, as `adb devices` names it; not needed if there is only one.
            adb: the program.
            timeout: seconds that one call of adb may take; uiautomator alone waits up to 10 for an idle screen.
            settle: seconds to wait after each command that changes something.
            app: package, or name as in `open`, of an app to start afresh.

        Raises:
            EnvironmentLost: if there is no such device, or it does not let adb in.
            ValueError: if there is no such app.
        """
        self.settle = settle
        self.note = ""
        self._adb = Adb(serial, adb, timeout)
        self._page: Page | None = None
        self._adb.require_device()
        if app is not None:
            try:
                self._act(["am", "start", "-S", "-W", "-n", self._component(app)])
            except (_Impossible, CommandFailed) as why:
                raise ValueError(f"app={app!r}: {why}") from None

    def observe(self) -> Page:
        """P, the page shown now; its id is a digest of its screenshot.

        Raises:
            EnvironmentLost: if the device is gone, or gives no screenshot.
        """
        xml = self._hierarchy()  # first: uiautomator waits until the screen is idle
        screenshot = self._screenshot()
        self._page = Page(hashlib.sha256(screenshot.tobytes()).hexdigest()[:16], screenshot, xml)
        return self._page

    def execute(self, action: Action) -> Outcome:
        """Do the action and observe.

        `input` taps the element, deletes what it shows and types; only printable ASCII can be typed. `open` takes a
        package, or a name that is a part of the package of exactly one app.

        Raises:
            EnvironmentLost: if the device is gone or hangs.
        """
        before = self.snapshot()
        try:
            commands = self._commands(action, before)
        except (_Impossible, CommandFailed) as why:
            return Outcome(before, valid=False, changed=False, reason=str(why))
        failure = ""
        try:
            for command in commands:
                self._act(command)
        except CommandFailed as why:
            failure = str(why)
        page = self.observe()
        return Outcome(page, valid=not failure, changed=not _same(before, page), reason=failure or self.note)

    def snapshot(self) -> Page:
        """The page last observed."""
        return self._page or self.observe()

    def restore(self, token: Hashable) -> bool:
        """Press back, at most three times, until the page of the token is shown; False if it is not reached.

        Raises:
            EnvironmentLost: if the device is gone or hangs.
        """
        assert isinstance(token, Page), "a token is what snapshot() returned"
        for _ in range(MOST_BACKS):
            if _same(self.observe(), token):
                return True
            self._act(["input", "keyevent", _KEY_CODES["back"]])
        return _same(self.observe(), token)

    def _act(self, words: list[str]) -> None:
        self._adb.shell(words)
        time.sleep(self.settle)

    def _commands(self, action: Action, page: Page) -> list[list[str]]:
        """What the device has to run for an action."""
        match action:
            case Press(key):
                return [["input", "keyevent", _KEY_CODES[key]]]
            case Open(app):
                return [["am", "start", "-W", "-n", self._component(app)]]
            case Input(value=value) if not (value.isascii() and value.isprintable()):
                raise _Impossible(f"{value!r} cannot be typed: adb types printable ASCII only")
            case Click() | LongPress() | Input() | Scroll():
                target = _target(action, page)
            case _:
                raise _Impossible(f"{format_action(action)} is nothing that a device does")
        x, y = (str(int(number)) for number in center(target.box))
        match action:
            case LongPress():
                return [["input", "swipe", x, y, x, y, LONG_PRESS_MS]]
            case Scroll(direction=direction):
                ends = swipe_ends(target.box, direction)
                if ends[:2] == ends[2:]:
                    raise _Impossible(f"{target.box} is too small to swipe over")
                return [["input", "swipe", *map(str, ends), SWIPE_MS]]
            case Input(value=value):
                line_breaks = page.xml.count("&#10;")  # which the text of an element lacks
                characters = len(target.text) + line_breaks if target.text else 0
                return [["input", "tap", x, y], *_deletions(characters), *_typing(value)]
        return [["input", "tap", x, y]]

    def _component(self, app: str) -> str:
        """package/activity of the only app that is meant: by its package, the last part of it, or any part."""
        printed = self._adb.shell(["cmd", "package", "query-activities", "--brief", *_LAUNCHER])
        listed = re.findall(r"^\s*([\w.]+)(/[\w.$]+)\s*$", printed, re.MULTILINE)
        components = {package: package + activity for package, activity in reversed(listed)}
        parts = {package: package.lower().split(".") for package in components}
        name = re.sub(r"[\W_]", "", app).lower()
        found = (
            [package for package in parts if package == app]
            or [package for package in parts if parts[package][-1] == name]
            or [package for package in parts if name in parts[package]]
        )
        if len(found) != 1:
            raise _Impossible(f"app {app!r} may be {', '.join(sorted(found))}" if found else f"no app {app!r}")
        return components[found[0]]

    def _hierarchy(self) -> str:
        for dump in range(MOST_DUMPS):
            if dump:
                time.sleep(self.settle)
            text = self._adb.read(_DUMP).decode(errors="replace")
            xml = text[text.find("<hierarchy") : text.rfind(">") + 1] if "<hierarchy" in text else ""
            try:
                read_elements(xml)
            except ValueError as error:
                self.note = f"no view hierarchy: {error if xml else first_line(*text.splitlines())}"
            else:
                self.note = ""
                return xml
        return ""

    def _screenshot(self) -> Image.Image:
        output = self._adb.read("screencap -p")
        start = output.find(_PNG)  # behind a warning where a device has several displays
        try:
            if start < 0:
                raise ValueError(first_line(*output.decode(errors="replace").splitlines()))
            with Image.open(BytesIO(output[start:]), formats=["PNG"]) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"{image.size} pixels, at most {MOST_PIXELS} are read")
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self._adb.require_device()
            raise EnvironmentLost(f"no screenshot: {error}") from None


class _Impossible(Exception):
    """An action cannot be executed; the message says why."""


def _target(action: Click | LongPress | Input | Scroll, page: Page) -> Element:
    """The element that an action is about; its box is what of it is on the screen, or the action's point."""
    box = _on_screen(action.box, page.size)
    if not page.xml:
        return Element(box, text="" if isinstance(action, Scroll) else action.text)
    element = find_element(page.elements, action)
    if element is None:
        raise _Impossible(f"no element on the page for {format_action(action)}")
    if box[:2] == box[2:] and not isinstance(action, Scroll):
        return replace(element, box=box)
    return replace(element, box=_on_screen(element.box, page.size))


def _on_screen(box: Box, size: tuple[int, int]) -> Box:
    part = clip(box, size)
    x, y = center(part)
    if not (contains((0, 0, *size), x, y) and box[0] <= x <= box[2] and box[1] <= y <= box[3]):
        raise _Impossible(f"{box} is outside the screen of {size[0]} x {size[1]} pixels")
    return part


def _deletions(characters: int) -> list[list[str]]:
    """Key presses that delete a text of at most so many characters around a caret that may be anywhere in it."""
    both = ["KEYCODE_DEL", "KEYCODE_FORWARD_DEL"]
    starts = range(0, characters, DELETIONS_PER_COMMAND)
    return [["input", "keyevent", *both * min(DELETIONS_PER_COMMAND, characters - start)] for start in starts]


def _typing(value: str) -> list[list[str]]:
    """`input text` reads %s as a space and has no escape for it: one that is meant is cut in two."""
    pieces = re.split("(?<=%)(?=s)", value)
    return [["input", "text", piece.replace(" ", "%s")] for piece in pieces if piece]


def _same(one: Page, other: Page) -> bool:
    """`same_page`, by pixels alone where a hierarchy is missing."""
    return same_page(one, other) if one.xml and other.xml else pixel_difference(one, other) < SAME_PIXELS

"""A fake adb: a program whose device is /bin/sh, with commands that are recorded and a few scripted pages."""

import sys
from ast import literal_eval
from pathlib import Path

from PIL import Image

from setaria.agents.backtrack.android_device import AndroidDevice


# adb writes its calls to `calls` and hands the joined words to a real shell, in which only the commands of DEVICE and
# FILES exist. The state of the world is a literal in `world`.
ADB = """#!{python} -IS
import ast, os, sys, time
folder = {folder!r}
words = sys.argv[1:]
with open(folder + "/calls", "a") as file:
    file.write(repr(words) + "\\n")
if words[0] == "-s":
    del words[:2]
with open(folder + "/world") as file:
    trouble = ast.literal_eval(file.read())["trouble"]
if trouble == "hang":
    time.sleep(60)
if trouble:
    sys.exit("* daemon not running; starting now at tcp:5037\\n" + trouble + "\\nOtherwise check for a dialog.")
if words[0] == "get-state":
    print("* daemon started successfully\\ndevice")
else:
    if words[0] == "exec-out":
        os.dup2(1, 2)
    os.execve("/bin/sh", ["sh", "-c", " ".join(words[1:])], {{"PATH": folder + "/device"}})
"""
DEVICE = """#!{python} -IS
import ast, os, sys
folder = {folder!r}
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(folder + "/world") as file:
    world = ast.literal_eval(file.read())
if name not in ("screencap", "uiautomator"):
    with open(folder + "/ran", "a") as file:
        file.write(repr([name, *words]) + "\\n")
path, pages = world["path"], world["pages"]
if name == "screencap":
    sys.stdout.write(world["noise"])
    sys.stdout.flush()
    with open(folder + "/" + path[-1] + ".png", "rb") as file:
        sys.stdout.buffer.write(file.read()[:world["most"]])
    world["trouble"] = world["then"]
elif name == "uiautomator" and world["busy"]:
    world["busy"] -= 1
    print("ERROR: could not get idle state.", file=sys.stderr)
elif name == "uiautomator":
    print(world["noise"] + "UI hierchary dumped to: " + words[1])
    with open(folder + "/dumped", "w") as file:
        file.write(pages[path[-1]]["xml"])
elif name == "cmd":
    print(world["launchable"])
elif name == world["refused"]:
    sys.exit("java.lang.SecurityException: Injecting input events requires the permission INJECT_EVENTS")
elif [name, *words] == ["input", "keyevent", "KEYCODE_BACK"]:
    del path[1 if len(path) == 1 else -1:]
else:
    path += [to for command, to in pages[path[-1]]["links"].items() if command == " ".join([name, *words])]
    if path[-1] == "nowhere":
        world["trouble"] = "error: device 'emulator-5554' not found"
with open(folder + "/world", "w") as file:
    file.write(repr(world))
"""
# The only file of the device is the one that uiautomator writes.
FILES = """#!/bin/sh
case "${{0##*/}} $*" in
    "rm -f /data/local/tmp/setaria.xml") /bin/rm -f {folder}/dumped ;;
    "cat /data/local/tmp/setaria.xml") /bin/cat {folder}/dumped ;;
    *) echo "['${{0##*/}}']" >> {folder}/ran ;;
esac
"""


def hierarchy(*nodes: str) -> str:
    return "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation=\"0\">{}</hierarchy>".format(
        "".join(f"<node {node} />" for node in nodes)
    )


def node(kind: str, bounds: str, text: str = "", more: str = 'clickable="true"') -> str:
    return f'class="android.widget.{kind}" bounds="{bounds}" text="{text}" {more}'


FIELD = (10, 10, 170, 40)  # middle 90, 25
DISPLAY = (10, 60, 170, 100)  # middle 90, 80
CUT_OFF = (10, 300, 170, 360)  # 300 to 320 is on the screen: middle 90, 310
LIST = (0, 50, 180, 310)  # middle 90, 180, a quarter of the sides 45 and 65
LIST_NODE = node("ListView", "[0,50][180,310]", more='scrollable="true"')
HOME = hierarchy(
    node("EditText", "[10,10][170,40]", "old"),
    LIST_NODE,
    node("TextView", "[10,60][170,100]", "Display"),
    node("TextView", "[10,110][170,150]", "Network"),
    node("TextView", "[10,300][170,360]", "About"),
    node("ListView", "[100,100][103,103]", more='scrollable="true"'),
)
PAGES = {
    "home": {
        "xml": HOME,
        "links": {
            "input tap 90 80": "display",
            "input tap 90 130": "nowhere",
            "input swipe 90 245 90 115 500": "lower",
            "am start -W -n com.android.chrome/com.google.android.apps.chrome.Main": "browser",
            "am start -S -W -n com.android.chrome/com.google.android.apps.chrome.Main": "browser",
        },
    },
    "display": {
        "xml": hierarchy(node("TextView", "[10,60][170,100]", "Brightness")),
        "links": {"input tap 90 80": "level"},
    },
    "level": {"xml": hierarchy(node("Button", "[10,200][170,240]", "OK")), "links": {}},
    "lower": {"xml": hierarchy(LIST_NODE, node("TextView", "[10,60][170,100]", "Privacy")), "links": {}},
    "browser": {"xml": hierarchy(node("EditText", "[0,0][180,30]", "Search")), "links": {}},
    "nowhere": {"xml": HOME, "links": {}},
}
COLOURS = {"home": "white", "display": "red", "level": "blue", "lower": "green", "browser": "grey", "nowhere": "black"}
LAUNCHABLE = """Activity #0:
  priority=0 preferredOrder=0 match=0x108000 specificIndex=-1 isDefault=false
  com.android.settings/.Settings
Activity #1:
  com.android.chrome/com.google.android.apps.chrome.Main
Activity #2:
  com.android.chrome/.Second
  com.google.android.apps.youtube.music/.Music
  com.google.android.youtube/.Home$Inner
  org.clock.one/.A
  org.clock.two/.A
"""


class Phone:
    """The fake device of a test, changed by `set` and read by `calls` (of adb) and `ran` (on the device)."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "device").mkdir()
        self.adb = str(self._program("adb", ADB))
        self._program("commands", DEVICE, "am", "cmd", "id", "input", "reboot", "screencap", "touch", "uiautomator")
        self._program("files", FILES, "cat", "rm")
        for name, colour in COLOURS.items():
            Image.new("RGB", (180, 320), colour).save(folder / f"{name}.png")
        world = {
            "trouble": "",
            "busy": 0,
            "noise": "",
            "most": None,
            "then": "",
            "refused": "",
            "launchable": LAUNCHABLE,
        }
        (folder / "world").write_text(repr({**world, "path": ["home"], "pages": PAGES}))

    def _program(self, name: str, text: str, *device_names: str) -> Path:
        file = self.folder / name
        file.write_text(text.format(python=sys.executable, folder=str(self.folder)))
        file.chmod(0o755)
        for device_name in device_names:
            (self.folder / "device" / device_name).symlink_to(file)
        return file

    def set(self, **changes) -> None:
        file = self.folder / "world"
        file.write_text(repr(literal_eval(file.read_text()) | changes))

    def page(self) -> str:
        return literal_eval((self.folder / "world").read_text())["path"][-1]

    def calls(self) -> list[list[str]]:
        return self._lines("calls")

    def ran(self) -> list[list[str]]:
        """Words of the commands that the device's shell ran, those of observing left out."""
        return self._lines("ran")

    def _lines(self, name: str) -> list[list[str]]:
        file = self.folder / name
        return [literal_eval(line) for line in file.read_text().splitlines()] if file.exists() else []

    def connect(self, **options) -> AndroidDevice:
        return AndroidDevice(**{"serial": "emulator-5554", "adb": self.adb, "settle": 0.0} | options)

"""Walks an app and writes its graph in Mobile3M's layout.

As in Mobile3M, only unique pages are expanded, pages of another package are terminal, every action of A(P) is tried,
and a new page is compared with its parent, then with the unique page that shares most of its html lines (Mobile3M asks
BM25 for the nearest one), before it counts as unique. The pages on the way are stored again in each page's folder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from setaria.datasets_builders.gui.elements import find_element
from setaria.datasets_builders.gui.mobile3m import parent, walk_of
from setaria.datasets_builders.gui.mobile3m_actions import write_raw_action
from setaria.datasets_builders.gui.pages import Page, line_overlap, same_page
from setaria.rewards.gui.actions import Action, Input


MOST_PAGES = 20_000


class Shown(Protocol):
    """What a screen has to offer."""

    @property
    def image(self) -> Image.Image:
        """The screenshot."""

    @property
    def xml(self) -> str:
        """The view hierarchy."""


class Walkable(Protocol):
    """An app that can be put into any of its states."""

    @property
    def name(self) -> str:
        """Name of the app."""

    @property
    def start(self) -> Any:
        """The state in which it starts."""

    @property
    def texts(self) -> Sequence[str]:
        """What is typed into each input."""

    def screen(self, state: Any) -> Shown:
        """What a state looks like."""

    def act(self, state: Any, action: Action) -> Any | None:
        """The state after an action; `None` if it cannot be executed."""


@dataclass
class Walk:
    """What a walk through an app has found so far."""

    states: dict[str, Any] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    unique_of: dict[str, str] = field(default_factory=dict)
    action_ids: dict[str, int] = field(default_factory=dict)
    triples: list[tuple[str, int, str]] = field(default_factory=list)
    valid: dict[str, list[int]] = field(default_factory=dict)
    invalid: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, state: Any, page: Page) -> None:
        """Add a page and decide which unique page it is."""
        self.states[name], self.pages[name] = state, page
        self.valid[name], self.invalid[name] = [], []
        self.unique_of[name] = self._unique(name, page)

    def _unique(self, name: str, page: Page) -> str:
        if "_" in name:
            before = self.unique_of[parent(name)]
            unique = dict.fromkeys(self.unique_of.values())  # in order: of equally near ones the first is asked
            nearest = max(unique, key=lambda other: line_overlap(page, self.pages[other]))
            for other in (before, nearest):
                if same_page(page, self.pages[other]):
                    return other
        return name


def write_app_graph(app: Walkable, root: Path, port: int = 8100) -> Path:
    """Walk `app` and write `<app>_graph_<port>/` under `root`; returns the folder."""
    walk = walk_app(app)
    folder = root / f"{app.name}_graph_{port}"
    names = list(walk.pages)
    ids = {name: number for number, name in enumerate(names)}
    raw = {number: action for action, number in walk.action_ids.items()}
    files = {name: _files_of_page(walk, app, name, raw) for name in names}
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for visited in walk_of(name):
            for ending, content in files[visited].items():
                (folder / name / f"{visited}{ending}").write_bytes(content)
    rows = [
        {"round": name.count("_") + 1, "name": name, "name_id": ids[name], "done": True, "hold": False}
        for name in names
    ]
    actions = [
        {"name": name, "action_valid": walk.valid[name], "action_invalid": walk.invalid[name]} for name in names
    ]
    alike: dict[str, list[str]] = {}
    for name, unique in walk.unique_of.items():
        alike.setdefault(unique, []).append(name)
    _write_json(folder / "all_unique_page.json", {"num": len(rows), "data": rows, "need": []})
    _write_json(folder / "all_triple.json", {"num": len(walk.triples), "data": walk.triples})
    _write_json(folder / "all_page_actions.json", {"num": len(actions), "data": actions})
    for name, mapping in (
        ("all_page_id", ids),
        ("all_action_id", walk.action_ids),
        ("data_all2unique", walk.unique_of),
        ("data_unique2all", alike),
    ):
        _write_json(folder / f"{name}.json", json.dumps(mapping, ensure_ascii=False))
    return folder


def walk_app(app: Walkable) -> Walk:
    """Try every action of every unique page, breadth first."""
    walk = Walk()
    root = f"{app.name}0"
    walk.add(root, app.start, _page(app, root, app.start))
    package = walk.pages[root].elements[0].package
    queue = [root]
    while queue:
        name = queue.pop(0)
        page, state = walk.pages[name], walk.states[name]
        if any(element.package not in ("", package) for element in page.elements):
            continue
        for action in _tried(page.actions, app.texts):
            element = find_element(page.elements, action)
            assert element is not None
            number = walk.action_ids.setdefault(write_raw_action(action, element), len(walk.action_ids))
            after = app.act(state, action)
            if after is None:
                walk.invalid[name].append(number)
                continue
            if len(walk.pages) >= MOST_PAGES:
                raise ValueError(f"{app.name}: more than {MOST_PAGES} pages")
            child = f"{name}_{number}"
            walk.add(child, after, _page(app, child, after))
            walk.valid[name].append(number)
            walk.triples.append((name, number, child))
            if walk.unique_of[child] == child:
                queue.append(child)
    return walk


def _tried(actions: list[Action], texts: Sequence[str]) -> list[Action]:
    """Every action, inputs with each of the app's texts."""
    tried: list[Action] = []
    for action in actions:
        tried += [replace(action, value=text) for text in texts] if isinstance(action, Input) else [action]
    return tried


def _page(app: Walkable, name: str, state: Any) -> Page:
    screen = app.screen(state)
    return Page(name, screen.image, screen.xml)


def _files_of_page(walk: Walk, app: Walkable, name: str, raw: dict[int, str]) -> dict[str, bytes]:
    """Content of a page's four files, by the ending of their names."""
    page, path = walk.pages[name], walk_of(name)
    png = BytesIO()
    page.image.save(png, "PNG")
    record = {
        "round": len(path),
        "name": name,
        "unique_name": walk.unique_of[name],
        "valid": name == walk.unique_of[name],
        "start_APP": [f"adb shell monkey -p com.{app.name.lower()} 1"],
        "history_actions": [raw[int(step.rpartition("_")[2])] for step in path[1:]],
        "action_space": [raw[number] for number in (*walk.valid[name], *walk.invalid[name])],
        "path": path,
    }
    texts = {
        "-xml.txt": page.xml,
        "-html.txt": "\n".join(page.html) + "\n",
        ".json": json.dumps(record, ensure_ascii=False),
    }
    return {"-screen.png": png.getvalue()} | {ending: text.encode() for ending, text in texts.items()}


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

"""Mobile3M's on-disk layout: the walked graph of one app, one folder per page (MobileVLM's data, NC-SA).

    <app>_graph_<port>/
        all_unique_page.json   {num, data: [{round, name, name_id, done, hold}], need: [[name_id, round]]}
        all_triple.json        {num, data: [[name before, action id, name after]]}
        all_page_actions.json  {num, data: [{name, action_valid: [ids], action_invalid: [ids]}]}
        all_page_id.json, all_action_id.json, data_all2unique.json, data_unique2all.json   (JSON in a JSON string)
        <page>/<q>-screen.png, <q>-html.txt, <q>-xml.txt, <q>.json   for q = the page and each of its ancestors

A page is named by the actions that led to it: `ctrip0_1_36` was reached from `ctrip0_1` by action 36. `num` is not to
be trusted, and `all_unique_page.json` lists all pages. Names come from data, so none may lead out of the folder.
"""

import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain
from os.path import isfile, realpath
from pathlib import Path
from typing import Any

from setaria.datasets_builders.gui.elements import find_element
from setaria.datasets_builders.gui.mobile3m_actions import RawAction, raw_form, read_raw_action, write_raw_action
from setaria.datasets_builders.gui.pages import Page
from setaria.rewards.gui.actions import Action, Click, Input, Scroll


_NAME = re.compile(r"[^\W_](?:[^\W_]|[.\-]){0,80}?0(_[0-9]{1,9}){0,40}")
MOST_BYTES = 2_000_000_000
MOST_XML_BYTES = 32_000_000
PAGES_KEPT = 256  # with their images, once these were looked at


class LayoutError(ValueError):
    """A tree that is not Mobile3M's; the message names the file and the field."""


@dataclass
class AppGraph:
    """The graph of one app.

    Attributes:
        folder: where it was read from.
        pages: names of all pages; a page's `name_id` is its place here.
        unique_of: the unique page that each page is the same as.
        edges: outcome of an executed action, by the unique page before it and the action's id: a page's raw name.
        valid, invalid: ids of the actions of a page that could and could not be executed; others are untried.
        raw_actions: raw string of each action id.
    """

    folder: Path
    pages: list[str]
    unique_of: dict[str, str]
    edges: dict[tuple[str, int], str]
    valid: dict[str, list[int]]
    invalid: dict[str, list[int]]
    raw_actions: dict[int, str]

    def __post_init__(self):
        self._captured = lru_cache(PAGES_KEPT)(self._read)

    @property
    def root(self) -> str:
        """The page that the app starts with."""
        return next(name for name in self.pages if "_" not in name)

    @property
    def app(self) -> str:
        """Name of the app."""
        return self.root.removesuffix("0")

    @property
    def unique_pages(self) -> Iterator[str]:
        """Names of the pages that others are mapped to."""
        return (name for name in self.pages if self.unique_of[name] == name)

    def page(self, name: str) -> Page:
        """The page as it was captured at the end of its own walk; its image is read when looked at.

        Raises:
            LayoutError: for an unknown page, and for one whose files are missing or cannot be read.
        """
        return self._captured(name, name)

    def before_and_after(self, name: str) -> tuple[Page, Page]:
        """A page's parent and the page, both as captured on the page's walk."""
        return self._captured(name, parent(name)), self._captured(name, name)

    def action_id(self, page: Page, action: Action) -> int | None:
        """The id of an action on a page, `None` if its walk did not list this action.

        Of elements with the same identity the first listed one is meant, unless bounds in the raw strings tell them
        apart.
        """
        element = find_element(page.elements, action) if isinstance(action, Click | Input | Scroll) else None
        if element is None:
            return None
        raw, wanted = write_raw_action(action, element), raw_form(action, element)
        listed = [*self.valid.get(page.id, []), *self.invalid.get(page.id, [])]
        exact = (number for number in listed if self.raw_actions[number] == raw)
        alike = (number for number in listed if self._parsed[number] == wanted)
        return next(chain(exact, alike), None)

    def actions(self, page: Page) -> Iterator[tuple[Action, int]]:
        """The actions that a walk listed on a page, inputs with each value that was typed, and their ids."""
        for action in page.actions:
            typed = [replace(action, value=value) for value in self._typed] if isinstance(action, Input) else [action]
            for filled in typed:
                number = self.action_id(page, filled)
                if number is not None:
                    yield filled, number

    def outcome(self, page: str, action_id: int) -> str | None:
        """The unique page after an action, `None` for an action that could not be executed."""
        after = self.edges.get((page, action_id))
        return None if after is None else self.unique_of[after]

    def effective(self, page: str, action_id: int) -> bool:
        """Whether the action leads to another unique page."""
        return self.outcome(page, action_id) not in (None, page)

    @cached_property
    def _typed(self) -> list[str]:
        return sorted({raw.value for raw in self._parsed.values() if raw.value is not None})

    @cached_property
    def _parsed(self) -> dict[int, RawAction]:
        parsed = {}
        for number, raw in self.raw_actions.items():
            try:
                parsed[number] = read_raw_action(raw)
            except ValueError as error:
                raise LayoutError(f"{self.folder / 'all_action_id.json'}: {number}: {error}") from None
        return parsed

    def _read(self, walk: str, name: str) -> Page:
        if walk not in self.unique_of:
            raise LayoutError(f"{self.folder}: {walk!r} is no page of this app")
        xml = _text(_file(self.folder, walk, f"{name}-xml.txt"), MOST_XML_BYTES)
        return Page(name, _file(self.folder, walk, f"{name}-screen.png"), xml)


def parent(page: str) -> str:
    """Name of the page from which this one was reached; the root has none.

    Raises:
        ValueError: for the root.
    """
    before, underscore, _ = page.rpartition("_")
    if not underscore:
        raise ValueError(f"{page} is a root, it has no parent")
    return before


def walk_of(page: str) -> list[str]:
    """All pages on the way to a page, from the root to the page itself."""
    root, *actions = page.split("_")
    return ["_".join([root, *actions[:length]]) for length in range(len(actions) + 1)]


def read_app_graph(folder: Path) -> AppGraph:
    """Read and check the graph of one app; pages themselves are read when they are asked for.

    Raises:
        LayoutError: naming the file and the field that is wrong.
    """
    pages = _read_pages(folder)
    unique_of = _read_unique(folder, pages)
    raw_actions: dict[int, str] = {}
    for raw, number in _embedded(folder, "all_action_id.json").items():
        if type(number) is not int or number in raw_actions:
            raise LayoutError(f"{folder / 'all_action_id.json'}: {raw[:120]!r}: {number!r} is no id of its own")
        raw_actions[number] = raw
    edges: dict[tuple[str, int], str] = {}
    for triple in _table(folder, "all_triple.json"):
        joined: list[Any] = triple if isinstance(triple, list) and len(triple) == 3 else [None] * 3
        before, action, after = joined
        if not (_is_key(before, unique_of) and _is_key(action, raw_actions) and _is_key(after, unique_of)):
            raise LayoutError(f"{folder / 'all_triple.json'}: data: {triple} does not join two pages by an action")
        edges.setdefault((unique_of[before], action), after)
    listed: dict[str, dict[str, list[int]]] = {"action_valid": {}, "action_invalid": {}}
    for row in _table(folder, "all_page_actions.json"):
        name = _page_name(folder / "all_page_actions.json", row)
        for key, ids in listed.items():
            if name not in unique_of or not isinstance(row.get(key), list):
                raise LayoutError(f"{folder / 'all_page_actions.json'}: {key} of {name}: no list, or no such page")
            if unknown := [number for number in row[key] if not _is_key(number, raw_actions)]:
                raise LayoutError(f"{folder / 'all_page_actions.json'}: {key} of {name}: unknown id {unknown[0]!r}")
            ids[name] = row[key]
    return AppGraph(folder, pages, unique_of, edges, listed["action_valid"], listed["action_invalid"], raw_actions)


def app_folders(root: Path) -> list[Path]:
    """The folders of a dataset that hold an app's graph, sorted.

    Raises:
        LayoutError: for one that leads out of `root`.
    """
    return sorted(_inside(root, file.parent.name) for file in root.glob("*/all_triple.json"))


def _read_pages(folder: Path) -> list[str]:
    """Names of all pages by their ids."""
    file = folder / "all_unique_page.json"
    ids: dict[str, int] = {}
    for number, row in enumerate(_table(folder, file.name)):
        name = _page_name(file, row)
        if row.get("name_id") != number:
            raise LayoutError(f"{file}: name_id {row.get('name_id')!r} in row {number}")
        if name in ids:
            raise LayoutError(f"{file}: name {name}: in the rows {ids[name]} and {number}")
        ids[name] = number
    for name in ids:
        if "_" in name and parent(name) not in ids:
            raise LayoutError(f"{file}: name {name}: its ancestor {parent(name)} is missing")
    if len(roots := [name for name in ids if "_" not in name]) != 1:
        raise LayoutError(f"{file}: data: {len(roots)} pages without a parent, expected one")
    written = _embedded(folder, "all_page_id.json")
    if wrong := [name for name in ids | written if ids.get(name) != written.get(name)]:
        raise LayoutError(f"{folder / 'all_page_id.json'}: {wrong[0]}: {written.get(wrong[0])!r} is not its row")
    return list(ids)


def _read_unique(folder: Path, pages: list[str]) -> dict[str, str]:
    """The unique page of each page."""
    file = folder / "data_all2unique.json"
    written = _embedded(folder, file.name)
    known = set(pages)
    for page in pages:
        unique: Any = written.get(page)
        if not _is_key(unique, known) or written[unique] != unique:
            raise LayoutError(f"{file}: {page}: {unique!r} is no unique page")
    for unique, alike in _embedded(folder, "data_unique2all.json").items():
        if not isinstance(alike, list) or any(not _is_key(page, known) or written[page] != unique for page in alike):
            raise LayoutError(f"{folder / 'data_unique2all.json'}: {unique} differs from {file.name}")
    return {page: written[page] for page in pages}


def _is_key(value: Any, known: Container[str | int]) -> bool:
    """Whether a value from JSON is known; `true` is not the number 1, and lists cannot be looked up."""
    return type(value) in (str, int) and value in known


def _table(folder: Path, name: str) -> list[Any]:
    file = _file(folder, name)
    table = _json(file, _text(file, MOST_BYTES))
    if not isinstance(table, dict) or not isinstance(table.get("data"), list):
        raise LayoutError(f"{file}: data: expected a list")
    return table["data"]


def _embedded(folder: Path, name: str) -> dict[str, Any]:
    """A mapping that is JSON in a JSON string."""
    file = _file(folder, name)
    text = _json(file, _text(file, MOST_BYTES))
    if not isinstance(text, str):
        raise LayoutError(f"{file}: encoded once; Mobile3M writes this file as JSON inside a JSON string")
    inner = _json(file, text)
    if not isinstance(inner, dict):
        raise LayoutError(f"{file}: expected a mapping inside the string")
    return inner


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{file}: no JSON ({error})") from None


def _text(file: Path, most_bytes: int) -> str:
    if file.stat().st_size > most_bytes:
        raise LayoutError(f"{file}: larger than {most_bytes} bytes")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{file}: cannot be read ({error})") from None


def _page_name(file: Path, row: Any) -> str:
    name = row.get("name") if isinstance(row, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise LayoutError(f"{file}: name: {name!r} is no page name such as app0_1_36")
    return name


def _file(folder: Path, *parts: str) -> Path:
    file = _inside(folder, *parts)
    if not isfile(file):
        raise LayoutError(f"{file}: the file is missing")
    return file


def _inside(folder: Path, *parts: str) -> Path:
    path = folder.joinpath(*parts)
    if not Path(realpath(path)).is_relative_to(realpath(folder)):
        raise LayoutError(f"{path}: leads out of {folder}")
    return path

"""Trees in Mobile3M's layout: an app with awkward texts, one of thousands of pages, and changes of their files."""

import json
from types import SimpleNamespace
from xml.sax.saxutils import quoteattr

from PIL import Image

from setaria.rewards.gui.actions import Click, Input


ROOT = "店铺2.00"
PLAIN = ("all_unique_page", "all_triple", "all_page_actions")
EMBEDDED = ("all_page_id", "all_action_id", "data_all2unique", "data_unique2all")
COLOURS = {"home": "white", "list": "red", "far": "blue", "other": "green"}
TYPED = "it's, 'so' </input>, 安"


class Shop:
    """An app of three pages and one of another package; its texts are hard to quote and its buttons overlap."""

    name = "店铺2.0"
    start = "home"
    texts = ("x", TYPED)
    buttons = {
        "home": ["a > b, </p> 'c'", 'say "hi"', "Stuck", "Broken", "Advert"],
        "list": ["Back", "Far"],
        "far": ["Back"],
        "other": ["Back"],
    }

    def screen(self, state):
        package = "other" if state == "other" else "shop"
        one = '<TextView class="TextView" package="{}" clickable="true" text={} bounds="[0,{}][40,{}]"/>'
        rows = [one.format(package, quoteattr(text), y, y + 9) for y, text in enumerate(self.buttons[state])]
        if state == "home":
            rows.append('<EditText class="EditText" text="Search" package="shop" bounds="[0,50][40,60]"/>')
            rows.append('<ListView class="ListView" scrollable="true" bounds="[1,10][40,47]"/>')
        return SimpleNamespace(image=Image.new("RGB", (40, 60), COLOURS[state]), xml=f"<a>{''.join(rows)}</a>")

    def act(self, state, action):
        match action:
            case Click(text="Broken"):
                return None
            case Click(text="a > b, </p> 'c'"):
                return "list"
            case Input(value=value) if value == TYPED:
                return "list"
            case Click(text='say "hi"' | "Far"):
                return "far"
            case Click(text="Advert"):
                return "other"
            case Click(text="Back"):
                return "home"
        return state


def change(folder, name, edit):
    """Rewrite a file of the layout: `edit` changes what it holds in place, or returns something else."""
    file = folder / f"{name}.json"
    held = json.loads(file.read_text("utf-8"))
    held = json.loads(held) if name in EMBEDDED else held
    changed = edit(held)
    held = held if changed is None else changed
    file.write_text(json.dumps(json.dumps(held) if name in EMBEDDED else held), "utf-8")


def rename(old, new):
    """An edit that gives a page another name, wherever it stands."""
    return lambda held: json.loads(json.dumps(held, ensure_ascii=False).replace(f'"{old}', f'"{new}'))


def large_tree(folder, count):
    """The tables of an app of at least `count` pages with 1020 actions, without the pages; returns their names."""
    names = ["big0"]
    for before in names:
        if len(names) < count:
            names += [f"{before}_{len(names) % 1000 + number}" for number in range(20)]
    raw = {f'click(<p id="big:id/{n}" clickable="true" bounds="[0,{n}][9,{n + 9}]"> {n} </p>)': n for n in range(1020)}
    triples = [[name.rpartition("_")[0], int(name.rpartition("_")[2]), name] for name in names[1:]]
    listed: dict[str, list[int]] = {name: [] for name in names}
    for before, number, _ in triples:
        listed[before].append(number)
    tables = {
        "all_unique_page": [{"round": 1, "name": name, "name_id": n} for n, name in enumerate(names)],
        "all_triple": triples,
        "all_page_actions": [{"name": n, "action_valid": ids, "action_invalid": []} for n, ids in listed.items()],
    }
    mappings = {
        "all_page_id": {name: number for number, name in enumerate(names)},
        "all_action_id": raw,
        "data_all2unique": {name: name for name in names},
        "data_unique2all": {name: [name] for name in names},
    }
    for name, data in tables.items():
        (folder / f"{name}.json").write_text(json.dumps({"num": 0, "data": data, "need": []}))
    for name, mapping in mappings.items():
        (folder / f"{name}.json").write_text(json.dumps(json.dumps(mapping)))
    return names

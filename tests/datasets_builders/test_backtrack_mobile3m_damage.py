"""A damaged or hostile tree in Mobile3M's layout: what is said about it, and that nothing outside of it is read."""

import json
import shutil
from pathlib import Path

import pytest
from mobile3m_trees import EMBEDDED, PLAIN, ROOT, Shop, change, rename

from setaria.datasets_builders.gui.mobile3m import LayoutError, app_folders, read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_app_graph(Shop(), tmp_path_factory.mktemp("mobile3m"), port=8100)


@pytest.fixture(scope="module")
def graph(tree):
    return read_app_graph(tree)


@pytest.fixture
def copy(tree, tmp_path):
    return Path(shutil.copytree(tree, tmp_path / "root" / tree.name))


HOSTILE = [
    *["", ".", "..", "..0", "/etc/passwd", "../店铺2.00", "店铺2.00/../..", "a/0", "a\\0", "a\n0", "a b0", "-0", "_0"],
    *["a0_", "a0_-1", "a0_1.5", "a0_x", "a0_1\n", "a0\0", "a_b0", "x" * 90 + "0", "a0" + "_1" * 41, "a0_" + "1" * 10],
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_are_none(copy, name):
    change(copy, "all_unique_page", lambda held: held["data"][1].update(name=name))
    with pytest.raises(LayoutError, match=r"all_unique_page\.json: name: .* is no page name"):
        read_app_graph(copy)


MALFORMED = {
    "all_unique_page": {
        "missing ancestor": (
            lambda old: old["data"][1].update(name=f"{ROOT}_777_1"),
            rf"name {ROOT}_777_1: its ancestor {ROOT}_777 is missing",
        ),
        "no root": (lambda old: old["data"][0].update(name=f"{ROOT}_0_1"), "ancestor .* is missing"),
        "two roots": (
            lambda old: old["data"].append({"name": "b0", "name_id": len(old["data"])}),
            "2 pages without a",
        ),
        "no pages": (lambda old: old["data"].clear(), "data: 0 pages without a parent"),
        "page twice": (lambda old: old["data"][1].update(name=ROOT), "in the rows 0 and 1"),
        "wrong name_id": (lambda old: old["data"][1].update(name_id=2), "name_id 2 in row 1"),
        "no name_id": (lambda old: drop(old["data"][1], "name_id"), "name_id None in row 1"),
        "name_id of nan": (lambda old: old["data"][1].update(name_id=float("nan")), "name_id nan in row 1"),
        "no name": (lambda old: drop(old["data"][1], "name"), "name: None is no page name"),
        "name in a list": (lambda old: old["data"][1].update(name=["a0"]), r"name: \['a0'\] is no page name"),
        "row of text": (lambda old: old["data"].append("a0"), "name: None is no page name"),
        "rows missing": (lambda old: drop(old, "data"), "data: expected a list"),
        "rows in a mapping": (lambda old: old.update(data={}), "data: expected a list"),
        "no table": (lambda old: [1], "data: expected a list"),
    },
    "all_page_id": {
        "wrong id": (lambda old: old.update({ROOT: 5}), f"{ROOT}: 5 is not its row"),
        "id missing": (lambda old: drop(old, ROOT), f"{ROOT}: None is not its row"),
        "unknown page": (lambda old: old.update(b0=99), "b0: 99 is not its row"),
        "id in a list": (lambda old: old.update({ROOT: [0]}), r"\[0\] is not its row"),
        "list": (lambda old: list(old), "expected a mapping inside the string"),
    },
    "all_action_id": {
        "id twice": (lambda old: old.update(again=0), "'again': 0 is no id of its own"),
        "id of text": (lambda old: old.update(new="9"), "'new': '9' is no id"),
        "id in a list": (lambda old: old.update(new=[9]), r"'new': \[9\] is no id"),
        "id true": (lambda old: old.update(new=True), "'new': True is no id"),
        "id nan": (lambda old: old.update(new=float("nan")), "'new': nan is no id"),
    },
    "all_triple": {
        "unknown action": (lambda old: old["data"].append([ROOT, 999, ROOT]), "data: .* 999, .* does not join"),
        "unknown page before": (lambda old: old["data"].append(["b0", 0, ROOT]), "data: .*'b0'.* does not join"),
        "path after": (lambda old: old["data"].append([ROOT, 0, "../b0"]), "data: .*b0.* does not join"),
        "pair": (lambda old: old["data"].append([ROOT, 0]), "does not join two pages by an action"),
        "lists": (lambda old: old["data"].append([[ROOT], [0], {}]), "does not join two pages by an action"),
        "fraction": (lambda old: old["data"].append([ROOT, 0.0, ROOT]), "does not join two pages by an action"),
        "true": (lambda old: old["data"].append([ROOT, True, ROOT]), "does not join two pages by an action"),
        "null": (lambda old: old["data"].append(None), "does not join two pages by an action"),
    },
    "all_page_actions": {
        "unknown valid id": (
            lambda old: old["data"][0]["action_valid"].append(999),
            f"action_valid of {ROOT}: unknown id 999",
        ),
        "unknown invalid id": (
            lambda old: old["data"][0]["action_invalid"].append([0]),
            rf"action_invalid of {ROOT}: unknown id \[0\]",
        ),
        "no list": (lambda old: old["data"][0].update(action_valid=3), f"action_valid of {ROOT}: no list"),
        "missing list": (lambda old: drop(old["data"][0], "action_invalid"), f"action_invalid of {ROOT}: no list"),
        "unknown page": (lambda old: old["data"][0].update(name="b0"), "action_valid of b0: .*no such page"),
        "path": (lambda old: old["data"][0].update(name="../b0"), "name: '../b0' is no page name"),
    },
    "data_all2unique": {
        "page missing": (lambda old: drop(old, f"{ROOT}_1"), f"{ROOT}_1: None is no unique page"),
        "unknown page": (lambda old: old.update({ROOT: "b0"}), f"{ROOT}: 'b0' is no unique page"),
        "list": (lambda old: old.update({ROOT: [ROOT]}), "is no unique page"),
        "circle": (lambda old: old.update({ROOT: f"{ROOT}_0", f"{ROOT}_0": ROOT}), "is no unique page"),
        "chain": (
            lambda old: old.update({f"{ROOT}_0": ROOT, ROOT: f"{ROOT}_1", f"{ROOT}_1": f"{ROOT}_1"}),
            "is no unique page",
        ),
    },
    "data_unique2all": {
        "contradiction": (lambda old: old[ROOT].append(f"{ROOT}_0"), f"{ROOT} differs from data_all2unique"),
        "mapping": (lambda old: old.update({ROOT: {}}), f"{ROOT} differs from data_all2unique"),
        "lists": (lambda old: old.update({ROOT: [[ROOT]]}), f"{ROOT} differs from data_all2unique"),
        "unknown page": (lambda old: old.update({ROOT: ["b0"]}), f"{ROOT} differs from data_all2unique"),
    },
}
CASES = [(name, *case) for name, cases in MALFORMED.items() for case in cases.values()]
IDS = [f"{name} {what}" for name, cases in MALFORMED.items() for what in cases]


def drop(mapping, key):
    del mapping[key]


@pytest.mark.parametrize(("name", "edit", "message"), CASES, ids=IDS)
def test_a_damaged_tree(copy, name, edit, message):
    change(copy, name, edit)
    with pytest.raises(LayoutError, match=message) as refused:
        read_app_graph(copy)
    assert f"{name}.json" in str(refused.value)


@pytest.mark.parametrize("name", PLAIN + EMBEDDED)
@pytest.mark.parametrize(
    ("content", "message"),
    {
        "empty": (b"", "no JSON"),
        "no json": (b"{'a': 1}", "no JSON"),
        "cut off": (b'{"data": [', "no JSON"),
        "no text": (b"\xff\xfe", "cannot be read"),
        "deep": (b"[" * 100_000 + b"]" * 100_000, "no JSON"),
        "long number": (b'{"data": [' + b"1" * 5000 + b"]}", "no JSON"),
        "null": (b"null", "expected a list|encoded once"),
    }.values(),
)
def test_a_file_that_is_no_json(copy, name, content, message):
    (copy / f"{name}.json").write_bytes(content)
    with pytest.raises(LayoutError, match=message) as refused:
        read_app_graph(copy)
    assert f"{name}.json" in str(refused.value)


@pytest.mark.parametrize("name", EMBEDDED)
def test_what_is_inside_the_string(copy, name):
    file = copy / f"{name}.json"
    once = json.loads(file.read_text("utf-8"))
    for written, message in (
        (once, f"{name}.json: encoded once"),
        (json.dumps("{"), f"{name}.json: no JSON"),
        (json.dumps("[" * 100_000), f"{name}.json: no JSON"),
        (json.dumps("[]"), f"{name}.json: expected a mapping"),
    ):
        file.write_text(written, "utf-8")
        with pytest.raises(LayoutError, match=message):
            read_app_graph(copy)


@pytest.mark.parametrize("name", PLAIN + EMBEDDED)
def test_a_file_that_is_missing(copy, name):
    (copy / f"{name}.json").unlink()
    with pytest.raises(LayoutError, match=rf"{name}\.json: the file is missing"):
        read_app_graph(copy)
    (copy / f"{name}.json").mkdir()
    with pytest.raises(LayoutError, match=rf"{name}\.json: the file is missing"):
        read_app_graph(copy)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(LayoutError, match=r"all_unique_page\.json: the file is missing"):
        read_app_graph(tmp_path / "absent")


def test_raw_actions_are_parsed_when_they_are_needed(copy):
    change(copy, "all_action_id", lambda held: {f"tap {raw}": number for raw, number in held.items()})
    graph = read_app_graph(copy)
    home = graph.page(graph.root)
    with pytest.raises(LayoutError, match=r"all_action_id\.json: 0: 'tap click\(.* is no action of Mobile3M"):
        graph.action_id(home, home.actions[0])


def test_pages_are_read_when_they_are_needed(copy):
    for folder in copy.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    graph = read_app_graph(copy)
    with pytest.raises(LayoutError, match=rf"{ROOT}-xml\.txt: the file is missing"):
        graph.page(ROOT)


def test_images_are_read_when_they_are_looked_at(copy):
    (copy / ROOT / f"{ROOT}-screen.png").write_bytes(b"")
    page = read_app_graph(copy).page(ROOT)
    assert page.html and page.actions
    with pytest.raises(ValueError, match=rf"{ROOT}-screen\.png: no screenshot"):
        page.image  # noqa: B018


def test_an_absent_image(copy):
    (copy / ROOT / f"{ROOT}-screen.png").unlink()
    with pytest.raises(LayoutError, match=rf"{ROOT}-screen\.png: the file is missing"):
        read_app_graph(copy).page(ROOT)


def test_a_broken_hierarchy(copy):
    file = copy / ROOT / f"{ROOT}-xml.txt"
    file.write_bytes(b"\xff")
    with pytest.raises(LayoutError, match=rf"{ROOT}-xml\.txt: cannot be read"):
        read_app_graph(copy).page(ROOT)
    file.write_text("<a")
    with pytest.raises(ValueError, match=f"xml of page {ROOT}: no view hierarchy"):
        read_app_graph(copy).page(ROOT).elements  # noqa: B018


def test_a_name_too_long_for_a_file(copy):
    """Such a name passes, its file cannot exist."""
    long = f"{'安' * 80}0"
    for name in PLAIN + EMBEDDED:
        change(copy, name, rename(ROOT, long))
    with pytest.raises(LayoutError, match="the file is missing"):
        read_app_graph(copy).page(long)


OUTSIDE = ["../../secret", "..", "/etc/passwd", "", "b0", f"{ROOT}/../../../secret", f"{ROOT}\0"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_only_pages_of_the_app_are_read(copy, name):
    """Names come from tasks and traces too. Two files lie where a traversal would find them."""
    for ending in ("-xml.txt", "-screen.png"):
        (copy.parent / f"secret{ending}").write_text("secret")
        (copy.parent.parent / f"secret{ending}").write_text("secret")
    graph = read_app_graph(copy)
    with pytest.raises(LayoutError, match="is no page of this app"):
        graph.page(name)


def test_no_link_leads_out_of_the_folder(copy):
    secret = copy.parent / "secret"
    secret.mkdir()
    for ending in ("-xml.txt", "-screen.png"):
        (secret / f"{ROOT}{ending}").write_text("secret")
    for ending in ("-xml.txt", "-screen.png"):  # the file is a link
        file = copy / ROOT / f"{ROOT}{ending}"
        kept = file.read_bytes()
        file.unlink()
        file.symlink_to(secret / f"{ROOT}{ending}")
        with pytest.raises(LayoutError, match=rf"{ROOT}{ending}: leads out of"):
            read_app_graph(copy).page(ROOT)
        file.unlink()
        file.write_bytes(kept)
    shutil.rmtree(copy / ROOT)  # the folder is a link
    (copy / ROOT).symlink_to(secret)
    with pytest.raises(LayoutError, match=f"{ROOT}-xml.txt: leads out of"):
        read_app_graph(copy).page(ROOT)


@pytest.mark.parametrize("name", PLAIN + EMBEDDED)
def test_no_table_is_a_link_out_of_the_folder(copy, name):
    file = copy / f"{name}.json"
    file.rename(copy.parent / "moved.json")
    file.symlink_to("../moved.json")
    with pytest.raises(LayoutError, match=rf"{name}\.json: leads out of"):
        read_app_graph(copy)


def test_links_within_the_folder_and_to_it_are_followed(copy, graph):
    (copy / "all_triple.json").rename(copy / "moved.json")
    (copy / "all_triple.json").symlink_to("moved.json")
    (copy.parent / "linked").symlink_to(copy)
    assert read_app_graph(copy.parent / "linked").edges == graph.edges


def test_a_link_to_itself(copy):
    (copy / "all_triple.json").unlink()
    (copy / "all_triple.json").symlink_to("all_triple.json")
    with pytest.raises(LayoutError, match=r"all_triple\.json: the file is missing"):
        read_app_graph(copy)


def test_folders_of_apps(copy, tmp_path):
    root = copy.parent
    assert app_folders(root) == [copy]
    write_app_graph(Shop(), root, port=8099)
    (root / "notes").mkdir()
    assert [folder.name for folder in app_folders(root)] == ["店铺2.0_graph_8099", "店铺2.0_graph_8100"]
    assert app_folders(tmp_path / "absent") == []
    (root / "outside").symlink_to(shutil.copytree(copy, tmp_path / "elsewhere"))
    with pytest.raises(LayoutError, match="outside: leads out of"):
        app_folders(root)

"""Mobile3M's layout: written and read back identically, and what a graph says about actions and pages."""

import json
import shutil
import sys
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from mobile3m_trees import EMBEDDED, PLAIN, ROOT, TYPED, Shop, change, large_tree, rename
from PIL import Image

from setaria.datasets_builders.gui.mobile3m import PAGES_KEPT, parent, read_app_graph, walk_of
from setaria.datasets_builders.gui.mobile3m_writer import Walk, walk_app, write_app_graph
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.tasks import distances, shortest_paths
from setaria.rewards.gui.actions import Click, Complete, Input, LongPress, Press, Scroll


@pytest.fixture(scope="module")
def walk():
    return walk_app(Shop())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_app_graph(Shop(), tmp_path_factory.mktemp("mobile3m"), port=8100)


@pytest.fixture(scope="module")
def graph(tree):
    return read_app_graph(tree)


@pytest.fixture
def copy(tree, tmp_path):
    return Path(shutil.copytree(tree, tmp_path / "root" / tree.name))


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_walk_is_read_back_identically(walk, graph):
    assert graph.pages == list(walk.pages)
    assert graph.unique_of == walk.unique_of
    assert graph.raw_actions == {number: raw for raw, number in walk.action_ids.items()}
    assert graph.edges == {(walk.unique_of[before], number): after for before, number, after in walk.triples}
    assert (graph.valid, graph.invalid) == (walk.valid, walk.invalid)
    assert (graph.root, graph.app) == (ROOT, "店铺2.0")
    for name, page in walk.pages.items():
        read = graph.page(name)
        assert (read.id, read.xml, read.html, read.actions) == (name, page.xml, page.html, page.actions)
        assert read.image.tobytes() == page.image.tobytes()


def test_written_again_it_has_the_same_bytes(tree, tmp_path):
    before = contents(tree)
    again = write_app_graph(Shop(), tmp_path, port=8100)
    assert contents(again) == before
    write_app_graph(Shop(), tmp_path, port=8100)
    assert contents(again) == before
    assert read_app_graph(again) != read_app_graph(tree)  # the folder is part of a graph
    moved = read_app_graph(again)
    moved.folder = tree
    assert moved == read_app_graph(tree)


def test_unique_pages_and_edges(graph):
    """Home, its two buttons' pages, and the advertisement; an action without effect leads to home again."""
    unique = list(graph.unique_pages)
    assert len(unique) == 4
    home = unique[0]
    reached = {graph.outcome(home, number) for number in graph.valid[home]}
    assert reached == set(unique)
    assert [graph.raw_actions[number] for number in graph.invalid[home]] == [
        """click(<p package="shop" class="TextView" clickable="true" bounds="[0,3][40,12]"> Broken </p>)"""
    ]
    assert graph.outcome(home, graph.invalid[home][0]) is None
    effective = [number for number in graph.valid[home] if graph.effective(home, number)]
    assert 0 < len(effective) < len(graph.valid[home])


def test_pages_of_another_package_are_terminal(graph):
    advert = next(name for name in graph.unique_pages if "other" in graph.page(name).html[0])
    assert graph.page(advert).actions
    assert graph.valid[advert] == graph.invalid[advert] == []
    assert not any(before == advert for before, _ in graph.edges)


def test_every_action_is_found_by_its_element(graph):
    """Texts with quotes, tags, commas and brackets too; the typed text decides between inputs."""
    for name in graph.unique_pages:
        listed = {*graph.valid[name], *graph.invalid[name]}
        assert {number for _, number in graph.actions(graph.page(name))} == listed
    home = graph.page(graph.root)
    wanted = [action for action, number in graph.actions(home) if graph.outcome(graph.root, number) != graph.root]
    assert Input((0, 50, 40, 60), "Search", TYPED) in wanted
    assert Input((0, 50, 40, 60), "Search", "x") not in wanted
    assert Click((0, 1, 40, 10), 'say "hi"') in wanted


UNTRIED = {
    "text that was not typed": Input((0, 50, 40, 60), "Search", "y"),
    "long press": LongPress((0, 0, 40, 9), "a > b, </p> 'c'"),
    "no element": Click((1000, 1000, 1010, 1010), "Nothing"),
    "no box": Press("back"),
    "complete": Complete(),
}


@pytest.mark.parametrize("action", UNTRIED.values(), ids=UNTRIED)
def test_what_no_walk_tried_has_no_id(graph, action):
    assert graph.action_id(graph.page(graph.root), action) is None


def test_an_action_of_a_page_without_a_list_has_no_id(graph):
    home = graph.page(graph.root)
    child = graph.page(next(name for name in graph.pages if graph.unique_of[name] == graph.root and "_" in name))
    assert child.html == home.html  # but it was not expanded
    assert graph.action_id(home, home.actions[0]) is not None
    assert graph.action_id(child, home.actions[0]) is None


def test_the_folder_of_a_page_holds_its_ancestors(tree, graph):
    for name in graph.pages:
        wanted = {
            f"{page}{end}" for page in walk_of(name) for end in ("-screen.png", "-html.txt", "-xml.txt", ".json")
        }
        assert {file.name for file in (tree / name).iterdir()} == wanted


def test_before_and_after_come_from_the_walk_of_the_page(tree, graph, copy):
    name = next(name for name in graph.pages if "_" in name)
    xml = "<a><p text='seen on the way' bounds='[0,0][1,1]'/></a>"
    (copy / name / f"{graph.root}-xml.txt").write_text(xml)
    read = read_app_graph(copy)
    before, after = read.before_and_after(name)
    assert (before.id, after.id) == (graph.root, name)
    assert before.xml == xml
    assert read.page(graph.root).xml != xml
    with pytest.raises(ValueError, match="is a root"):
        read.before_and_after(graph.root)


def test_keys_on_disk(tree, walk):
    plain = {name: json.loads((tree / f"{name}.json").read_text("utf-8")) for name in PLAIN}
    assert [set(table) for table in plain.values()] == [{"num", "data", "need"}, {"num", "data"}, {"num", "data"}]
    rows = plain["all_unique_page"]
    assert rows["num"] == len(rows["data"]) == len(walk.pages)
    assert rows["need"] == []
    assert rows["data"][0] == {"round": 1, "name": ROOT, "name_id": 0, "done": True, "hold": False}
    assert rows["data"][1] == {"round": 2, "name": f"{ROOT}_0", "name_id": 1, "done": True, "hold": False}
    assert plain["all_triple"]["data"][0] == [ROOT, 0, f"{ROOT}_0"]
    assert set(plain["all_page_actions"]["data"][0]) == {"name", "action_valid", "action_invalid"}
    assert [row["name"] for row in plain["all_page_actions"]["data"]] == list(walk.pages)


def test_four_files_are_encoded_twice(tree, walk):
    twice = {name: json.loads(json.loads((tree / f"{name}.json").read_text("utf-8"))) for name in EMBEDDED}
    assert twice["all_page_id"] == {name: number for number, name in enumerate(walk.pages)}
    assert twice["all_action_id"] == walk.action_ids
    assert twice["data_all2unique"] == walk.unique_of
    assert twice["data_unique2all"] == {
        unique: [name for name in walk.pages if walk.unique_of[name] == unique] for unique in walk.unique_of.values()
    }
    assert {file.name for file in tree.iterdir() if file.is_file()} == {f"{name}.json" for name in PLAIN + EMBEDDED}


def test_the_record_of_a_page(tree, walk, graph):
    name = next(name for name in graph.unique_pages if name.count("_") == 1)
    record = json.loads((tree / name / f"{name}.json").read_text("utf-8"))
    assert list(record) == [
        "round",
        "name",
        "unique_name",
        "valid",
        "start_APP",
        "history_actions",
        "action_space",
        "path",
    ]
    assert (record["round"], record["name"], record["path"]) == (2, name, [graph.root, name])
    assert (record["unique_name"], record["valid"]) == (name, True)
    assert record["history_actions"] == [graph.raw_actions[int(name.rpartition("_")[2])]]
    assert record["action_space"] == [graph.raw_actions[n] for n in (*walk.valid[name], *walk.invalid[name])]
    assert all(command.startswith("adb shell ") for command in record["start_APP"])
    assert (tree / name / f"{name}-html.txt").read_text("utf-8").splitlines() == graph.page(name).html


def test_names_are_paths():
    assert walk_of("ctrip0_1_36_313") == ["ctrip0", "ctrip0_1", "ctrip0_1_36", "ctrip0_1_36_313"]
    assert walk_of("ctrip0") == ["ctrip0"]
    assert parent("ctrip0_1_36") == "ctrip0_1"
    with pytest.raises(ValueError, match="ctrip0 is a root"):
        parent("ctrip0")


@pytest.mark.parametrize("app", ["ctrip", "QQ", "QQ360", "com.a.b", "wps-office", "携程", "a0", "0", "x0000"])
def test_names_of_apps(copy, app):
    for name in PLAIN + EMBEDDED:
        change(copy, name, rename(ROOT, f"{app}0"))
    graph = read_app_graph(copy)
    assert (graph.app, graph.root) == (app, f"{app}0")
    assert len(list(graph.unique_pages)) == 4


def test_num_and_need_are_not_trusted(copy, graph):
    change(copy, "all_unique_page", lambda held: {"num": 10**6, "data": held["data"]})
    change(copy, "all_triple", lambda held: {"num": "many", "data": held["data"]})
    change(copy, "all_page_actions", lambda held: {"data": held["data"]})
    read = read_app_graph(copy)
    assert (read.pages, read.edges, read.valid) == (graph.pages, graph.edges, graph.valid)


def test_ancestors_may_be_listed_later(copy, graph):
    change(copy, "all_unique_page", lambda held: held["data"].reverse())
    change(
        copy, "all_unique_page", lambda held: [row.update(name_id=n) for n, row in enumerate(held["data"])] and held
    )
    change(copy, "all_page_id", lambda held: {name: n for n, name in enumerate(reversed(held))})
    change(copy, "all_page_actions", lambda held: held["data"].reverse())
    read = read_app_graph(copy)
    assert (read.root, read.app) == (graph.root, graph.app)
    assert read.pages == graph.pages[::-1]
    assert (read.edges, read.valid) == (graph.edges, graph.valid)


def test_of_two_edges_with_one_action_the_first_holds(copy, graph):
    first = json.loads((copy / "all_triple.json").read_text("utf-8"))["data"][0]
    change(copy, "all_triple", lambda held: held["data"].append([*first[:2], graph.root]))
    assert read_app_graph(copy).edges == graph.edges


def test_edges_join_unique_pages(copy, graph):
    """A triple is between raw names: one from a page that is the same as home is one from home."""
    alike = next(name for name in graph.pages if name != graph.root and graph.unique_of[name] == graph.root)
    change(copy, "all_action_id", lambda held: held.update({"click(<p > new </p>)": 999}))
    change(copy, "all_triple", lambda held: held["data"].append([alike, 999, alike]))
    read = read_app_graph(copy)
    assert read.outcome(graph.root, 999) == graph.root
    assert not read.effective(graph.root, 999)


def test_early_lines_have_no_bounds(copy, graph):
    """Without bounds, and without a clickable attribute, the same elements are found."""

    def early(held):
        bare = {re_bounds(raw): number for raw, number in held.items()}
        assert len(bare) == len(held) and sum("bounds" in raw for raw in bare) == 0
        return bare

    def re_bounds(raw):
        head, bounds, rest = raw.partition(' bounds="[')
        return head + rest.partition('"')[2] if bounds else raw

    change(copy, "all_action_id", early)
    read = read_app_graph(copy)
    for name in graph.unique_pages:
        assert list(read.actions(read.page(name))) == list(graph.actions(graph.page(name)))


def test_elements_with_one_identity(copy):
    """Bounds tell two equal buttons apart; in early lines they are one action, the first."""
    twin = '<TextView class="TextView" package="shop" clickable="true" text="Add" bounds="[0,{}][40,{}]"/>'
    name = ROOT
    (copy / name / f"{name}-xml.txt").write_text(f"<a>{twin.format(0, 9)}{twin.format(20, 29)}</a>")
    line = 'click(<p package="shop" class="TextView" clickable="true"{}> Add </p>)'
    late = [line.format(f' bounds="[0,{y}][40,{y + 9}]"') for y in (0, 20)]
    change(copy, "all_action_id", lambda held: held.update({late[0]: 901, late[1]: 902, line.format(""): 900}))

    def ids(*listed):
        change(copy, "all_page_actions", lambda held: held["data"][0].update(action_valid=listed))
        graph = read_app_graph(copy)
        return [graph.action_id(graph.page(name), Click((0, y, 40, y + 9), "Add")) for y in (0, 20)]

    assert ids(901, 902) == [901, 902]
    assert ids(902, 901) == [901, 902]
    assert ids(900) == [900, 900]
    assert ids(902) == [902, 902]  # execution looks for the first hit and does not know bounds


def test_swipes_name_containers(graph):
    """[1,10][40,47]: middle (20, 28), quarters 39 // 4 = 9 and 37 // 4 = 9."""
    home = graph.page(graph.root)
    number = graph.action_id(home, Scroll((1, 10, 40, 47), "left"))
    assert graph.raw_actions[number] == "scroll(([29, 28], [11, 28]))"


def test_distances_and_shortest_paths_agree(graph):
    paths = shortest_paths(graph, graph.root)
    assert list(map(len, paths.values())) == [0, 1, 1, 1]
    for goal, steps in paths.items():
        assert distances(graph, goal)[graph.root] == len(steps)
        here = graph.root
        for step in steps:
            assert step.page == here
            here = graph.outcome(here, graph.action_id(graph.page(here), step.action))
            assert step.after == here
        assert here == goal
    advert = next(name for name in graph.unique_pages if not graph.valid[name])
    assert set(distances(graph, graph.root)) == set(graph.unique_pages) - {advert}


@pytest.mark.parametrize("app", "abcdefgh")
def test_of_equally_near_pages_the_first_counts(app):
    """Labels 2345 share three of five with 1234 and with 3456, which share two of six; the root has none of them."""
    walk = Walk()
    for name, labels in ((f"{app}0", "xyz"), (f"{app}0_1", "1234"), (f"{app}0_2", "3456"), (f"{app}0_3", "2345")):
        xml = "".join(f'<TextView text="{label}" bounds="[0,0][9,9]"/>' for label in labels)
        walk.add(name, None, Page(name, Image.new("RGB", (9, 9)), f"<a>{xml}</a>"))
    assert list(walk.unique_of.values()) == [f"{app}0", f"{app}0_1", f"{app}0_2", f"{app}0_1"]


def test_an_app_that_never_ends(tmp_path, monkeypatch):
    class Endless(Shop):
        def screen(self, state):
            xml = f'<a><Button package="p" clickable="true" text="{state}" bounds="[0,0][9,9]"/></a>'
            return SimpleNamespace(image=Image.new("RGB", (9, 9)), xml=xml)

        def act(self, state, action):
            return state + "x"

    monkeypatch.setattr("setaria.datasets_builders.gui.mobile3m_writer.MOST_PAGES", 20)
    with pytest.raises(ValueError, match=r"店铺2\.0: more than 20 pages"):
        write_app_graph(Endless(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_pages(tmp_path):
    """5000 pages are read in 0.05 s and held in 3 MB, as measured; no page is opened, none of their files exists."""
    names = large_tree(tmp_path, 5000)
    tracemalloc.start()
    start = time.perf_counter()
    graph = read_app_graph(tmp_path)
    seconds = time.perf_counter() - start
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(graph.pages) == len(names) >= 5000
    assert seconds < 3
    assert held < 20e6
    start = time.perf_counter()
    assert distances(graph, names[-1])["big0"] == names[-1].count("_")
    assert time.perf_counter() - start < 3


def test_only_the_last_pages_are_kept(tmp_path):
    names = large_tree(tmp_path, 500)
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}-xml.txt").write_text("<a/>")
        (tmp_path / name / f"{name}-screen.png").write_bytes(b"")
    graph = read_app_graph(tmp_path)
    first = graph.page(names[0])
    assert graph.page(names[0]) is first
    alone = sys.getrefcount(first)
    for name in names[1:PAGES_KEPT]:
        graph.page(name)
    assert sys.getrefcount(first) == alone
    graph.page(names[PAGES_KEPT])
    assert sys.getrefcount(first) == alone - 1
    assert graph.page(names[0]) is not first

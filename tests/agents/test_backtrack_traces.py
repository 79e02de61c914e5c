"""Trace folders: what is written, what a kill leaves behind, and lines that are no episode."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scripted_agents import Rooms, Script, go, play_one, said

from setaria.agents.backtrack.traces import TraceFolder, read_traces
from setaria.datasets_builders.gui.pages import Page


def episode(name, **fields):
    return {"episode": name, "steps": [], "end": {"reason": "complete"}, **fields}


def names(folder):
    return [one["episode"] for one in read_traces(folder)]


texts = st.text(st.characters(), max_size=20)


@given(st.lists(texts, min_size=1, max_size=4))
def test_any_text_is_read_as_it_was_written(tmp_path_factory, replies):
    """Lone surrogates, which an endpoint's JSON may hold, and line separators too; each episode is one line."""
    folder = tmp_path_factory.mktemp("run")
    trace = TraceFolder(folder)
    for reply in replies:
        trace.add(episode(reply, reply=reply))
    # Two surrogates that stand beside each other are read as the one character that they make.
    joined = [reply.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") for reply in replies]
    assert [one["reply"] for one in read_traces(folder)] == joined
    assert trace.finished() == set(joined)
    assert trace.file.read_bytes().count(b"\n") == len(replies)
    trace.file.read_text("utf-8")


def test_what_a_line_looks_like(tmp_path):
    trace = TraceFolder(tmp_path)
    trace.add(episode("店铺", reply="\\u\ud800\u2028"))
    line = '{"episode": "店铺", "steps": [], "end": {"reason": "complete"}, "reply": "\\\\u\\ud800\u2028"}\n'
    assert trace.file.read_bytes() == line.encode()


def test_a_reply_with_a_lone_surrogate_does_not_end_the_run(tmp_path):
    replies = ["\ud800", *["click(<ref>\udfff</ref>)"] * 3]
    written = play_one(tmp_path, Script(replies[:1], reflector=replies[1:]), Rooms())
    assert [attempt["reply"] for attempt in written["steps"][0]["attempts"]] == replies
    assert written["end"]["reason"].startswith("no action")


@given(st.integers(0, 10**6))
def test_a_line_that_was_cut_off_is_dropped(tmp_path_factory, cut):
    """Wherever the file ends, the whole lines stay and the next episode begins a new one."""
    folder = tmp_path_factory.mktemp("run")
    trace = TraceFolder(folder)
    for number in range(3):
        trace.add(episode(f"店铺 {number}", text="x" * 9 * number))
    whole = trace.file.read_bytes()
    cut %= len(whole) + 1
    trace.file.write_bytes(whole[:cut])
    again = TraceFolder(folder)
    left = [f"店铺 {number}" for number in range(whole[:cut].count(b"\n"))]
    assert again.finished() == set(left)
    again.add(episode("next"))
    assert names(folder) == [*left, "next"]


def test_an_empty_folder(tmp_path):
    trace = TraceFolder(tmp_path / "deep" / "run")
    assert trace.finished() == set()
    with pytest.raises(FileNotFoundError):
        list(read_traces(trace.folder))
    trace.file.touch()
    assert TraceFolder(trace.folder).finished() == set() and names(trace.folder) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{'episode': 1}", "no episode"),
        (b'{"episode": "b", "steps": [', "no episode"),
        (b'{"episode": "\xff", "steps": [], "end": {}}', "no episode .*utf-8"),
        (b"[" * 100_000, "no episode"),
        (b"[]", "episode, steps and end are expected"),
        (b"null", "episode, steps and end are expected"),
        (b'{"episode": "b", "steps": []}', "episode, steps and end are expected"),
        (b"", "no episode"),
    ],
)
def test_lines_that_are_no_episode(tmp_path, line, why):
    """The ones before can be read; the error names file and line."""
    trace = TraceFolder(tmp_path)
    trace.add(episode("a"))
    with trace.file.open("ab") as file:
        file.write(line + b"\n")
    reading = read_traces(tmp_path)
    assert next(reading)["episode"] == "a"
    with pytest.raises(ValueError, match=rf"episodes\.jsonl:2: .*{why}"):
        next(reading)
    with pytest.raises(ValueError, match=r"episodes\.jsonl:2"):
        trace.finished()


def test_a_screenshot_is_written_once(tmp_path):
    trace = TraceFolder(tmp_path)
    red, again, blue = (Page(name, Image.new("RGB", (4, 6), name)) for name in ("red", "#ff0000", "blue"))
    first, second, third = (trace.page(page) for page in (red, again, blue))
    assert (first["id"], second["id"], first["size"]) == ("red", "#ff0000", [4, 6])
    assert first["screen"] == second["screen"] != third["screen"]
    assert len(list((tmp_path / "screens").iterdir())) == 2
    with Image.open(tmp_path / first["screen"]) as image:
        assert (image.size, image.getpixel((0, 0))) == ((4, 6), (255, 0, 0))
    stamp = (tmp_path / first["screen"]).stat().st_mtime_ns
    TraceFolder(tmp_path).page(red)
    assert (tmp_path / first["screen"]).stat().st_mtime_ns == stamp


def test_screens_of_other_sizes_are_other_screens(tmp_path):
    """The same bytes, 24 white pixels."""
    trace = TraceFolder(tmp_path)
    for size in ((4, 6), (6, 4), (2, 12)):
        with Image.open(tmp_path / trace.page(Page("white", Image.new("RGB", size, "white")))["screen"]) as image:
            assert image.size == size


def test_a_kill_while_a_screenshot_is_written(tmp_path, monkeypatch):
    """Half of it is there; the next run writes it anew."""
    page = Page("red", Image.new("RGB", (40, 60), "red"))
    save = Image.Image.save

    def killed(image, file, *arguments):
        save(image, file, *arguments)
        file.write_bytes(file.read_bytes()[:50])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            TraceFolder(tmp_path).page(page)
    with Image.open(tmp_path / TraceFolder(tmp_path).page(page)["screen"]) as image:
        assert image.convert("RGB").tobytes() == page.image.tobytes()
    assert len(list((tmp_path / "screens").iterdir())) == 1


def test_screens_are_there_when_an_episode_is(tmp_path):
    """Every page that a trace names has its screenshot: of steps, outcomes and the end."""
    written = play_one(tmp_path, Script([said(go("garden"))], [0.0], [said(go("kitchen"))]), Rooms(), steps=2)
    pages = [written["end"]["page"], *(step["page"] for step in written["steps"])]
    pages += [attempt["outcome"]["page"] for step in written["steps"] for attempt in step["attempts"]]
    assert {page["id"] for page in pages} == {"hall", "garden", "kitchen"}
    assert all((tmp_path / "run-0" / page["screen"]).is_file() for page in pages)
    assert json.dumps(written)

"""Answers that are kept: nothing is asked twice, also after an interruption."""

import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makar_chats import ScriptedChat, Silent
from PIL import Image

from setaria.agents.makar.recorded_chat import Question, RecordingChat, prompt_hash, read_replies


def said(text, image=None):
    shown = [] if image is None else [{"type": "image", "image": image}]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]


QUESTIONS = [Question(f"t{number}", said(f"q{number}"), sample) for number in range(3) for sample in range(2)]
ANSWERS = [f"a{number}" for number in range(6)]


def test_an_interrupted_run_asks_the_rest(tmp_path):
    file = tmp_path / "new" / "replies.jsonl"
    dying = ScriptedChat(ANSWERS[:4], dies_at=2)
    with pytest.raises(ConnectionError, match="unplugged"):
        RecordingChat(dying, "m", file, batch=2).replies(QUESTIONS)
    assert dying.calls == [2, 2] and len(read_replies(file)) == 4
    rest = ScriptedChat(ANSWERS[4:])
    chat = RecordingChat(rest, "m", file, batch=5)
    assert chat.replies(QUESTIONS) == ANSWERS
    assert chat.replies(QUESTIONS[::-1]) == ANSWERS[::-1]
    assert rest.calls == [2] and rest.asked == [question.conversation for question in QUESTIONS[4:]]
    assert RecordingChat(Silent(), "m", file).replies(QUESTIONS) == ANSWERS


def test_a_kill_in_the_middle_of_a_line(tmp_path):
    file = tmp_path / "replies.jsonl"
    RecordingChat(ScriptedChat(ANSWERS), "m", file).replies(QUESTIONS)
    file.write_bytes(file.read_bytes()[:-9])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        again = ScriptedChat(["a5 again"])
        assert RecordingChat(again, "m", file).replies(QUESTIONS) == [*ANSWERS[:5], "a5 again"]
    assert len(warned) == 1 and again.calls == [1]
    assert len(read_replies(file)) == 6


@given(st.data())
def test_a_kill_anywhere_asks_for_what_is_not_whole(data):
    """Of a file that is cut at any byte the whole lines count, also a last one without its line break."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "replies.jsonl"
        RecordingChat(ScriptedChat(ANSWERS), "m", file).replies(QUESTIONS)
        content = file.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
        whole = sum(end <= cut for end in ends)
        file.write_bytes(content[:cut])
        again = ScriptedChat(ANSWERS[whole:])
        assert RecordingChat(again, "m", file).replies(QUESTIONS) == ANSWERS
        assert sum(again.calls) == len(ANSWERS) - whole
        assert file.read_bytes() == content


def test_what_makes_another_question(tmp_path):
    file = tmp_path / "replies.jsonl"
    red, blue = Image.new("RGB", (4, 2), "red"), Image.new("RGB", (4, 2), "blue")
    questions = [
        Question("t", said("q")),
        Question("u", said("q")),
        Question("t", said("q"), 1),
        Question("t", said("q ")),
        Question("t", [*said("q"), *said("q")]),
        Question("t", [{"role": "system", "content": said("q")[0]["content"]}]),
        Question("t", said("q", red)),
        Question("t", said("q", blue)),
        Question("t", said("q", Image.new("RGB", (2, 4), "red"))),
    ]
    answers = [str(number) for number in range(len(questions))]
    model = ScriptedChat(list(answers))
    assert RecordingChat(model, "m", file).replies(questions) == answers
    assert sum(model.calls) == len(questions)
    other = ScriptedChat(["from another model"])
    assert RecordingChat(other, "m at 0.7", file).replies(questions[:1]) == ["from another model"]
    assert RecordingChat(Silent(), "m", file).replies(questions) == answers
    assert prompt_hash(said("q", red.copy())) == prompt_hash(said("q", red))


def test_images_are_told_apart_by_what_they_show():
    """A palette's numbers alone are no colours."""
    red, blue = (Image.new("RGB", (4, 2), colour).convert("P", palette=Image.Palette.ADAPTIVE) for colour in COLOURS)
    assert red.tobytes() == blue.tobytes()
    assert prompt_hash(said("q", red)) != prompt_hash(said("q", blue))
    assert prompt_hash(said("q", red)) == prompt_hash(said("q", red.convert("RGB")))


COLOURS = ("red", "blue")


def test_one_question_twice_is_asked_once(tmp_path):
    model = ScriptedChat(["a"])
    assert RecordingChat(model, "m", tmp_path / "r.jsonl").replies(QUESTIONS[:1] * 3) == ["a"] * 3
    assert model.calls == [1]


def test_any_text_is_kept(tmp_path):
    odd = 'half \ud83d of a pair\n"\u2028'
    RecordingChat(ScriptedChat([odd]), "m", tmp_path / "r.jsonl").replies(QUESTIONS[:1])
    assert RecordingChat(Silent(), "m", tmp_path / "r.jsonl").replies(QUESTIONS[:1]) == [odd]


class Mute(ScriptedChat):
    def generate(self, conversations):
        return []


def test_a_model_that_answers_too_little(tmp_path):
    with pytest.raises(ValueError, match="m gave 0 answers to 6 questions"):
        RecordingChat(Mute([]), "m", tmp_path / "r.jsonl").replies(QUESTIONS)


@pytest.mark.parametrize(("arguments", "message"), [((" ",), "name=' '"), (("m", 0), "batch=0")])
def test_settings_are_checked(tmp_path, arguments, message):
    name, *batch = arguments
    with pytest.raises(ValueError, match=message):
        RecordingChat(Silent(), name, tmp_path / "r.jsonl", *batch)


LINE = '{"id": "t", "prompt": "p", "model": "m", "sample": 0, "reply": "r"}\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE.replace("0", "true"), "sample=True"),
        (LINE.replace("0", "-1"), "sample=-1"),
        (LINE.replace('"r"', "7"), "reply=7 is no text"),
        ("[]\n", "no JSON object"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, reason):
    file = tmp_path / "r.jsonl"
    file.write_text(LINE + line)
    with pytest.raises(ValueError, match=rf"r.jsonl:2: .*{reason}"):
        RecordingChat(Silent(), "m", file)

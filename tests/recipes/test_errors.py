"""Expected errors become one line; a bug keeps its traceback."""

import errno

import pytest

from setaria.recipes.errors import one_line_errors


def line(capsys, error: Exception) -> str:
    with pytest.raises(SystemExit) as stop, one_line_errors():
        raise error
    assert stop.value.code == 1
    written = capsys.readouterr().err
    assert written.startswith("setaria: ") and written.count("\n") == 1
    return written


FULL_DISK = [
    OSError(errno.ENOSPC, "No space left on device", "out/checkpoint-3/optimizer.pt"),
    RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
    RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
]


@pytest.mark.parametrize("error", FULL_DISK, ids=["os", "position", "writer"])
def test_a_full_disk_says_how_to_go_on(capsys, error):
    written = line(capsys, error)
    assert "the disk is full" in written
    assert "--resume_from_checkpoint last" in written


def test_messages_of_many_lines_become_one(capsys):
    assert "beta=0 is\nnot".replace("\n", " ") in line(capsys, ValueError("beta=0 is\nnot allowed"))


def test_a_rank_is_named(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert line(capsys, ValueError("odd")).startswith("setaria: rank 1: odd")


def test_bugs_and_traceback_mode_keep_the_traceback(monkeypatch):
    with pytest.raises(KeyError), one_line_errors():
        raise KeyError("bug")
    monkeypatch.setenv("SETARIA_TRACEBACK", "1")
    with pytest.raises(ValueError), one_line_errors():
        raise ValueError("expected")

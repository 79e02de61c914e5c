"""The command itself: fast, lazy, and clear about what it does not know."""

import subprocess
import sys
import time

import pytest

from setaria.cli.main import COMMANDS, main


def test_help_is_fast_and_imports_nothing_heavy():
    program = "import sys; from setaria.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert time.perf_counter() - start < 2  # 0.06 s on an idle machine
    assert all(name in done.stdout for name in COMMANDS)
    assert not {"torch", "transformers", "yaml"} & set(done.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"setaria {command}" in capsys.readouterr().out


def test_an_unknown_command_is_named(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["tarin"])
    assert stop.value.code == 2
    assert "tarin" in capsys.readouterr().err


def test_env_names_versions_and_devices(capsys):
    assert main(["env"]) == 0
    written = capsys.readouterr().out
    for name in ("python", "torch", "trl", "torch build", "devices", "torchvision", "deepspeed", "bitsandbytes"):
        assert name in written


def test_env_warns_of_a_broken_torchvision(capsys, monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["env"]) == 1
    assert "pip uninstall torchvision (operator torchvision::nms does not exist)" in capsys.readouterr().out

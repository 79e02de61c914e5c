"""Shared by all tests: one torch thread, tiny models on disk, and the optional real data."""

import json
import os
import shutil
from pathlib import Path

import hypothesis
import pytest
import torch


# Triton's first import, which trl does, settles whether kernels are compiled or interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
torch.set_num_threads(1)
hypothesis.settings.register_profile("setaria", deadline=None, max_examples=50)
hypothesis.settings.load_profile("setaria")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data files, for tests that are skipped without it."""
    folder = os.environ.get("SETARIA_DATA")
    if not folder:
        pytest.skip("SETARIA_DATA is not set: it names a folder with real data files, which this test reads")
    if not Path(folder).is_dir():
        pytest.skip(f"SETARIA_DATA={folder} is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A tiny Llama with its byte tokenizer, saved as a checkpoint folder."""
    from setaria.models.tiny import byte_tokenizer, tiny_llama

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_llama(tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory) -> Path:
    """32 conversational preference pairs of varying lengths, as JSON lines."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Count to {number}."}],
            "chosen": [{"role": "assistant", "content": f"yes {number} " * (1 + number % 3)}],
            "rejected": [{"role": "assistant", "content": f"no {number} " * (1 + number % 2)}],
        }
        for number in range(32)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="session")
def browser():
    """Headless Debian Chromium, driven by selenium; a test that uses it is skipped where it is not installed."""
    from selenium import webdriver

    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("chromedriver is not installed: make browser")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    quiet = ("background-networking", "component-update", "default-apps", "dev-shm-usage", "gpu", "quic", "sync")
    for flag in ("headless=new", "no-first-run", "no-sandbox", *(f"disable-{name}" for name in quiet)):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()

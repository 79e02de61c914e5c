"""Traces: what an agent did, one JSON object per episode, screenshots by reference.

RUN/episodes.jsonl         one finished episode per line
RUN/screens/<digest>.png   every screenshot once

episode   {episode, instruction, app, task, steps, end}
task      {start, goal, gold_steps}
step      {page, gold, attempts, accepted}         accepted = index of the attempt that stood, the last if all fail
attempt   {role, reply, action, error, outcome, verifier, judger, accepted, gold_match, seconds}
outcome   {page, valid, changed, reason}
page      {id, screen, size}
end       {reason, page, success, seconds}
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setaria.datasets_builders.gui.pages import Page


class TraceFolder:
    """Writes the traces of a run; episodes that are there already are not run again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "episodes.jsonl"
        self._screens = folder / "screens"
        self._screens.mkdir(parents=True, exist_ok=True)
        _drop_cut_line(self.file)

    def finished(self) -> set[str]:
        """Names of the episodes that are written."""
        return {episode["episode"] for episode in read_traces(self.folder)} if self.file.exists() else set()

    def add(self, episode: dict[str, Any]) -> None:
        """Append a finished episode; it is on the disk when this returns."""
        with self.file.open("a", encoding="utf-8", errors="backslashreplace") as file:  # lone surrogates, as JSON's
            file.write(json.dumps(episode, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def page(self, page: Page) -> dict[str, Any]:
        """A page as a trace refers to it; its screenshot is written once."""
        pixels = f"{page.size} ".encode() + page.image.tobytes()
        name = f"{hashlib.sha256(pixels).hexdigest()[:20]}.png"
        if not (self._screens / name).exists():
            draft = self._screens / f"unfinished.{os.getpid()}"  # other processes may write the same screen
            page.image.save(draft, "PNG")
            draft.replace(self._screens / name)
        return {"id": page.id, "screen": f"screens/{name}", "size": list(page.size)}


def read_traces(folder: Path) -> Iterator[dict[str, Any]]:
    """The episodes of a run, in the order in which they were finished.

    Raises:
        ValueError: naming file and line of an episode that cannot be read.
    """
    file = folder / "episodes.jsonl"
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                episode = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{file}:{number}: no episode ({error})") from None
            if not isinstance(episode, dict) or not {"episode", "steps", "end"} <= set(episode):
                raise ValueError(f"{file}:{number}: no episode: episode, steps and end are expected")
            yield episode


def _drop_cut_line(file: Path) -> None:
    """Cut off a last line that was not written to its end, as after a kill."""
    if not file.exists():
        return
    text = file.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(file, whole)

"""What can be wrong with a grounded-NER folder: the kinds, how serious each is, and how such data are read.

What is `unreadable` stops a reader. Of the rest, an `error` makes what is taught or scored wrong, a `warning` may be
meant.
"""

from dataclasses import dataclass
from pathlib import Path


UNREADABLE, ERROR, WARNING = SEVERITIES = ("unreadable", "error", "warning")

# kind: (severity, what is done with it)
KINDS = {
    "broken text": (UNREADABLE, "the readers refuse the file"),
    "broken xml": (UNREADABLE, "the readers refuse the split"),
    "malformed tags": (ERROR, "an I- that continues no entity of its type starts a new one (as in conlleval)"),
    "fine tags": (ERROR, "the coarse tags give the span, the fine tag of its first token the fine type"),
    "unknown type": (ERROR, "kept as written"),
    "orphan name": (ERROR, "no entity gets these boxes; the entity meant is read as not groundable"),
    "empty box": (ERROR, "kept as written; it overlaps nothing"),
    "box outside the image": (ERROR, "kept as written, not clipped"),
    "repeated id": (ERROR, "all of these tweets are kept"),
    "shared tweet": (ERROR, "kept in each split"),
    "missing image": (ERROR, "the tweet is kept"),
    "broken image": (ERROR, "the tweet is kept"),
    "image size": (ERROR, "boxes are kept in the pixels of the xml's size"),
    "type pair": (WARNING, "kept as written"),
    "empty tweet": (WARNING, "kept, without tokens"),
    "empty xml": (WARNING, "as if there were no xml: nothing is groundable"),
    "unused xml": (WARNING, "not read; it may belong to a split that is not here"),
    "shared text": (WARNING, "kept in each split"),
}


@dataclass(frozen=True)
class Irregularity:
    """One of them, in one place.

    Attributes:
        kind: key of `KINDS`.
        file, line: where; line 0 for the whole file.
        message: what was found, with the excerpt that shows it.
        tweet: id of the tweet; empty where there is none.
    """

    kind: str
    file: Path
    line: int
    message: str
    tweet: str = ""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is none of {', '.join(KINDS)}")

    def __str__(self):
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {f'tweet {self.tweet}: ' if self.tweet else ''}{self.message}"

    @property
    def severity(self) -> str:
        """One of `SEVERITIES`."""
        return KINDS[self.kind][0]

"""An entity that an agent proposes, with how sure it is of the span and of the type: what correction decides about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A proposed entity of a tweet.

    Attributes:
        start, end: its tokens, end not included.
        text: its tokens, joined by one space.
        type: coarse type, such as PER.
        fine: fine type, empty where none was asked for.
        reason: what was said for it, empty if nothing was.
        boundary: confidence that the span is an entity, neither longer nor shorter, in [0, 1].
        type_confidence: confidence in the type of the span, in [0, 1].
    """

    start: int
    end: int
    text: str
    type: str
    fine: str = ""
    reason: str = ""
    boundary: float = 1.0
    type_confidence: float = 1.0

    def __post_init__(self):
        if not 0 <= self.start < self.end:
            raise ValueError(f"start={self.start}, end={self.end}: 0 <= start < end is expected")
        for name in ("boundary", "type_confidence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is no number from 0 to 1")

"""A tweet with its image and its annotated entities: what every reader of this folder gives."""

from dataclasses import dataclass
from pathlib import Path

from setaria.rewards.grounded_entities import GoldEntity


@dataclass(frozen=True)
class Tweet:
    """One sample.

    Attributes:
        id: as in the data, such as `O_3437`; the image is `<id>.jpg`.
        tokens: never re-tokenised; HTML entities and emoji are as published.
        entities: in order.
        image: its file, whether or not it exists.
        size: (width, height) of the image as annotated, `None` without an annotation file.
    """

    id: str
    tokens: tuple[str, ...]
    entities: tuple[GoldEntity, ...]
    image: Path
    size: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """The tokens, joined by one space."""
        return " ".join(self.tokens)

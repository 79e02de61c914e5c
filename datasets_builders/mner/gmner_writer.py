"""Writes tweets in the layouts that `gmner` reads, as Twitter-GMNER and Twitter-FMNERG are published.

Reading gives the tweets back, but for the size of an image in which nothing is groundable, since such a tweet has no
xml file. Images are written by whoever has them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from setaria.datasets_builders.mner.bio import MARK, TAG, TWEET_ID
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER, XML, Layout
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.datasets_builders.mner.voc import CORNERS
from setaria.rewards.boxes import FARTHEST, Box


# What neither a line nor a name in xml can hold.
_UNWRITABLE = re.compile("[\0-\x1f\ud800-\udfff\ufffe\uffff]")
# The annotators' tool left such paths in the published files; no reader may choke on them.
_LEFT_OVER_PATH = "D:\\标注\\{}.jpg"


def write_gmner(tweets: Iterable[Tweet], root: Path, split: str) -> None:
    """Write `txt/<split>.txt`, and `xml/<id>.xml` of each tweet with a groundable entity; fine types are left out.

    An older xml file of a tweet in which nothing is groundable is removed.

    Raises:
        ValueError: naming the tweet and what cannot be written so: an id that is no plain file name; a token that is
            blank or has control characters; entities that overlap, are out of order or not made of the tokens; one
            surface with different boxes; boxes without a size or without finite numbers. Nothing is written then.
    """
    _write(tweets, root, split, GMNER)


def write_fmnerg(tweets: Iterable[Tweet], root: Path, split: str) -> None:
    """Write `txt_fine/<split>.txt` with coarse and fine types, and the xml files; as `write_gmner`."""
    _write(tweets, root, split, FMNERG)


def _write(tweets: Iterable[Tweet], root: Path, split: str, layout: Layout) -> None:
    if not TWEET_ID.fullmatch(split):
        raise ValueError(f"split={split!r} is no name such as train, dev or test")
    blocks: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for tweet in tweets:
        if tweet.id in blocks:
            raise ValueError(f"tweet {tweet.id}: its id is not its own")
        try:
            blocks[tweet.id] = _block(tweet, layout)
            annotations[tweet.id] = _annotation(tweet)
        except ValueError as error:
            raise ValueError(f"tweet {tweet.id!r}: {error}") from None
    (root / layout.text).mkdir(parents=True, exist_ok=True)
    (root / XML).mkdir(exist_ok=True)
    (root / layout.text / f"{split}.txt").write_bytes("".join(blocks.values()).encode())
    for tweet_id, xml in annotations.items():
        file = root / XML / f"{tweet_id}.xml"
        if xml:
            file.write_bytes(xml.encode())
        else:
            file.unlink(missing_ok=True)


def _block(tweet: Tweet, layout: Layout) -> str:
    """The lines of a tweet, the last one blank."""
    if not TWEET_ID.fullmatch(tweet.id):
        raise ValueError("no id that can be the name of a file")
    for token in tweet.tokens:
        if not token.strip() or _UNWRITABLE.search(token):
            raise ValueError(f"the token {token!r} is blank or cannot be written")
    tags = [["O"] * len(layout.columns) for _ in tweet.tokens]
    end = 0
    for entity in tweet.entities:
        if not end <= entity.start < entity.end <= len(tweet.tokens):
            raise ValueError(f"{entity.text!r} at {entity.start}:{entity.end} is out of order or out of the text")
        end = entity.end
        if entity.text != " ".join(tweet.tokens[entity.start : end]):
            raise ValueError(f"{entity.text!r} is not made of the tokens {entity.start}:{end}")
        for position in range(entity.start, end):
            prefix = "B-" if position == entity.start else "I-"
            tags[position] = [prefix + name for name in (entity.type, entity.fine)[: len(layout.columns)]]
        if not all(map(TAG.fullmatch, tags[entity.start])):
            raise ValueError(f"{entity.text!r}: {entity.type!r}, {entity.fine!r} are no types for {layout.name}")
    lines = ["\t".join((token, *row)) for token, row in zip(tweet.tokens, tags, strict=True)]
    return "".join(f"{line}\n" for line in [f"{MARK}{tweet.id}", *lines, ""])


def _annotation(tweet: Tweet) -> str:
    """The xml of a tweet; empty if nothing is groundable."""
    boxes: dict[str, tuple[Box, ...]] = {}
    for entity in tweet.entities:
        if boxes.setdefault(entity.text, entity.boxes) != entity.boxes:
            raise ValueError(f"mentions of {entity.text!r} have different boxes; the layout links boxes by surface")
    if not any(boxes.values()):
        return ""
    if tweet.size is None or min(tweet.size) < 1:
        raise ValueError(f"size={tweet.size} is no size of an image with boxes")
    root = Element("annotation")
    _leaf(root, "folder", "images")
    _leaf(root, "filename", f"{tweet.id}.jpg")
    _leaf(root, "path", _LEFT_OVER_PATH.format(tweet.id))
    _leaf(SubElement(root, "source"), "database", "Unknown")
    size = SubElement(root, "size")
    for name, value in zip(("width", "height", "depth"), (*tweet.size, 3), strict=True):
        _leaf(size, name, str(value))
    _leaf(root, "segmented", "0")
    for name, box in ((name, box) for name, several in boxes.items() for box in several):
        described = SubElement(root, "object")
        for field, text in (("name", name), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            _leaf(described, field, text)
        corners = SubElement(described, "bndbox")
        for corner, coordinate in zip(CORNERS, box, strict=True):
            _leaf(corners, corner, _number(coordinate))
    indent(root, "\t")
    return tostring(root, encoding="unicode") + "\n"


def _leaf(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text


def _number(coordinate: float) -> str:
    if not abs(coordinate) <= FARTHEST:
        raise ValueError(f"{coordinate} is no number of pixels")
    return str(int(coordinate) if coordinate == int(coordinate) else float(coordinate))

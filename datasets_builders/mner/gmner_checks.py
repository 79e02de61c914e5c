"""Every irregularity of a Twitter-GMNER or Twitter-FMNERG folder: text against itself, against the xml, against the
images, and one split against another."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from setaria.datasets_builders.mner.bio import TaggedTweet, read_spans
from setaria.datasets_builders.mner.gmner import Split
from setaria.datasets_builders.mner.irregularity import Irregularity
from setaria.datasets_builders.mner.layouts import XML, Layout
from setaria.rewards.boxes import area, clip


def find_irregularities(root: Path, splits: Mapping[str, Split], with_images: bool = True) -> list[Irregularity]:
    """All of them, in the order of splits and files.

    Args:
        root: the folder that the splits were read from.
        splits: by name, as `read_split` gives them.
        with_images: whether to look for the images too, and to compare their sizes with the xml's.
    """
    found: list[Irregularity] = []
    for split in splits.values():
        found += split.broken
        for tagged in split.tagged:
            found += _in_tags(split, tagged)
            found += _in_boxes(root, split, tagged)
        found += _repeated_ids(split)
        if with_images:
            found += _in_images(split)
    return [*found, *_shared(splits), *_unused(root, splits)]


def _in_tags(split: Split, tagged: TaggedTweet) -> Iterator[Irregularity]:
    def at(position: int, kind: str, message: str) -> Irregularity:
        return Irregularity(kind, split.file, tagged.lines[position], message, tagged.id)

    if not tagged.tokens:
        yield Irregularity("empty tweet", split.file, tagged.line, "no tokens", tagged.id)
        return
    columns = [tagged.column(number) for number in range(len(split.layout.columns))]
    for name, tags in zip(split.layout.columns, columns, strict=True):
        for position in read_spans(tags)[1]:
            before = tags[position - 1] if position else "the start"
            yield at(position, "malformed tags", f"{tags[position]!r} after {before!r} in the {name} tags")
    for start, _, coarse in read_spans(columns[0])[0]:
        fine = columns[1][start].partition("-")[2] if columns[1:] else ""
        for kind, message in _in_types(split.layout, coarse, fine):
            yield at(start, kind, message)
    if columns[1:]:
        coarse_places, fine_places = ({(start, end) for start, end, _ in read_spans(tags)[0]} for tags in columns)
        for start, end in sorted(coarse_places ^ fine_places):
            name = "coarse" if (start, end) in coarse_places else "fine"
            surface = " ".join(tagged.tokens[start:end])
            yield at(start, "fine tags", f"{surface!r} is an entity in the {name} tags alone")


def _in_types(layout: Layout, coarse: str, fine: str) -> Iterator[tuple[str, str]]:
    if coarse not in layout.types:
        yield "unknown type", f"{coarse!r} is none of {', '.join(layout.types)}"
    if fine and fine not in layout.fine_types:
        yield "unknown type", f"{fine!r} is no fine type of {layout.name}"
    elif fine and coarse in layout.types and fine not in layout.types[coarse]:
        yield "type pair", f"{fine!r} is no fine type of {coarse!r}"


def _in_boxes(root: Path, split: Split, tagged: TaggedTweet) -> Iterator[Irregularity]:
    annotation = split.annotations.get(tagged.id)
    if annotation is None:
        return
    file = root / XML / f"{tagged.id}.xml"
    if not annotation.objects:
        yield Irregularity("empty xml", file, 0, "no object", tagged.id)
    text = f" {' '.join(tagged.tokens)} "
    surfaces = {" ".join(tagged.tokens[start:end]) for start, end, _ in read_spans(tagged.column(0))[0]}
    for name, box in annotation.objects:
        if name not in surfaces:
            where = "in the text, but not as one entity" if f" {name} " in text else "not in the text"
            yield Irregularity("orphan name", file, 0, f"{name!r} is {where}", tagged.id)
        written = f"({', '.join(f'{coordinate:g}' for coordinate in box)}) of {name!r}"
        if not area(box):
            yield Irregularity("empty box", file, 0, f"{written} has no area", tagged.id)
        elif clip(box, annotation.size) != box:
            size = "{} x {}".format(*annotation.size)
            yield Irregularity("box outside the image", file, 0, f"{written} leaves the image of {size}", tagged.id)


def _repeated_ids(split: Split) -> Iterator[Irregularity]:
    first: dict[str, int] = {}
    for tagged in split.tagged:
        line = first.setdefault(tagged.id, tagged.line)
        if line != tagged.line:
            yield Irregularity("repeated id", split.file, tagged.line, f"also in line {line}", tagged.id)


def _in_images(split: Split) -> Iterator[Irregularity]:
    for tweet in split.tweets:
        if not tweet.image.is_file():
            yield Irregularity("missing image", tweet.image, 0, "no such file", tweet.id)
            continue
        try:
            with Image.open(tweet.image) as image:
                size = image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            yield Irregularity("broken image", tweet.image, 0, f"no image: {error}", tweet.id)
            continue
        if tweet.size not in (None, size):
            message = f"{size[0]} x {size[1]} pixels, {tweet.size[0]} x {tweet.size[1]} in the xml"
            yield Irregularity("image size", tweet.image, 0, message, tweet.id)


def _shared(splits: Mapping[str, Split]) -> Iterator[Irregularity]:
    """Tweets of a split that are in one before it too: by id, or by their tokens under another id."""
    ids: dict[str, str] = {}
    texts: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, split in splits.items():
        for tagged in split.tagged:
            tokens = tuple(tagged.tokens)
            other, twin = texts.setdefault(tokens, (name, tagged.id))
            if ids.setdefault(tagged.id, name) != name:
                message = f"also in {splits[ids[tagged.id]].file.name}"
                yield Irregularity("shared tweet", split.file, tagged.line, message, tagged.id)
            elif tokens and other != name:
                message = f"the same tokens as tweet {twin} of {splits[other].file.name}"
                yield Irregularity("shared text", split.file, tagged.line, message, tagged.id)


def _unused(root: Path, splits: Mapping[str, Split]) -> Iterator[Irregularity]:
    used = {tagged.id for split in splits.values() for tagged in split.tagged}
    for file in sorted((root / XML).glob("*.xml")):
        if file.stem not in used:
            yield Irregularity("unused xml", file.parent, 0, f"{file.name!r} is of no tweet of these splits")

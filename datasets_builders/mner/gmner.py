"""Readers of Twitter-GMNER and Twitter-FMNERG: tagged text, linked to boxes by the surface of each entity.

    <root>/txt/<split>.txt or <root>/txt_fine/<split>.txt    see `bio`
    <root>/xml/<id>.xml                                      see `voc`; only for tweets with a groundable entity
    <root>/images/<id>.jpg, or another folder                not looked at here

An entity has the boxes of all objects whose name is its tokens, joined by one space. Mentions of one surface in a
tweet share them. An entity without an object, and all entities of a tweet without a file, cannot be seen in the image.
"""

from dataclasses import dataclass
from pathlib import Path

from setaria.datasets_builders.mner.bio import TWEET_ID, TaggedTweet, read_spans, read_tagged
from setaria.datasets_builders.mner.irregularity import Irregularity
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER, IMAGES, XML, Layout
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.datasets_builders.mner.voc import Annotation, read_annotation
from setaria.rewards.grounded_entities import GoldEntity


@dataclass(frozen=True)
class Split:
    """All that the files of a split say.

    Attributes:
        layout, file: how it was read, and its text file.
        tweets: with their entities linked to boxes.
        tagged: the same tweets, as written in the text file.
        annotations: of the tweets that have an xml file, by id; `None` for one that cannot be read.
        broken: what cannot be read, and is in none of the others.
    """

    layout: Layout
    file: Path
    tweets: list[Tweet]
    tagged: list[TaggedTweet]
    annotations: dict[str, Annotation | None]
    broken: list[Irregularity]


def read_gmner(root: Path, split: str, images: Path | None = None) -> list[Tweet]:
    """Tweets of Twitter-GMNER (v2.0), in order, those without entities and without images included.

    Args:
        root: folder with `txt/` and `xml/`.
        split: train, dev or test.
        images: folder with `<id>.jpg`, possibly in subfolders such as `twitter2015_images`; default: `<root>/images`.

    Raises:
        ValueError: naming file and line or field, for what cannot be read. Other irregularities, which
            `find_irregularities` lists, are read in the way that `irregularity.KINDS` says.
        OSError: for a file or folder that is not there.
    """
    return _readable(read_split(root, split, GMNER, images))


def read_fmnerg(root: Path, split: str, images: Path | None = None) -> list[Tweet]:
    """Tweets of Twitter-FMNERG with coarse and fine types; as `read_gmner`, but `root` has `txt_fine/` and `xml/`."""
    return _readable(read_split(root, split, FMNERG, images))


def read_split(root: Path, split: str, layout: Layout, images: Path | None = None) -> Split:
    """A split with all that is wrong in its files.

    Raises:
        ValueError: for a `split` that is no name of a file.
        OSError: if the text file or the folder of xml files is not there (without it nothing would be groundable).
    """
    if not TWEET_ID.fullmatch(split):
        raise ValueError(f"split={split!r} is no name such as train, dev or test")
    file, folder = root / layout.text / f"{split}.txt", root / XML
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; the boxes of {layout.name} are read from it")
    tagged, broken = read_tagged(file, len(layout.columns))
    places = _image_folders(root / IMAGES if images is None else images)
    annotations: dict[str, Annotation | None] = {}
    for tweet in tagged:
        xml = folder / f"{tweet.id}.xml"
        if tweet.id in annotations or not xml.is_file():
            continue
        try:
            annotations[tweet.id] = read_annotation(xml)
        except (ValueError, OSError) as error:
            annotations[tweet.id] = None
            message = str(error).removeprefix(f"{xml}: ")
            broken.append(Irregularity("broken xml", xml, 0, message, tweet.id))
    tweets = [_tweet(tweet, annotations.get(tweet.id), places) for tweet in tagged]
    return Split(layout, file, tweets, tagged, annotations, broken)


def _tweet(tagged: TaggedTweet, annotation: Annotation | None, places: list[Path]) -> Tweet:
    entities = []
    fine = tagged.column(1) if tagged.tags and len(tagged.tags[0]) > 1 else [""] * len(tagged.tokens)
    for start, end, entity_type in read_spans(tagged.column(0))[0]:
        surface = " ".join(tagged.tokens[start:end])
        boxes = annotation.boxes(surface) if annotation else ()
        entities.append(GoldEntity(start, end, surface, entity_type, fine[start].partition("-")[2], boxes))
    images = [place / f"{tagged.id}.jpg" for place in places]
    image = next((image for image in images if image.is_file()), images[0])
    return Tweet(tagged.id, tuple(tagged.tokens), tuple(entities), image, annotation.size if annotation else None)


def _image_folders(images: Path) -> list[Path]:
    """The folder, then its subfolders."""
    return [images, *sorted(images.glob("*/"))]


def _readable(split: Split) -> list[Tweet]:
    if split.broken:
        rest = f" (and {len(split.broken) - 1} more: setaria check lists them)" if split.broken[1:] else ""
        raise ValueError(f"{split.broken[0]}{rest}")
    return split.tweets

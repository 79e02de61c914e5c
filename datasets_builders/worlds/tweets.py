"""The tweets world: seeded tweets with images in Twitter-GMNER's layout, and an offline web that explains their names.

    txt/<split>.txt, xml/<id>.xml, images/<id>.jpg    as published; splits are train, dev and test
    pages.jsonl    {"title", "url", "text"}: the offline web
    known.jsonl    {"name", "type", "look"}: what a knowledge base knows, the common names; for training
    facts.jsonl    every name with its type and look, and the pages that explain or mislead; for evaluation only

Two in three mentions are of common names, the others of long-tail names, which belong to one split and whose type and
look only pages tell. For many common names the web knows a namesake alone, so whoever always searches is misled. An
ambiguous name is resolved by the words of its tweet, or by the image, which then shows one of its two looks. What is
mentioned and not shown has its look nowhere in the image, but things much like it stand there. Layouts of images are
held out as well. How often all this happens follows Twitter-GMNER where it has numbers; the rest is our choice.
"""

import itertools
import json
import math
import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from setaria.datasets_builders.mner.gmner_writer import write_gmner
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.datasets_builders.worlds.tweet_images import GRID, GROUNDS, Scene, Thing
from setaria.datasets_builders.worlds.tweet_names import (
    MEANINGS,
    TYPE_WEIGHTS,
    Meaning,
    Name,
    common_names,
    invent,
    long_tail_names,
)
from setaria.datasets_builders.worlds.tweet_texts import Page, write_pages, write_text
from setaria.rewards.boxes import iou
from setaria.rewards.grounded_entities import GoldEntity


SPLITS = ("train", "dev", "test")
ENTITIES = (5.5, 44.5, 38, 12)  # weights of tweets with 0 to 3 names
LONG_TAIL = 0.35  # of the mentions
TOLD = 0.5  # of the mentions whose type the words may tell
# An entity is groundable: the only one of its tweet by its type; of several at least one in so many tweets, and more.
SEEN_ALONE = {"PER": 0.65, "LOC": 0.2, "ORG": 0.4, "OTHER": 0.4}
SEEN_OF_SEVERAL = {2: 0.7, 3: 0.8}
SEEN_TOO = 0.17
SEVERAL = 0.07  # of the groundable ones are there twice
THINGS_WITH_SEEN = (0, 60, 28, 12)  # weights of images with 0 to 3 things
THINGS_WITHOUT_SEEN = (12, 43, 30, 15)
DECOYS, NEAR_MISSES = 0.4, 0.4  # of the things that no entity is: another meaning of a name; its type or its colour
# Width by height of a thing by type; and the root of a thing's share of the image, by how many there are.
ASPECTS = {"PER": 0.7, "LOC": 0.65, "ORG": 1.0, "OTHER": 1.6}
SHARES = {1: (0.46, 0.7), 2: (0.36, 0.54), 3: (0.28, 0.42)}
HELD_OUT_LAYOUTS = 4  # one in so many is for dev and test
SIZES = {
    **{(320, 240): 3, (240, 320): 3, (256, 256): 2, (416, 304): 4, (288, 384): 3},  # a side below 320
    **{(400, 400): 8, (480, 384): 8, (512, 400): 8, (384, 512): 8, (576, 432): 8, (512, 512): 6},
    **{(640, 480): 16, (608, 608): 8, (480, 640): 8, (768, 512): 8, (1024, 768): 2},  # above 262144 pixels
}
IDS = ("{}", "O_{}", "16_05_20_{}", "17_06_{}")


@dataclass(frozen=True)
class Mention:
    """A name in a tweet: what it stands for, whether the image shows it, and whether the words tell its type."""

    name: Name
    meaning: Meaning
    seen: bool = False
    told: bool = False


@dataclass(frozen=True)
class Post:
    """A tweet that is not written yet; `spans` are (number of the mention, start, end) in the order of the text."""

    id: str
    tokens: tuple[str, ...]
    spans: tuple[tuple[int, int, int], ...]
    mentions: tuple[Mention, ...]
    scene: Scene

    def tweet(self, root: Path) -> Tweet:
        """The tweet as it is read from `root`."""
        entities = []
        for number, start, end in self.spans:
            meaning = self.mentions[number].meaning
            boxes = tuple(self.scene.pixels(thing) for thing in self.scene.things if thing.meaning == meaning)
            entities.append(GoldEntity(start, end, " ".join(self.tokens[start:end]), meaning.type, boxes=boxes))
        annotated = any(entity.boxes for entity in entities)
        image = root / "images" / f"{self.id}.jpg"
        return Tweet(self.id, self.tokens, tuple(entities), image, self.scene.size if annotated else None)


@dataclass(frozen=True)
class World:
    """All of it, in memory: names, tweets by split, pages."""

    names: tuple[Name, ...]
    posts: dict[str, list[Post]]
    pages: list[Page]

    @property
    def known(self) -> list[dict]:
        """What a knowledge base knows: a row for each meaning of a common name."""
        return [_row(name, meaning) for name in self.names if not name.long_tail for meaning in name.meanings]

    @property
    def facts(self) -> list[dict]:
        """All that is to be known, a row for each meaning of a name: for evaluation only.

        `split` is the only split that mentions the name, empty for a common one; `pages` and `misleading` are the
        addresses of the pages on this meaning and on a namesake.
        """
        pages: dict[tuple[str, Meaning], list[str]] = {}
        for page in self.pages:
            if page.about:
                pages.setdefault(page.about, []).append(page.url)
        return [
            {
                **_row(name, meaning),
                "long_tail": name.long_tail,
                "ambiguous": name.ambiguous,
                "split": name.split,
                "pages": pages.get((name.text, meaning), []),
                "misleading": pages.get((name.text, name.namesake), []) if name.namesake else [],
            }
            for name in self.names
            for meaning in name.meanings
        ]


def write_tweets_world(root: Path, train: int, dev: int, test: int, seed: int = 0) -> None:
    """Write the world into the new or empty folder `root`; see `draw_world` and the layout above.

    Raises:
        FileExistsError: if there is anything in `root`, which would be taken for a part of the world.
    """
    world = draw_world(train, dev, test, seed)
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty")
    (root / "images").mkdir(parents=True)
    for split, posts in world.posts.items():
        write_gmner((post.tweet(root) for post in posts), root, split)
        for post in posts:
            post.scene.draw().save(root / "images" / f"{post.id}.jpg", quality=90)
    pages = ({"title": page.title, "url": page.url, "text": page.text} for page in world.pages)
    _write_lines(root / "pages.jsonl", pages)
    _write_lines(root / "known.jsonl", world.known)
    _write_lines(root / "facts.jsonl", world.facts)


def draw_world(train: int, dev: int, test: int, seed: int = 0) -> World:
    """The world with so many tweets in each split. Tweets of dev and test are the same whatever `train` is.

    Raises:
        ValueError: if a split has no tweets, or all have so many that the names do not suffice.
    """
    counts = {"test": test, "dev": dev, "train": train}
    for split, count in counts.items():
        if count < 1:
            raise ValueError(f"{split}={count}: at least 1 tweet is expected")
    rng = random.Random(f"{seed} names")
    texts = invent(rng)
    common = common_names(texts, rng)
    names, posts = list(common), {}
    taken: set[tuple[str, ...] | int] = set()
    for split, count in counts.items():
        rare = long_tail_names(texts, rng, split, count)
        names += rare
        posts[split] = _draw_posts(common, rare, count, split, random.Random(f"{seed} {split}"), taken)
    pages = write_pages(names, random.Random(f"{seed} pages"))
    return World(tuple(names), {split: posts[split] for split in SPLITS}, pages)


def layout_of(scene: Scene) -> str:
    """Ground and places of things, to an eighth of the image: what train and the other splits do not share."""
    places = sorted(((x1 + x2) // 4, (y1 + y2) // 4) for x1, y1, x2, y2 in (thing.box for thing in scene.things))
    return f"{scene.ground} {places}"


def _draw_posts(
    common: list[Name],
    rare: list[Name],
    count: int,
    split: str,
    rng: random.Random,
    taken: set[tuple[str, ...] | int],
) -> list[Post]:
    """Tweets of one split; neither their ids nor their texts are in `taken`, to which they are added."""
    posts: list[Post] = []
    while len(posts) < count:
        mentions = _draw_mentions(common, rare, rng)
        scene = _draw_scene(mentions, split != "train", rng)
        told = [mention.meaning.type if mention.told else "" for mention in mentions]
        tokens, spans = write_text([mention.name.text for mention in mentions], told, rng)
        number = rng.randrange(1000, 2_000_000)
        if tokens not in taken and number not in taken:
            taken |= {tokens, number}
            posts.append(Post(rng.choice(IDS).format(number), tokens, tuple(spans), tuple(mentions), scene))
    return posts


def _draw_mentions(common: list[Name], rare: list[Name], rng: random.Random) -> list[Mention]:
    """The names of a tweet, no two of one look, at most one ambiguous; what is shown of them and what is told."""
    count = rng.choices(range(len(ENTITIES)), ENTITIES)[0]
    while True:
        names = [_draw_name(common, rare, rng) for _ in range(count)]
        looks = [meaning for name in names for meaning in name.meanings]
        if len(set(looks)) == len(looks) and sum(name.ambiguous for name in names) < 2:
            break
    mentions = [Mention(name, rng.choice(name.meanings)) for name in names]
    if count:
        weights = [SEEN_ALONE[mention.meaning.type] for mention in mentions]
        if rng.random() < (weights[0] if count == 1 else SEEN_OF_SEVERAL[count]):
            first = rng.choices(range(count), weights)[0]
            mentions = [
                replace(mention, seen=number == first or rng.random() < SEEN_TOO)
                for number, mention in enumerate(mentions)
            ]
    told = [mention.name.ambiguous and (not mention.seen or rng.random() < TOLD) for mention in mentions]
    for number, name in enumerate(names):
        if not (name.ambiguous or name.long_tail) and (count < 3 or not any(told)):
            told[number] = rng.random() < TOLD
    return [replace(mention, told=tells) for mention, tells in zip(mentions, told, strict=True)]


def _draw_name(common: list[Name], rare: list[Name], rng: random.Random) -> Name:
    if rng.random() < LONG_TAIL:
        return rng.choice(rare)
    entity_type = rng.choices(list(TYPE_WEIGHTS), list(TYPE_WEIGHTS.values()))[0]
    return rng.choice([name for name in common if name.meanings[0].type == entity_type])


def _draw_scene(mentions: list[Mention], held_out: bool, rng: random.Random) -> Scene:
    """An image for a tweet, in one of the layouts that are, or are not, held out."""
    shown = [mention.meaning for mention in mentions if mention.seen]
    shown += [meaning for meaning in shown if rng.random() < SEVERAL][: 3 - len(shown)]
    count = rng.choices(range(4), THINGS_WITH_SEEN if shown else THINGS_WITHOUT_SEEN)[0]
    while len(shown) < count:
        shown.append(_draw_bystander(mentions, shown, rng))
    (size,) = rng.choices(list(SIZES), list(SIZES.values()))
    while True:
        scene = Scene(size, rng.choice(list(GROUNDS)), _place(shown, size, rng), rng.getrandbits(32))
        if not shown or (zlib.crc32(layout_of(scene).encode()) % HELD_OUT_LAYOUTS == 0) == held_out:
            return scene


def _draw_bystander(mentions: list[Mention], shown: list[Meaning], rng: random.Random) -> Meaning:
    """Something that no entity of the tweet is, and that does not leave open what an ambiguous name stands for."""
    used = {*shown, *(mention.meaning for mention in mentions)}
    used |= {meaning for mention in mentions if not mention.told for meaning in mention.name.meanings}
    free = [meaning for meaning in MEANINGS if meaning not in used]
    other = {meaning for mention in mentions for meaning in (*mention.name.meanings, mention.name.namesake)}
    decoys = [meaning for meaning in free if meaning in other]
    near = [
        meaning
        for meaning in free
        if any(meaning.type == one.meaning.type or meaning.colour == one.meaning.colour for one in mentions)
    ]
    chance = rng.random()
    if chance < DECOYS and decoys:
        return rng.choice(decoys)
    return rng.choice(near if near and chance < DECOYS + NEAR_MISSES else free)


def _place(meanings: list[Meaning], size: tuple[int, int], rng: random.Random) -> tuple[Thing, ...]:
    """Places with a gap between any two; people, towers and cars stand on the ground, logos hang above it.

    Everything becomes smaller with each try, so that in the end it fits.
    """
    for scale in (0.99**number for number in itertools.count()):
        things: list[Thing] = []
        for meaning in meanings:
            root = scale * rng.uniform(*SHARES[len(meanings)])
            slant = math.sqrt(ASPECTS[meaning.type] * size[1] / size[0])
            wide, high = (min(max(round(GRID * root * side), 3), 12) for side in (slant, 1 / slant))
            left = rng.randint(0, GRID - wide)
            top = rng.randint(0, 12 - high) if meaning.type == "ORG" else rng.randint(max(11 - high, 0), GRID - high)
            things.append(Thing(meaning, (left, top, left + wide, top + high)))
        boxes = [(x1, y1, x2 + 1, y2 + 1) for x1, y1, x2, y2 in (thing.box for thing in things)]
        if not any(iou(box, other) for number, box in enumerate(boxes) for other in boxes[:number]):
            break
    return tuple(things)


def _row(name: Name, meaning: Meaning) -> dict:
    return {"name": name.text, "type": meaning.type, "look": meaning.look}


def _write_lines(file: Path, rows: Iterable[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

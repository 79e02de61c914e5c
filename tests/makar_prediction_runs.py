"""A made-up run of MAKAR: five tweets with all that can be right and wrong, and hostile texts."""

import json
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from setaria.agents.makar.correction import Lookup
from setaria.agents.makar.predictions import Found, Mark, Prediction, prediction_line
from setaria.agents.makar.search import Hit
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


EVIL = "</pre></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
LONG = "W" * 10_000
LEFT, RIGHT = (10.0, 20.0, 110.0, 180.0), (200.0, 20.0, 300.0, 180.0)


def gold(start: int, text: str, type_: str, *boxes, fine: str = "") -> GoldEntity:
    return GoldEntity(start, start + len(text.split()), text, type_, fine, boxes)


def found(start: int, text: str, type_: str, box=None, **changes) -> Found:
    return Found(start, start + len(text.split()), text, type_, box=box, **changes)


def tweet(name: str, words: str, golds=(), said=(), **changes) -> Prediction:
    values = {"image": f"{name}.jpg", "size": (400, 200), **changes}
    return Prediction(name, tuple(words.split()), gold=tuple(golds), predicted=tuple(said), **values)


def asked(name: str, *hits: Hit, **changes) -> Lookup:
    return Lookup(name, f"{name} Brno", False, hits, **changes)


def made_up() -> list[Prediction]:
    """Tweets: all right; wrong type and box; a None error, a missed and a spurious one; nothing; hostile texts."""
    web = Hit("Lena's page", "https://example.org/lena?a=1&b=2", "A singer.", "searxng", "2025-11-26")
    corpus = Hit("Lena", "page 7", "Also a singer.", "corpus")
    sure = {"boundary": 0.5, "type_confidence": 1.0, "thought": "the woman on the left", "known": "a singer"}
    lena = found(1, "Lena Okoye", "PER", (10.0, 20.0, 110.0, 172.0), reply="<think>left</think>", **sure)
    return [
        tweet(
            "right",
            "RT Lena Okoye in Brno",
            [gold(1, "Lena Okoye", "PER", RIGHT, LEFT), gold(4, "Brno", "LOC")],
            [lena, found(4, "Brno", "LOC")],
            before=(PredictedEntity(1, 3, "Lena Okoye", "ORG"), PredictedEntity(4, 5, "Brno", "LOC")),
            confidence=0.4,
            corrected=True,
            knowledge="Named entities: 1. Lena Okoye",
            lookups=(asked("lena okoye", web, corpus, summary="Sings."), asked("Okoye", down="timed out")),
            marks=(Mark("search down", "timed out"), Mark("knowledge", "answer 2"), Mark("search down", "no route")),
        ),
        tweet("wrong", "Kiwi Bank opens", [gold(0, "Kiwi Bank", "ORG", RIGHT)], [found(0, "Kiwi Bank", "LOC", LEFT)]),
        tweet(
            "several",
            "Ada , Ben and Cy Dee",
            [gold(0, "Ada", "PER", LEFT), gold(2, "Ben", "PER"), gold(4, "Cy", "PER"), gold(5, "Dee", "PER")],
            [
                found(0, "Ada", "PER"),
                found(2, "Ben", "PER", LEFT),
                found(4, "Cy Dee", "PER"),
                found(3, "and", "OTHER", readable=False),
            ],
        ),
        tweet("nothing", "good morning"),
        tweet(
            "hostile",
            f"{LONG} &amp",
            [gold(1, "&amp", "OTHER")],
            [replace(found(1, EVIL, EVIL, (0.0, 0.0, 1e8, 1e8), thought=EVIL, known=EVIL, reply=EVIL + LONG), end=2)],
            lookups=(
                asked(EVIL, Hit(EVIL, "javascript:alert(1)", EVIL, EVIL), summary=EVIL, unread=(EVIL,)),
                asked("odd", Hit("odd", f'https://example.org/"><script>{EVIL}', "", "x")),
            ),
            knowledge=EVIL,
            size=None,
            marks=(Mark("image", EVIL), Mark("tweet searched", LONG)),
        ),
    ]


def written(folder: Path, predictions: list[Prediction]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(prediction_line(one)) + "\n" for one in predictions]
    (folder / "predictions.jsonl").write_text("".join(lines))
    return folder


def write_run(tmp_path: Path) -> Path:
    """A run with the images of its tweets, but that of the last."""
    images = tmp_path / "images"
    images.mkdir()
    for name, size in (
        ("right", (400, 200)),
        ("wrong", (400, 200)),
        ("several", (1600, 800)),
        ("nothing", (300, 600)),
    ):
        image = Image.new("RGB", size, "#dbe9f4")
        ImageDraw.Draw(image).ellipse((10, 20, 110, 180), fill="#3367d6")
        image.save(images / f"{name}.jpg")
    folder = written(tmp_path / "run", made_up())
    agents = {"knowledge": "model", "search": "corpus"}
    facts = {"images": str(images), "split": "test", "agents": agents}
    (folder / "metrics.json").write_text(json.dumps(facts))
    return folder

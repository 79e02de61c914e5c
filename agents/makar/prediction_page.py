"""The page of predictions: one HTML file without network in which what was found in tweets is seen on their images.

Tweets, replies, pages of the web and their addresses are text from outside. They reach the page escaped and clipped,
as text only; an address becomes a link if it is one of the web. The one script of the page is fixed, its hash is in
the page's content security policy, and it reads nothing but the page's own elements.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from markupsafe import Markup

from setaria.agents.html_page import page_bytes, page_environment, page_script
from setaria.agents.makar.prediction_images import Embedded, EmbeddedImages
from setaria.agents.makar.prediction_verdicts import FAULTS, Verdict, has_type, verdicts
from setaria.agents.makar.predictions import MARKS, Prediction, count_marks, read_predictions
from setaria.agents.makar.search import is_web_address
from setaria.rewards.boxes import Box, area, clip
from setaria.rewards.entity_scores import ScoredTweet, entity_scores
from setaria.rewards.grounding_floors import always_none


HERE = Path(__file__).parent
MOST_TWEETS = 300
MOST_BYTES = 32_000_000
# What surrounds the tweets: styles, script, numbers, filters and help.
SHELL_BYTES = 40_000
FILTERS = {
    "all": "All",
    "right": "All right",
    "wrong type": "Wrong type",
    "wrong box": "Wrong box",
    "None error": "None errors",
    "unread place": "Unread place",
    "missed": "Missed",
    "spurious": "Spurious",
    "searched": "Searched",
    "marked": "With marks",
}


@dataclass(frozen=True)
class PredictionPage:
    """A page that was written: its file and size in bytes, the tweets of the run and how many of them it shows."""

    file: Path
    size: int
    tweets: int
    shown: int


def write_prediction_page(
    run: Path,
    output: Path,
    images: Path | None = None,
    most_tweets: int = MOST_TWEETS,
    most_bytes: int = MOST_BYTES,
) -> PredictionPage:
    """Write the page of the run in folder `run` to the file `output`.

    The numbers at its top are those of the whole run. Below are the first `most_tweets`, or as many as fit into
    `most_bytes`; the page says how many are not there.

    Args:
        images: folder of the images; default: the one that the run's `metrics.json` names.

    Raises:
        ValueError: naming file and line of a prediction that cannot be read, and if nobody names the images' folder.
        OSError: if `run` has no `predictions.jsonl`, or `output` cannot be written.
    """
    if most_tweets < 1:
        raise ValueError(f"{most_tweets} tweets: a page shows at least one")
    predictions = read_predictions(run / "predictions.jsonl")
    facts = _facts(run / "metrics.json")
    store = EmbeddedImages(_images(facts, run) if images is None else images)
    environment = page_environment(HERE)
    environment.tests["web_address"] = is_web_address
    fragments: Any = environment.get_template("prediction.html.jinja").module
    entries: list[Markup] = []
    panels: list[Markup] = []
    uris: list[str] = []
    filtered: Counter[str] = Counter()
    room = most_bytes - SHELL_BYTES
    for number, prediction in enumerate(predictions[:most_tweets], 1):
        view = _tweet(number, prediction, store.image(prediction.image))
        entry, panel = fragments.entry(view), fragments.panel(view)
        room -= sum(len(page_bytes(text)) + 50 for text in (entry, panel, *store.uris[len(uris) :]))
        if room < 0:
            break
        entries.append(entry)
        panels.append(panel)
        uris = list(store.uris)
        filtered.update(view["kinds"])
    page = environment.get_template("predictions.html.jinja").render(
        name=run.resolve().name,
        facts=facts,
        tweets=len(predictions),
        scores=_scores(predictions),
        counts=Counter(
            fault for one in predictions for found in verdicts(one) for fault in found.faults or ("right",)
        ),
        searched=sum(bool(one.lookups) for one in predictions),
        marks={kind: tweets for kind, tweets in count_marks(predictions).items() if tweets},
        meanings={**FAULTS, **MARKS},
        faults=list(FAULTS),
        filters=[(kind, label, filtered[kind]) for kind, label in FILTERS.items()],
        entries=entries,
        panels=panels,
        uris=uris,
        full=room < 0,
        megabytes=most_bytes / 1e6,
        **page_script(HERE / "predictions.js"),
    )
    output.write_bytes(page_bytes(page))
    return PredictionPage(output, len(page_bytes(page)), len(predictions), len(panels))


def _facts(file: Path) -> dict[str, Any]:
    """What the run's metrics say about it; nothing if it was interrupted before there were any."""
    if not file.is_file():
        return {}
    try:
        facts = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: no JSON ({error})") from None
    if not isinstance(facts, dict):
        raise ValueError(f"{file}: no JSON object")
    return facts


def _images(facts: dict[str, Any], run: Path) -> Path:
    folder = facts.get("images")
    if not isinstance(folder, str):
        raise ValueError(f"{run / 'metrics.json'} does not say in which folder the images are: name it")
    return Path(folder)


def _scores(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """F1 of each task, with what it is if no entity is in the image."""
    if not predictions:
        return []
    scores = entity_scores([one.scored for one in predictions], "index_keyed")
    blind = [ScoredTweet(one.id, one.gold, always_none(one.predicted)) for one in predictions]
    floors = entity_scores(blind, "index_keyed")
    return [
        {"task": task, "f1": of["all"].f1, "floor": None if task == "MNER" else floors[task]["all"].f1.value}
        for task, of in scores.items()
    ]


def _tweet(number: int, prediction: Prediction, image: Embedded) -> dict[str, Any]:
    """What the templates show of a tweet."""
    found = verdicts(prediction)
    names = {one.entity.text.casefold() for one in found}
    size = prediction.size or image.size
    faults = [fault for one in found for fault in one.faults]
    kinds = {
        "all": True,
        "right": not faults,
        **{fault: fault in faults for fault in FAULTS},
        "searched": bool(prediction.lookups),
        "marked": bool(prediction.marks),
    }
    return {
        "number": number,
        "prediction": prediction,
        "image": image,
        "size": size if size and min(size) > 0 else (4, 3),
        "kinds": [kind for kind, holds in kinds.items() if holds],
        "right": sum(not one.faults for one in found),
        "faults": Counter(faults),
        "entities": [_entity(place, one, prediction) for place, one in enumerate(found, 1)],
        "words": _words(prediction.tokens, found),
        "boxes": _boxes(found, size),
        "before": [(one, _had_been_right(one, prediction)) for one in prediction.before],
        "marks": [(kind, prediction.marked(kind)) for kind in MARKS if prediction.marked(kind)],
        "lookups": [lookup for lookup in prediction.lookups if lookup.name.casefold() not in names],
    }


def _entity(number: int, verdict: Verdict, prediction: Prediction) -> dict[str, Any]:
    lookup = prediction.lookup_of(verdict.entity)
    overlapped = next(
        (gold for gold in prediction.gold if gold.start < verdict.entity.end and verdict.entity.start < gold.end), None
    )
    return {
        "number": number,
        "words": verdict.entity.text,
        "gold": verdict.gold,
        "found": verdict.found,
        "faults": verdict.faults,
        "iou": verdict.iou,
        "lookup": lookup,
        "overlapped": overlapped.text if overlapped and not verdict.gold else "",
    }


def _words(tokens: Sequence[str], found: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The tweet in runs of tokens that are in the same entities."""
    inside: list[list[int]] = [[] for _ in tokens]
    for number, one in enumerate(found, 1):
        for place in range(max(one.entity.start, 0), min(one.entity.end, len(tokens))):
            inside[place].append(number)
    return [
        {
            "text": " ".join(token for token, _ in run),
            "numbers": numbers,
            "tone": _tone(found[numbers[0] - 1]) if numbers else "",
        }
        for numbers, run in groupby(zip(tokens, inside, strict=True), itemgetter(1))
    ]


def _tone(verdict: Verdict) -> str:
    if verdict.found is None:
        return "missed"
    return "wrong" if verdict.faults else "right"


def _boxes(found: Sequence[Verdict], size: tuple[int, int] | None) -> list[dict[str, Any]]:
    """Boxes on the image, the ones on top last; none if nobody knows the size that they are in."""
    if size is None:
        return []
    said, gold = [], []
    for number, one in enumerate(found, 1):
        if one.found and one.found.box:
            said.append((number, _tone(one), one.found.type, one.found.box))
        gold += [(number, "gold", "gold", box) for box in (one.gold.boxes if one.gold else ())]
    return [
        {"number": number, "tone": tone, "label": label, "place": place}
        for number, tone, label, box in said + gold
        if (place := _place(box, size))
    ]


def _place(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Left, top, width and height of what is inside the image, in percent of it; `None` if nothing is."""
    width, height = size
    if min(size) <= 0 or not area(box) or not area(inside := clip(box, size)):
        return None
    x1, y1, x2, y2 = inside
    return 100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height


def _had_been_right(entity: Any, prediction: Prediction) -> bool:
    """Whether tokens and type were gold's before correction."""
    return any(
        (gold.start, gold.end) == (entity.start, entity.end) and has_type(entity, gold) for gold in prediction.gold
    )

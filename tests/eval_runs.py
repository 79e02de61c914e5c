"""A made-up evaluation run: four caches with and without a drafter, tasks of every path, and texts that mean harm."""

import random
from pathlib import Path

from setaria.evaluation.items import Item, ItemFile, items_file
from setaria.evaluation.means import mean_score
from setaria.evaluation.results import Results
from setaria.evaluation.scores import Metric, Score, Setting


EVIL = "</pre></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
LONG = "W" * 10_000
# Cache -> bits, share of right answers that turn wrong, nats that are added, tokens per second.
CACHES = {
    "none": (16.0, 0.0, 0.0, 61.0),
    "xquant-4": (4.22, 0.02, 0.004, 55.0),
    "xquant-2": (2.21, 0.08, 0.031, 57.0),
    "xquant-1.4": (1.42, 0.25, 0.118, 58.0),
}
DRAFTERS = {"none": 1.0, "trie": 1.63}
METRICS = (
    Metric("sums", "exact_match", True),
    Metric("needle", "recall", True),
    Metric("nll", "nats_per_token", False, "nats"),
    Metric("nll", "top1_agreement", True),
    Metric("speed", "tokens_per_second", True, "tokens/s"),
    Metric("speed", "time_to_first_token", False, "ms"),
    Metric("memory", "peak", False, "MB"),
)
SETTINGS = tuple(
    Setting(f"stories / {cache} / {drafter}", "models/stories260K", cache=cache, drafter=drafter, true_bits=bits)
    for cache, (bits, *_) in CACHES.items()
    for drafter in DRAFTERS
)


def example_run(
    folder: Path, items: int = 60, evil: bool = False, settings: tuple[Setting, ...] = SETTINGS
) -> Results:
    """Write a run to `folder`, its items and results, and return the results."""
    scores = [score for setting in settings for score in _scores(folder, setting, items, evil)]
    results = Results(
        settings,
        METRICS,
        tuple(scores),
        notes=("nll: XQuant was applied through the teacher-forced path.", "needle: batch halved from 16 to 8."),
        config={"model": "models/stories260K", "caches": list(CACHES), "tasks": ["sums", "needle"], "seed": 0},
        versions={"setaria": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.2"},
        machine={"device": "cpu", "cores": 2, "platform": "Linux"},
        created="2026-01-02T03:04:05+00:00",
    )
    results.write(folder)
    return results


def _scores(folder: Path, setting: Setting, count: int, evil: bool) -> list[Score]:
    """Scores of a setting, whose quality does not depend on the drafter."""
    _, harm, nats, speed = CACHES[setting.cache]
    speed *= DRAFTERS[setting.drafter]
    tasks = {
        "sums": [_sum(number, harm, evil) for number in range(count)],
        "needle": [_needle(number, harm) for number in range(count)],
        "nll": [_nll(number, nats) for number in range(count)],
    }
    scores = []
    for task, found in tasks.items():
        file = ItemFile(items_file(folder, setting.name, task))
        for item in found:
            file.add(item)
        for metric in found[0].scores:
            scores.append(Score(setting.name, task, metric, *mean_score(found, metric), found[0].path))
    timings = {
        ("speed", "tokens_per_second"): (speed, 0.04),
        ("speed", "time_to_first_token"): (1900 / speed, 0.06),
        ("memory", "peak"): (90 + 12 * (setting.true_bits or 0), 0.01),
    }
    for (task, name), (value, spread) in timings.items():
        scores.append(Score(setting.name, task, name, value, value * (1 - spread), value * (1 + spread), 7, "timing"))
    return scores


def _sum(number: int, harm: float, evil: bool) -> Item:
    rng = random.Random(number)
    apples, pears = rng.randrange(10, 99), rng.randrange(10, 99)
    wrong = rng.random() < 0.3 or rng.random() < harm
    answer = apples + pears + (rng.choice([-10, 1, 10]) if wrong else 0)
    said = "First I count the apples, then the pears." if harm < 0.1 else "I count the apples and then all pears."
    prompt = f"Mia has {apples} apples and buys {pears} pears. How many pieces of fruit does she have now?"
    prediction = f"{said} That makes {apples} + {pears} = {answer}. The answer is {answer}."
    if evil and number < 3:
        prompt, prediction = (EVIL, prediction + EVIL) if number == 0 else (LONG, f"{harm} {LONG}")
    return Item(
        f"{number:04}", prompt, prediction, str(apples + pears), {"exact_match": float(not wrong)}, "generation"
    )


def _needle(number: int, harm: float) -> Item:
    rng = random.Random(1000 + number)
    key, value = f"{rng.randrange(16**4):04x}", f"{rng.randrange(16**6):06x}"
    lost = rng.random() < 3 * harm
    filler = " ".join(f"The value of {rng.randrange(16**4):04x} is {rng.randrange(16**6):06x}." for _ in range(60))
    return Item(
        f"{number:04}",
        f"{filler} The value of {key} is {value}. What is the value of {key}?",
        value[::-1] if lost else value,
        value,
        {"recall": float(not lost)},
        "generation",
        {"depth": round(rng.random(), 2), "length": 512},
    )


def _nll(number: int, nats: float) -> Item:
    rng = random.Random(2000 + number)
    scores = {"nats_per_token": 1.9 + rng.random() / 4 + nats, "top1_agreement": 1 - 2 * nats * rng.random()}
    return Item(f"{number:04}", f"Once upon a time, fox {number} went out.", "", "", scores, "teacher_forced")

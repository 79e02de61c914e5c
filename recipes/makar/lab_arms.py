"""The arms of the lab: who grounds the test tweets' entities, and what they are told; and what scores without looking.

cold, continued, continued_hard, reinforced, paper_exact    stages of `lab_stages`, told what knowledge and search say

no search, no knowledge, neither            reinforced, told less
always search                               reinforced, told what is found for every name

always None, whole image    as of `setaria.rewards.grounding_floors`; the latter knows names, types and what is seen
usual place                 for every name the one box that fits most training entities

An arm grounds the gold entities, for the accuracies, and those that its agents found, for F1. A model's replies are
kept and not asked for again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from setaria.agents.makar.grounding import GroundingAgent, GroundingTask
from setaria.agents.makar.json_lines import read_lines
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.recorded_model import RecordedModel
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.grounding_prompts import read_image
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.recipes.makar.lab_knowledge import TRAINED_ON, Told, read_told
from setaria.recipes.makar.lab_stages import Shared, Stages
from setaria.rewards.boxes import Box, best_iou, iou
from setaria.rewards.entity_matching import CONVENTIONS, RIGHT_IOU, TASKS, match
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.grounding_floors import always_none, whole_image


CONVENTION = "index_keyed"
FLOORS = ("always None", "whole image", "usual place")
MOST_PLACES = 400  # training boxes that are tried as the usual place


@dataclass(frozen=True)
class Arm:
    """A stage of `Stages`, and a source of `lab_knowledge`."""

    model: str
    source: str = TRAINED_ON


ARMS = {
    "cold": Arm("cold"),
    "continued": Arm("continued"),
    "continued_hard": Arm("continued_hard"),
    "reinforced": Arm("reinforced"),
    "paper_exact": Arm("paper_exact"),
    "no search": Arm("reinforced", "knowledge"),
    "no knowledge": Arm("reinforced", "search"),
    "neither": Arm("reinforced", "neither"),
    "always search": Arm("reinforced", "always"),
}


@dataclass
class Counts:
    """What is right in a tweet, and of how many.

    Attributes:
        seen, seen_right: gold entities with a box; those whose answer has an IoU of .5 with one.
        none, none_right: gold entities without a box; those whose answer is None.
        rare, rare_right: of `seen`, those with a long-tail name.
        gold, found: entities of gold, and of the arm.
        named, placed: of `found`, those with a right span and type, and those with a right box or None too.
        unreadable: gold entities whose answer cannot be read.
    """

    seen: int = 0
    seen_right: int = 0
    none: int = 0
    none_right: int = 0
    rare: int = 0
    rare_right: int = 0
    gold: int = 0
    found: int = 0
    named: int = 0
    placed: int = 0
    unreadable: int = 0


def run_arm(name: str, stages: Stages) -> list[dict[str, int]]:
    """The counts of an arm for each test tweet."""
    arm, shared = ARMS[name], stages.shared
    replies = stages.folder / "replies.jsonl"
    chat = RecordingChat(stages.chat(arm.model), arm.model, replies, batch=64)
    agent = GroundingAgent(RecordedModel(chat, "grounding"), shared.prompts)
    tweets, told = read_gmner(shared.world, "test"), read_told(shared.folder / "informed", arm.source, "test")
    on_gold = _ground(agent, tweets, [_as_found(tweet) for tweet in tweets], told)
    on_found = _ground(agent, tweets, [told[tweet.id].entities for tweet in tweets], told)
    return _counted(shared, tweets, on_gold, on_found)


def run_floor(name: str, shared: Shared) -> list[dict[str, int]]:
    """The counts of a floor for each test tweet."""
    tweets, told = read_gmner(shared.world, "test"), read_told(shared.folder / "informed", TRAINED_ON, "test")
    if name == "whole image":
        answers = [whole_image(tweet.entities, tweet.size) for tweet in tweets]
        return _counted(shared, tweets, answers, answers)
    if name == "always None":
        nowhere = [always_none(tweet.entities) for tweet in tweets]
        return _counted(shared, tweets, nowhere, [always_none(told[tweet.id].entities) for tweet in tweets])
    place = usual_place(read_gmner(shared.world, "train"))
    on_gold, on_found = [], []
    for tweet in tweets:
        width, height = read_image(tweet.image).size
        box = (place[0] * width, place[1] * height, place[2] * width, place[3] * height)
        on_gold.append([replace(one, box=box) for one in _as_found(tweet)])
        on_found.append([replace(one, box=box) for one in told[tweet.id].entities])
    return _counted(shared, tweets, on_gold, on_found)


def usual_place(tweets: Sequence[Tweet]) -> Box:
    """Of the boxes of entities, in shares of the image, the one that most others overlap by half."""
    boxes = [
        (x1 / tweet.size[0], y1 / tweet.size[1], x2 / tweet.size[0], y2 / tweet.size[1])
        for tweet in tweets
        if tweet.size
        for entity in tweet.entities
        for x1, y1, x2, y2 in entity.boxes[:1]
    ][:MOST_PLACES]
    return max(boxes, key=lambda box: sum(iou(box, other) >= RIGHT_IOU for other in boxes))


def _ground(
    agent: GroundingAgent,
    tweets: Sequence[Tweet],
    entities: Sequence[Sequence[PredictedEntity]],
    told: dict[str, Told],
) -> list[list[PredictedEntity]]:
    tasks = [GroundingTask(tweet, found, told[tweet.id].about) for tweet, found in zip(tweets, entities, strict=True)]
    return [[answer.entity for answer in answers] for answers in agent.ground(tasks)]


def _counted(
    shared: Shared,
    tweets: Sequence[Tweet],
    on_gold: Sequence[Sequence[PredictedEntity]],
    on_found: Sequence[Sequence[PredictedEntity]],
) -> list[dict[str, int]]:
    rare = {entry["name"] for _, entry in read_lines(shared.world / "facts.jsonl") if entry["long_tail"]}
    counted = []
    for tweet, answers, found in zip(tweets, on_gold, on_found, strict=True):
        counts = Counts()
        for gold, answer in zip(tweet.entities, answers, strict=True):
            counts.unreadable += not answer.readable
            if gold.boxes:
                right = answer.box is not None and best_iou(answer.box, gold.boxes) >= RIGHT_IOU
                counts.seen += 1
                counts.seen_right += right
                counts.rare += gold.text in rare
                counts.rare_right += right and gold.text in rare
            else:
                counts.none += 1
                counts.none_right += answer.readable and answer.box is None
        named, placed = (
            match(tweet.entities, found, TASKS[task], CONVENTIONS[CONVENTION]) for task in ("MNER", "GMNER")
        )
        counts.gold, counts.found = len(placed.gold), len(placed.predicted)
        counts.named, counts.placed = len(named.pairs), len(placed.pairs)
        counted.append(asdict(counts))
    return counted


def _as_found(tweet: Tweet) -> list[PredictedEntity]:
    return [_without_place(gold) for gold in tweet.entities]


def _without_place(gold: GoldEntity) -> PredictedEntity:
    return PredictedEntity(gold.start, gold.end, gold.text, gold.type, gold.fine)

"""Whether knowledge of tweets was written by someone who saw their labels.

    names, types    gold entities whose words, or whose exact type, stand in the list of entities of the knowledge
    pairs           gold entities whose words stand there with their exact type, as `Brno (LOC)`
    telling         knowledge that speaks of the ground truth or of gold labels; nobody who knows none would
    hints           knowledge with words such as `annotated` or `label`, which also have other uses, or tags as B-PER
    shared          tweets of two splits, by id or by tokens

A jump is a difference of two splits in one of these shares by more than `jump` that chance would not make: by more
than three standard errors of the pooled share. Knowledge of dev and test comes from one agent, so a jump between them,
or above train, means labels; one of train above them may come of what the agent was taught. The real case: the
released knowledge of Twitter-FMNERG has 91 % of the exact types of test and 36 % of those of `valid`, says "ground
truth" in 821 of 1500 texts of test, and its `valid` is the tweets of test. The rule and its numbers are ours.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from setaria.datasets_builders.findings import Finding
from setaria.datasets_builders.mner.tweets import Tweet


TRAIN = "train"
OF_ENTITIES, OF_TWEETS = ("names", "types", "pairs"), ("telling", "hints")  # the shares
JUMP = 0.1
ERRORS_OF_CHANCE = 3
SHARED_TEXTS = 0.01  # of the smaller split; that many may be repeated, as retweets are
IDS_SHOWN = 5
REASONING = re.compile(r"\breasoning\s*:", re.IGNORECASE)
TELLING = re.compile(
    r"\bground[\s-]?truths?\b|\b(?:gold(?:en)?|reference)[\s-](?:label|annotation|entit|type|answer|span)\w*"
    r"|\btrue labels?\b",
    re.IGNORECASE,
)
HINT = re.compile(
    r"\b(?:gold|golden|annotat\w*|label\w*|(?:correct|given|provided) (?:answer|entit|type)\w*)\b"
    r"|\b[BI]-(?:PER|LOC|ORG|OTHER|MISC)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Informed:
    """A tweet with its gold and what an agent wrote about it; its id is empty where that is not known."""

    tweet: Tweet
    text: str


@dataclass(frozen=True)
class Exposure:
    """How much of gold a split's knowledge shows.

    Attributes:
        tweets, entities: how many there are, and of them:
        names, types, pairs: entities whose words, whose exact type, and who with their type are in the list.
        telling, hints: tweets whose knowledge has such words and whose own text does not.
        told: id, or number from 1, of the first few that are telling, with what they say.
    """

    tweets: int
    entities: int
    names: int
    types: int
    pairs: int
    telling: int
    hints: int
    told: tuple[str, ...]

    def share(self, measure: str) -> tuple[int, int]:
        """Count and total of one of `OF_ENTITIES` and `OF_TWEETS`."""
        return getattr(self, measure), self.entities if measure in OF_ENTITIES else self.tweets


def inform(
    split: str, tweets: Sequence[Tweet], texts: Mapping[str, str], others: bool = False
) -> tuple[list[Informed], list[Finding]]:
    """The tweets of a split that there is knowledge of, and what does not fit together.

    Args:
        texts: knowledge by the id of the tweet.
        others: whether `texts` may have tweets of other splits.
    """
    informed = [Informed(tweet, texts[tweet.id]) for tweet in tweets if tweet.id in texts]
    missing = [tweet.id for tweet in tweets if tweet.id not in texts]
    strange = [] if others else sorted(set(texts) - {tweet.id for tweet in tweets})
    findings = []
    if missing and informed:
        findings.append(
            _finding(
                "missing knowledge",
                "warning",
                f"{split}: {len(missing)} tweets have none ({_some(missing)})",
                "shares are of the others; write knowledge of all tweets",
            )
        )
    if strange:
        message = f"{split}: {len(strange)} texts are of tweets that are not in the split ({_some(strange)})"
        findings.append(
            _finding("foreign tweets", "error", message, "write knowledge of each split into its own file")
        )
    return informed, findings


def exposure(informed: Sequence[Informed]) -> Exposure:
    """Measure a split."""
    seen: Counter[str] = Counter()
    told = []
    for number, one in enumerate(informed, 1):
        listed = REASONING.split(one.text, maxsplit=1)[0]
        for entity in one.tweet.entities:
            name, label = (_whole(words) for words in (entity.text, entity.fine or entity.type))
            seen["entities"] += 1
            seen["names"] += _holds(listed, name)
            seen["types"] += _holds(listed, label)
            seen["pairs"] += _holds(listed, rf"{name}\W*\([^()]*{label}")
        seen["hints"] += bool(_own_words(HINT, one))
        if said := _own_words(TELLING, one):
            told.append(f"{one.tweet.id or number}: {said!r}")
    counts = {name: seen[name] for name in ("entities", *OF_ENTITIES, "hints")}
    return Exposure(len(informed), telling=len(told), told=tuple(told[:IDS_SHOWN]), **counts)


def find_leaks(
    splits: Mapping[str, Sequence[Informed]], exposures: Mapping[str, Exposure], jump: float = JUMP
) -> list[Finding]:
    """What speaks for labels in the knowledge, and what ties splits together.

    Args:
        splits: by name; `train` is the one whose labels an agent may know.
        exposures: of each.
        jump: least difference of two shares that counts.

    Raises:
        ValueError: for a `jump` that is not between 0 and 1.
    """
    if not 0 < jump < 1:
        raise ValueError(f"jump={jump}: a share between 0 and 1 is expected")
    found = []
    for name, seen in exposures.items():
        if seen.telling:
            severity = "warning" if name == TRAIN else "error"
            message = f"{name}: {seen.telling} of {seen.tweets} texts speak of gold ({'; '.join(seen.told)})"
            remedy = "look at the prompts: whoever wrote this was shown labels; write it again without"
            found.append(_finding("telling words", severity, message, remedy, seen.telling, seen.tweets))
    for measure in (*OF_ENTITIES, *OF_TWEETS):
        for high, low in permutations(exposures, 2):
            found += _jump(measure, high, low, exposures, jump)
    for first, second in combinations(splits, 2):
        found += _shared(first, second, splits)
    if len(exposures) < 2:
        found.append(_finding("one split", "info", "a jump between splits cannot be seen in one", ""))
    return found


def is_jump(high: tuple[int, int], low: tuple[int, int], jump: float = JUMP) -> bool:
    """Whether one share, as count and total, is above another by more than `jump` and than chance."""
    if not high[1] or not low[1]:
        return False
    difference = high[0] / high[1] - low[0] / low[1]
    pooled = (high[0] + low[0]) / (high[1] + low[1])
    error = math.sqrt(pooled * (1 - pooled) * (1 / high[1] + 1 / low[1]))
    return difference > max(jump, ERRORS_OF_CHANCE * error)


def _jump(measure: str, high: str, low: str, exposures: Mapping[str, Exposure], jump: float) -> list[Finding]:
    shares = exposures[high].share(measure), exposures[low].share(measure)
    if not is_jump(*shares, jump):
        return []
    sides = (
        f"{name} {count} of {total} ({count / total:.1%})"
        for name, (count, total) in zip((high, low), shares, strict=True)
    )
    remedy = "write the knowledge of all splits by one agent, with prompts that cannot hold labels"
    if high == TRAIN:
        remedy = "the agent may know training tweets by heart; a tagger trained on them will trust it too much"
    return [_finding("jump", "warning" if high == TRAIN else "error", f"{measure}: {', '.join(sides)}", remedy)]


def _shared(first: str, second: str, splits: Mapping[str, Sequence[Informed]]) -> list[Finding]:
    sides = [[one.tweet for one in splits[name]] for name in (first, second)]
    ids = [{tweet.id for tweet in side if tweet.id} for side in sides]
    texts = [{tweet.tokens: tweet.id for tweet in side if tweet.tokens} for side in sides]
    found = []
    if same := sorted(ids[0] & ids[1]):
        message = f"{first} and {second} share {len(same)} tweets by id ({_some(same)})"
        found.append(_finding("shared tweets", "error", message, "leave them out of one", len(same), len(sides[1])))
    same_texts = [text for text in texts[1] if text in texts[0] and not (texts[1][text] and texts[1][text] in ids[0])]
    if same_texts:
        many = len(same_texts) > SHARED_TEXTS * min(map(len, sides))
        message = f"{first} and {second} share {len(same_texts)} texts, such as {' '.join(same_texts[0])[:80]!r}"
        severity = "error" if many else "warning"
        remedy = "leave them out of one" if many else "so few may be retweets"
        found.append(_finding("shared texts", severity, message, remedy, len(same_texts), len(sides[1])))
    return found


def _whole(words: str) -> str:
    """A pattern of these words, not as a part of longer ones."""
    return rf"(?<!\w){re.escape(words)}(?!\w)"


def _holds(text: str, pattern: str) -> bool:
    return re.search(pattern, text) is not None


def _own_words(pattern: re.Pattern[str], one: Informed) -> str:
    """What the knowledge, and not the tweet, has of a pattern; "" if nothing."""
    found = pattern.search(one.text)
    return found[0] if found and not pattern.search(one.tweet.text) else ""


def _finding(
    check: str, severity: str, message: str, remedy: str, count: int | None = None, total: int = 1
) -> Finding:
    return Finding(check, severity, message, remedy, count, None if count is None else count / total)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:IDS_SHOWN]) + (", ..." if len(ids) > IDS_SHOWN else "")

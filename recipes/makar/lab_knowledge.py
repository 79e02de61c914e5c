"""What the lab's grounding agent is told: the real knowledge and correction agents, with a stand-in for their model.

both         knowledge base, and search where it is in doubt
knowledge    the knowledge base alone
search       a model that knows no name, and search where it is in doubt
neither      that model alone
always       knowledge base, and search for every name

What counts as doubt is tuned on dev, for each of them. Training tweets are told what `both` has.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image

from setaria.agents.makar.corpus_search import CorpusSearch
from setaria.agents.makar.correction import CorrectionAgent, CorrectionConfig
from setaria.agents.makar.correction_prompts import CorrectionPrompts
from setaria.agents.makar.json_lines import read_lines
from setaria.agents.makar.knowledge import Knowledge, KnowledgeAgent
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts, Unlabelled
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.tuning import EVERYTHING, tune_correction
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.layouts import GMNER
from setaria.recipes.makar.lab_reader import StandIn, Words
from setaria.recipes.run_folder import write_atomically
from setaria.rewards.grounded_entities import PredictedEntity


TRAINED_ON = "both"
SAMPLES = 5  # answers per tweet, whose agreement is the confidence
SHOWN = (8, 8)  # pixels of an image for the stand-in, which does not look at it


@dataclass(frozen=True)
class Source:
    """Which agents there are.

    Attributes:
        known: whether the model knows the common names.
        tau: doubt; `None`: tuned.
    """

    known: bool
    tau: float | None = None


SOURCES = {
    "both": Source(known=True),
    "knowledge": Source(known=True, tau=0.0),
    "search": Source(known=False),
    "neither": Source(known=False, tau=0.0),
    "always": Source(known=True, tau=EVERYTHING),
}


@dataclass(frozen=True)
class Told:
    """What is found in a tweet, without boxes, and known about it by the words of its entities."""

    entities: tuple[PredictedEntity, ...]
    about: Mapping[str, str]


def inform(world: Path, folder: Path) -> None:
    """Write what each source says about the test tweets, and `TRAINED_ON` about the training tweets.

    `thresholds.json` has the doubt of each, below which it searches.
    """
    folder.mkdir(parents=True)
    thresholds = {}
    words = Words(read_gmner(world, "train"))
    for name, source in SOURCES.items():
        known = _looks(world / "known.jsonl") if source.known else {}
        agents = _agents(words, known, world, folder / f"replies_{'known' if source.known else 'unknown'}.jsonl")
        tau = source.tau
        if tau is None:
            gold = [tweet.entities for tweet in read_gmner(world, "dev")]
            tau = tune_correction(agents[1], list(_known(agents[0], world, "dev")), gold).best.tau
        thresholds[name] = tau
        corrected = replace(agents[1], config=replace(agents[1].config, tau=tau))
        for split in ("test", "train") if name == TRAINED_ON else ("test",):
            said = corrected.corrections(_known(agents[0], world, split))
            lines = [
                {"tweet": one.tweet, "entities": [asdict(entity) for entity in one.entities], "about": one.about}
                for one in said
            ]
            (folder / name).mkdir(exist_ok=True)
            write_atomically(folder / name / f"{split}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_atomically(folder / "thresholds.json", json.dumps(thresholds) + "\n")


def read_told(folder: Path, source: str, split: str) -> dict[str, Told]:
    """What a source says, by the id of the tweet."""
    return {
        entry["tweet"]: Told(tuple(PredictedEntity(**fields) for fields in entry["entities"]), entry["about"])
        for _, entry in read_lines(folder / source / f"{split}.jsonl")
    }


def _agents(
    words: Words, known: Mapping[str, Mapping[str, str]], world: Path, replies: Path
) -> tuple[KnowledgeAgent, CorrectionAgent]:
    chat = RecordingChat(StandIn(words, known), "stand-in", replies)
    prompts = KnowledgePrompts(GMNER, fit=_shrunk)
    web = CorpusSearch.read(world / "pages.jsonl")
    correction = CorrectionAgent(chat, CorrectionPrompts(prompts), web, web, CorrectionConfig(tau=0.0))
    return KnowledgeAgent(chat, prompts, SAMPLES), correction


def _known(agent: KnowledgeAgent, world: Path, split: str) -> Iterator[tuple[Unlabelled, Knowledge]]:
    tweets = [Unlabelled.of(tweet) for tweet in read_gmner(world, split)]
    yield from zip(tweets, agent.knowledge(tweets), strict=True)


def _shrunk(photo: Image.Image) -> Image.Image:
    return photo.resize(SHOWN)


def _looks(file: Path) -> dict[str, dict[str, str]]:
    """Looks by name and type."""
    looks: dict[str, dict[str, str]] = {}
    for _, entry in read_lines(file):
        looks.setdefault(entry["name"], {})[entry["type"]] = entry["look"]
    return looks

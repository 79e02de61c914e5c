import json
from dataclasses import asdict

import pytest

from setaria.agents.backtrack.chat import Conversation
from setaria.cli.main import main
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.datasets_builders.worlds.tweets import write_tweets_world
from setaria.recipes.makar.lab import LAB, run_seed, run_shared
from setaria.recipes.makar.lab_arms import ARMS, FLOORS, Counts, usual_place
from setaria.recipes.makar.lab_config import LabConfig
from setaria.recipes.makar.lab_knowledge import SOURCES, inform, read_told
from setaria.recipes.makar.lab_reader import StandIn, Words
from setaria.recipes.makar.lab_report import METRICS, write_report
from setaria.rewards.grounded_entities import GoldEntity


def tweet(text, *entities, size=None):
    """A tweet with entities (start, end, type, boxes)."""
    tokens = tuple(text.split())
    golds = (
        GoldEntity(start, end, " ".join(tokens[start:end]), kind, "", boxes) for start, end, kind, boxes in entities
    )
    return Tweet("T", tokens, tuple(golds), None, size)


def ask(text) -> Conversation:
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


TRAINING = [
    tweet("driving to Kelvim again", (2, 3, "LOC", ())),
    tweet("driving to Bolsab now", (2, 3, "LOC", ())),
    tweet("met Rixwab at lunch", (1, 2, "PER", ())),
    tweet("met Dovtaz at lunch", (1, 2, "PER", ())),
    tweet("look at Nelpum", (2, 3, "ORG", ())),
]
KNOWN = {"Zabfen": {"ORG": "red logo"}, "Yorlux": {"PER": "blue coat", "LOC": "pink tower"}}


def test_names_are_runs_of_words_that_no_training_tweet_has_outside_names():
    words = Words(TRAINING)
    assert words.names(["met", "Vexgil", "Sivpex", "at", "Gomkru", "!"]) == [(1, 3), (4, 5)]
    assert words.names(["driving", "to", "lunch"]) == []


def test_words_around_a_name_tell_its_type():
    chances = Words(TRAINING).chances(["met", "Vexgil", "at", "lunch"], 1, 2, ("PER", "LOC", "ORG"))
    assert sum(chances.values()) == pytest.approx(1)
    assert chances["PER"] > 0.9


def test_the_stand_in_says_what_it_knows_and_draws_the_rest():
    prompt = ask("List the named entities.\nTweet:\n> driving to Yorlux and Zabfen and Vexgil")
    knowing = StandIn(Words([*TRAINING, tweet("and so on")]), KNOWN)
    said = knowing.generate([prompt] * 20)
    assert all("1. Yorlux (LOC): pink tower\n2. Zabfen (ORG): red logo\n3. Vexgil (" in one for one in said)
    assert len(set(said)) > 1  # the type of what it does not know
    ignorant = StandIn(Words([*TRAINING, tweet("and so on")]), {})
    assert "logo" not in "".join(ignorant.generate([prompt] * 20))


def test_the_stand_in_reads_pages_about_the_name_alone():
    pages = (
        "Tweet:\n> driving to Vexgil\n"
        "Web page 1:\n> Vexgil (town)\n> Vexgil is a town. The pink tower stands in Vexgil.\n"
        "Web page 2:\n> Notes\n> Look for the red coat of Gomkru.\n"
        'What do the pages say about "Vexgil" as the tweet means it: who or what it is, and how it looks?'
    )
    reader = StandIn(Words(TRAINING), {})
    assert reader.generate([ask(pages)]) == ["pink tower"]
    assert reader.generate([ask(pages.replace("Vexgil", "Zabfen").replace("pink tower", "old tower"))]) == ["nothing"]


def test_the_stand_in_believes_the_web():
    text = (
        "List them.\nA first look proposes:\n> Zabfen (ORG); sure of the span 100%, of the type 40%; red logo\n"
        '> Kelvim (LOC); sure of the span 100%, of the type 100%\nThe web on "Zabfen":\n> blue car\n'
        "Decide.\nTweet:\n> Zabfen , Kelvim"
    )
    (said,) = StandIn(Words(TRAINING), KNOWN).generate([ask(text)])
    assert said.splitlines()[1:3] == ["1. Zabfen (OTHER)", "2. Kelvim (LOC)"]


def test_the_usual_place_fits_most_boxes():
    def seen(*box):
        return tweet("look at Nelpum", (2, 3, "ORG", (box,)), size=(100, 100))

    # the first two overlap by 80 * 90 / (90 * 90 + 80 * 90 - 80 * 90) > .5, the third neither
    assert usual_place([seen(0, 0, 10, 10), seen(10, 0, 100, 90), seen(10, 10, 90, 100)]) == (0.1, 0, 1, 0.9)


def counts(**given):
    return asdict(Counts(**given))


def result(**placed):
    """A seed with two tweets of two groundable entities each; per arm, how many of each tweet are right."""
    arms = {
        name: [
            counts(seen=2, seen_right=one, gold=2, found=2, named=2, placed=one) for one in placed.get(name, (0, 0))
        ]
        for name in ARMS
    }
    return {"minutes": 1.0, "arms": arms}


def test_accuracies_and_gains_over_seeds(tmp_path):
    seeds = [result(reinforced=(2, 1), continued=(1, 1)), result(reinforced=(2, 2), continued=(0, 1))]
    floors = {name: [counts(seen=2, gold=2, found=2, named=2)] * 2 for name in FLOORS}
    results = write_report(LabConfig(), floors, seeds, tmp_path)
    # seeds have 3/4 and 4/4, and 2/4 and 1/4
    assert results["by seed"]["reinforced"]["acc@0.5"] == [0.75, 1.0]
    assert results["arms"]["reinforced"]["acc@0.5"]["value"] == pytest.approx(0.875)
    assert results["arms"]["reinforced"]["GMNER F1"]["value"] == pytest.approx(0.875)
    gain = results["gains"]["reinforced - continued"]["acc@0.5"]
    assert gain["value"] == pytest.approx(0.5)
    # seeds drawn again: 1/4 twice to 3/4 twice; tweets too: (1 - 1) / 2 twice in the first
    assert 0 <= gain["low"] < 0.5 < gain["high"] <= 1
    table = (tmp_path / "report.md").read_text()
    assert "| reinforced | 0.875 [" in table and "| always None | 0.000 [" in table
    for part in table.split("\n\n"):
        assert {line.count("|") for line in part.splitlines()} == {len(METRICS) + 2}


def test_another_configuration_is_not_mixed_in(tmp_path, capsys):
    (tmp_path / "lab.json").write_text(json.dumps({"train": 1}))
    with pytest.raises(ValueError, match="other settings"):
        LAB.run(LabConfig(), tmp_path)
    assert main(["lab", "makar", "--output", str(tmp_path), "--quick"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_from_nothing_to_the_result_of_a_seed(tmp_path):
    """All stages and arms in small, in this process; what is there is not made again."""
    config = LabConfig().quick()
    run_shared(config, tmp_path, report=lambda text: None)
    floors = json.loads((tmp_path / "shared" / "result.json").read_text())
    assert set(floors) == set(FLOORS)
    test = read_gmner(tmp_path / "shared" / "world", "test")
    assert sum(one["gold"] for one in floors["always None"]) == sum(len(one.entities) for one in test)
    assert all(one["none_right"] == one["none"] for one in floors["always None"])
    run_seed(config, tmp_path, 0, report=lambda text: None)
    seed = json.loads((tmp_path / "seed0" / "result.json").read_text())
    assert set(seed["arms"]) == set(ARMS)
    assert all(len(counts) == config.test for counts in seed["arms"].values())
    write_report(config, floors, [seed], tmp_path)
    made = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("model.safetensors")}
    assert len(made) == 8  # untrained, compared, seeing; cold, continued, continued_hard, reinforced, paper_exact
    asked = (tmp_path / "seed0" / "replies.jsonl").stat().st_size
    run_shared(config, tmp_path, report=lambda text: None)
    run_seed(config, tmp_path, 0, report=lambda text: None)
    assert made == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("model.safetensors")}
    assert asked == (tmp_path / "seed0" / "replies.jsonl").stat().st_size


def test_what_each_source_tells(tmp_path):
    """Without knowledge and search nothing, with knowledge alone the common names."""
    write_tweets_world(tmp_path / "world", 12, 6, 6)
    inform(tmp_path / "world", tmp_path / "informed")
    told = read_told(tmp_path / "informed", "neither", "test")
    assert not any(one.about for one in told.values())
    assert set(json.loads((tmp_path / "informed" / "thresholds.json").read_text())) == set(SOURCES)
    known = {json.loads(line)["name"] for line in (tmp_path / "world" / "known.jsonl").read_text().splitlines()}
    for one in read_told(tmp_path / "informed", "knowledge", "test").values():
        assert set(one.about) <= known

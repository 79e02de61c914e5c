"""The pipeline by hand: who is asked what, what enters a prediction, what is marked, and that gold stays out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from makar_chats import ScriptedChat, Silent, images, text
from PIL import Image

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.corpus_search import CorpusSearch
from setaria.agents.makar.correction import CorrectionAgent, CorrectionConfig
from setaria.agents.makar.correction_prompts import CorrectionPrompts
from setaria.agents.makar.grounding import GroundingAgent
from setaria.agents.makar.knowledge import KnowledgeAgent
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts
from setaria.agents.makar.known import NoKnowledge, WrittenKnowledge
from setaria.agents.makar.pipeline import Pipeline
from setaria.agents.makar.predictions import Found, Mark
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.agents.makar.recorded_model import RecordedModel
from setaria.agents.makar.search import SearchDown, WebPage
from setaria.agents.makar.stand_ins import GoldPlaces, NeverSeen, WholeImage
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


TOKENS = ("Lena", "Okoye", "loves", "Brno", "and", "jazz")
LENA = GoldEntity(0, 2, "Lena Okoye", "PER", boxes=((0.0, 0.0, 20.0, 30.0), (20.0, 0.0, 40.0, 30.0)))
BRNO = GoldEntity(3, 4, "Brno", "LOC")
SURE = "Named entities:\n1. Lena Okoye (PER): a singer\n2. Brno (LOC): a city\nReasoning: On a stage."
UNSURE = "Named entities:\n1. Lena Okoye (PER): a singer\n2. Brno (ORG): a club\nReasoning: Two names."
PAGE = WebPage("Brno", "corpus:brno", "Brno is a club in green shirts. Brno plays football.")
SUMMARY = "Brno is a club in green shirts."
DECISION = "Named entities:\n1. Lena Okoye (PER)\n2. Brno (ORG): the club\nReasoning: The web says so."
BOX = "<think>she stands on the left</think><answer>[0, 0, 500, 1000]</answer>"
NONE = "<think>no club</think><answer>None</answer>"


@pytest.fixture
def tweet(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "images" / "O_1.jpg")
    return Tweet("O_1", TOKENS, (LENA, BRNO), tmp_path / "images" / "O_1.jpg", (40, 30))


def script(asked: str) -> str:
    """The correction agent's model, and the grounding agent's."""
    if "Where in the image" in asked:
        return BOX if 'Entity: "Lena Okoye"' in asked else NONE
    if "What do the pages say" in asked:
        return SUMMARY
    assert "Decide." in asked
    return DECISION


class Chats:
    """The models of a pipeline: one that samples, and one that is steady."""

    def __init__(self, folder: Path, samples=(SURE, UNSURE), steady=script):
        self.knowing, self.steady = ScriptedChat(samples), ScriptedChat(steady)
        self.sampling = RecordingChat(self.knowing, "sampling", folder / "replies.jsonl")
        self.recorded = RecordingChat(self.steady, "steady", folder / "replies.jsonl")

    def knowledge(self, samples=2):
        return KnowledgeAgent(self.sampling, KnowledgePrompts(GMNER), samples)

    def correction(self, tau=0.6, web=None):
        web = web or CorpusSearch([PAGE])
        prompts = CorrectionPrompts(KnowledgePrompts(GMNER))
        return CorrectionAgent(self.recorded, prompts, web, web, CorrectionConfig(tau))

    def grounding(self):
        return GroundingAgent(RecordedModel(self.recorded, "grounding"), GroundingPrompts("qwen3_vl"))


def one(tweet: Tweet, pipeline: Pipeline):
    (prediction,) = pipeline.predict([tweet])
    return prediction


def names(prediction) -> list[tuple[str, str]]:
    return [(found.text, found.type) for found in prediction.predicted]


def test_all_agents_by_hand(tmp_path, tweet):
    """Both answers have both spans; Brno's type is LOC in one and ORG in the other, .5 < tau: it is looked up."""
    chats = Chats(tmp_path)
    pipeline = Pipeline(tmp_path / "images", chats.knowledge(), chats.grounding(), correction=chats.correction())
    found = one(tweet, pipeline)
    assert (found.id, found.tokens, found.image, found.size) == ("O_1", TOKENS, "O_1.jpg", (40, 30))
    assert found.gold == (LENA, BRNO)
    told = f"the club {SUMMARY}"
    assert found.predicted == (
        # 0..1000 of 40 x 30 pixels; both answers agree on her
        Found(
            *(0, 2, "Lena Okoye", "PER", "", (0.0, 0.0, 20.0, 30.0), True),
            *(1.0, 1.0, "a singer", "she stands on the left", BOX),
        ),
        # ORG was no candidate, which the first of two equal types is: nobody says how sure it is
        Found(3, 4, "Brno", "ORG", "", None, True, None, None, told, "no club", NONE),
    )
    assert found.before == (PredictedEntity(0, 2, "Lena Okoye", "PER"), PredictedEntity(3, 4, "Brno", "LOC"))
    assert (found.confidence, found.corrected, found.marks) == (0.5, True, ())
    assert found.knowledge == "Named entities: 1. Lena Okoye (PER) 2. Brno (ORG) Reasoning: The web says so."
    (lookup,) = found.lookups
    assert (lookup.name, lookup.summary, lookup.down) == ("Brno", SUMMARY, "")
    assert [(hit.title, hit.url, hit.engine) for hit in lookup.sources] == [("Brno", "corpus:brno", "corpus")]
    assert found.lookup_of(found.predicted[1]) is lookup
    assert found.lookup_of(found.predicted[0]) is None


def test_an_interrupted_run_asks_nothing_twice(tmp_path, tweet):
    first = Chats(tmp_path)
    first.steady.dies_at = 2  # after summary and decision, before grounding
    with pytest.raises(ConnectionError):
        one(tweet, Pipeline(tmp_path / "images", first.knowledge(), first.grounding(), correction=first.correction()))
    again = Chats(tmp_path, samples=())
    pipeline = Pipeline(tmp_path / "images", again.knowledge(), again.grounding(), correction=again.correction())
    assert names(one(tweet, pipeline)) == [("Lena Okoye", "PER"), ("Brno", "ORG")]
    assert again.steady.calls == [2]  # the two places
    assert names(one(tweet, pipeline)) == [("Lena Okoye", "PER"), ("Brno", "ORG")]
    assert again.steady.calls == [2]


class Down:
    def search(self, query, count):
        raise SearchDown("engine: timed out")

    def page(self, url):
        raise AssertionError("there is no hit to read")


def test_a_search_that_is_down_leaves_what_the_model_knows(tmp_path, tweet):
    chats = Chats(tmp_path)
    correction = chats.correction(web=Down())
    found = one(tweet, Pipeline(tmp_path / "images", chats.knowledge(), NeverSeen(), correction=correction))
    assert names(found) == [("Lena Okoye", "PER"), ("Brno", "LOC")]
    assert not found.corrected
    assert found.marks == (Mark("search down", "Brno: engine: timed out"),)
    assert chats.steady.calls == []


def test_nothing_under_the_threshold_is_not_looked_up(tmp_path, tweet):
    chats = Chats(tmp_path, steady=Silent().script)
    correction = chats.correction(tau=0.5, web=Down())
    found = one(tweet, Pipeline(tmp_path / "images", chats.knowledge(), NeverSeen(), correction=correction))
    assert (found.lookups, found.marks) == ((), ())


class Tagger:
    """Finds Brno as ORG where the text says so, else as LOC; keeps what it was given."""

    def __init__(self):
        self.asked = []

    def candidates(self, tweets, knowledge=None):
        self.asked += [(tweet, knowledge[tweet.id]) for tweet in tweets]
        kinds = ["ORG" if "(ORG)" in knowledge[tweet.id] else "LOC" for tweet in tweets]
        return [(Candidate(3, 4, "Brno", kind, boundary=0.9, type_confidence=0.55),) for kind in kinds]


@pytest.mark.parametrize(
    ("last_word", "expected"),
    [("tagger", [("Brno", "ORG")]), ("model", [("Lena Okoye", "PER"), ("Brno", "ORG")])],
)
def test_the_tagger_reads_again_what_was_corrected(last_word, expected, tmp_path, tweet):
    chats, tagger = Chats(tmp_path, (SURE, SURE)), Tagger()
    agents = {"tagger": tagger, "correction": chats.correction(), "last_word": last_word}
    found = one(tweet, Pipeline(tmp_path / "images", chats.knowledge(), NeverSeen(), **agents))
    assert names(found) == expected
    assert found.before == (PredictedEntity(3, 4, "Brno", "LOC"),)
    assert found.confidence == 0.55  # the marginal, not the agreement of the answers
    sure = [(one.boundary, one.type_confidence) for one in found.predicted]
    assert sure == ([(0.9, 0.55)] if last_word == "tagger" else [(None, None), (None, None)])
    texts = [text for _, text in tagger.asked]
    assert texts[0] == "Named entities: 1. Lena Okoye (PER) 2. Brno (LOC) Reasoning: On a stage."
    assert texts[1:] == ([found.knowledge] if last_word == "tagger" else [])


def test_no_agent_sees_gold(tmp_path, tweet):
    """With other labels, prompts and what the tagger is given are the same."""
    asked = []
    for number, entities in enumerate(((LENA, BRNO), ())):
        (tmp_path / str(number)).mkdir()
        chats, tagger = Chats(tmp_path / str(number)), Tagger()
        agents = {"tagger": tagger, "correction": chats.correction()}
        labelled = replace(tweet, entities=entities, size=(40, 30) if entities else None)
        one(labelled, Pipeline(tmp_path / "images", chats.knowledge(), chats.grounding(), **agents))
        prompts = [*chats.knowing.asked, *chats.steady.asked]
        asked.append(([text(prompt) for prompt in prompts], tagger.asked))
        assert all(given.entities == () and given.size is None for given, _ in tagger.asked)
        assert len(prompts) == 5  # two answers, summary, decision, Brno's place
        assert [len(images(prompt)) for prompt in prompts] == [1, 1, 0, 1, 1]
    assert asked[0] == asked[1]


def test_gold_names_and_gold_places_are_all_right(tmp_path, tweet):
    grounding = GoldPlaces({"O_1": tweet.entities})
    found = one(tweet, Pipeline(tmp_path / "images", NoKnowledge(), grounding, gold_names=True))
    assert [(f.start, f.end, f.type, f.box, f.readable) for f in found.predicted] == [
        (0, 2, "PER", LENA.boxes[0], True),
        (3, 4, "LOC", None, True),
    ]
    assert [f.confidence for f in found.predicted] == [None, None]
    assert (found.knowledge, found.before, found.confidence) == ("", (), None)


def test_what_is_known_reaches_the_grounding_agent_or_not(tmp_path, tweet):
    for told in (True, False):
        (tmp_path / str(told)).mkdir()
        chats = Chats(tmp_path / str(told), (SURE,))
        agents = {"gold_names": True, "told": told}
        found = one(tweet, Pipeline(tmp_path / "images", chats.knowledge(1), chats.grounding(), **agents))
        assert ["Said about it" in text(asked) for asked in chats.steady.asked] == [told, told]
        assert [f.known for f in found.predicted] == (["a singer", "a city"] if told else ["", ""])


def test_a_missing_image_is_marked_and_no_model_is_asked_where(tmp_path, tweet):
    tweet.image.unlink()
    chats = Chats(tmp_path, (SURE,))
    found = one(tweet, Pipeline(tmp_path / "images", chats.knowledge(1), chats.grounding()))
    assert [(f.box, f.readable, f.reply) for f in found.predicted] == [(None, False, "")] * 2
    assert found.marks == (
        Mark("image", "missing image"),
        Mark("place unread", "Lena Okoye"),
        Mark("place unread", "Brno"),
    )
    assert chats.steady.calls == []
    assert found.size == (40, 30)  # as annotated


def test_whole_image_and_a_size_that_is_not_the_annotated_one(tmp_path, tweet):
    pipeline = Pipeline(tmp_path / "images", NoKnowledge(), WholeImage(), gold_names=True)
    tweet = replace(tweet, size=(80, 60))
    found = one(tweet, pipeline)
    assert [f.box for f in found.predicted] == [(0.0, 0.0, 40.0, 30.0)] * 2
    assert found.marks == (Mark("image size", "40 x 30 pixels, 80 x 60 in the xml"),)
    tweet.image.write_bytes(b"no image")
    assert [f.readable for f in one(tweet, pipeline).predicted] == [False, False]


def test_answers_that_cannot_be_used_are_marked(tmp_path, tweet):
    chats = Chats(tmp_path, ("?", SURE + "\n"), lambda asked: "?")
    found = one(tweet, Pipeline(tmp_path / "images", chats.knowledge(), chats.grounding()))
    assert [mark.kind for mark in found.marks] == ["knowledge", "place unread", "place unread"]
    assert names(found) == [("Lena Okoye", "PER"), ("Brno", "LOC")]
    assert [(f.box, f.readable, f.reply, f.thought) for f in found.predicted] == [(None, False, "?", "")] * 2


def test_a_tweet_without_tokens_has_a_prediction(tmp_path, tweet):
    chats = Chats(tmp_path, ("Named entities: none\nReasoning: nothing",))
    empty = replace(tweet, tokens=(), entities=())
    found = one(empty, Pipeline(tmp_path / "images", chats.knowledge(1), chats.grounding()))
    assert (found.predicted, found.confidence) == ((), None)


def test_last_word_is_checked(tmp_path):
    with pytest.raises(ValueError, match="last_word='me'"):
        Pipeline(tmp_path, NoKnowledge(), NeverSeen(), last_word="me")


def written(folder: Path, *lines: dict, entities: tuple[dict, ...] = ()) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if entities:
        (folder / "test_entities.jsonl").write_text("".join(json.dumps(line) + "\n" for line in entities))
    return folder


def test_written_texts_are_read_as_answers(tmp_path, tweet):
    """As released: names and types on one line, no confidences."""
    line = {"tweet": "O_1", "text": "Named entities:1. Lena Okoye (PER)2. Brno (LOC) Reasoning:On a stage."}
    folder = written(tmp_path / "known", line, entities=({"tweet": "O_1", "entity": "Brno", "text": "a city"},))
    pipeline = Pipeline(tmp_path / "images", WrittenKnowledge(folder, "test", GMNER), NeverSeen())
    found = one(tweet, pipeline)
    assert names(found) == [("Lena Okoye", "PER"), ("Brno", "LOC")]
    assert [(f.confidence, f.known) for f in found.predicted] == [(1.0, ""), (1.0, "a city")]
    assert found.knowledge == line["text"]
    with pytest.raises(ValueError, match=r"test.jsonl: there is no knowledge of tweet 7"):
        pipeline.predict([replace(tweet, id="7")])


def test_what_an_agent_wrote_keeps_its_confidences_and_decisions(tmp_path, tweet):
    candidate = {"start": 3, "end": 4, "text": "Brno", "type": "LOC", "boundary": 0.4, "type_confidence": 1.0}
    decided = {"start": 3, "end": 4, "text": "Brno", "type": "ORG"}
    line = {"tweet": "O_1", "text": "t", "candidates": [candidate], "entities": [decided]}
    folder = written(tmp_path / "known", line)
    source = WrittenKnowledge(folder, "test", FMNERG)
    found = one(tweet, Pipeline(tmp_path / "images", source, NeverSeen()))
    assert names(found) == [("Brno", "ORG")]
    assert (found.confidence, found.predicted[0].confidence) == (0.4, 1.0)


BAD_KNOWLEDGE = {
    "no text": ({"tweet": "O_1"}, "test.jsonl:1: text=None is no text"),
    "other tokens": (
        {"tweet": "O_1", "text": "", "candidates": [{"start": 0, "end": 1, "text": "Brno", "type": "LOC"}]},
        "test.jsonl:1: 'Brno' is not at tokens 0 to 1 of tweet O_1",
    ),
    "no span": (
        {"tweet": "O_1", "text": "", "candidates": [{"start": "0", "end": 1, "text": "Lena", "type": "PER"}]},
        "test.jsonl:1: candidates[0]: start='0' is no int",
    ),
    "confidence": (
        {
            "tweet": "O_1",
            "text": "",
            "candidates": [{**{"start": 0, "end": 1, "text": "Lena", "type": "PER"}, "boundary": 2}],
        },
        "candidates[0]: boundary=2 is no number from 0 to 1",
    ),
}


@pytest.mark.parametrize(("line", "message"), BAD_KNOWLEDGE.values(), ids=BAD_KNOWLEDGE)
def test_written_knowledge_that_cannot_be_read(line, message, tmp_path, tweet):
    with pytest.raises(ValueError) as error:
        source = WrittenKnowledge(written(tmp_path / "known", line), "test", GMNER)
        one(tweet, Pipeline(tmp_path / "images", source, NeverSeen()))
    assert message in str(error.value)

"""The knowledge agent: candidates and text from sampled answers; what cannot be used; candidates of a tagger."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makar_chats import ScriptedChat, Silent, images, text
from PIL import Image

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.knowledge import NO_IMAGE, KnowledgeAgent, knowledge_text, read_answer, tagged
from setaria.agents.makar.knowledge_prompts import KnowledgePrompts, Unlabelled, gold_answer
from setaria.agents.makar.recorded_chat import RecordingChat
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER
from setaria.datasets_builders.mner.tagger_rows import tagger_rows
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import PredictedEntity


TOKENS = ("Lena", "Okoye", "loves", "Brno", "&amp", "jazz")


@pytest.fixture
def tweet(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "O_1.jpg")
    return Unlabelled("O_1", TOKENS, tmp_path / "O_1.jpg")


def agent(tmp_path, script, samples=3, layout=GMNER, **more):
    chat = RecordingChat(ScriptedChat(script), "m", tmp_path / "replies.jsonl")
    return KnowledgeAgent(chat, KnowledgePrompts(layout), samples, **more)


THREE = [
    "Named entities:\n1. Lena Okoye (PER): a singer\n2. Brno (LOC): a city\nReasoning: She stands on a stage.",
    "Named entities:\n1. Lena Okoye (PER)\n2. Brno (ORG): a club\nReasoning: Two names.",
    "Named entities:\n1. Lena (PER): a girl\n2. Brno (LOC)\nReasoning: A concert.",
]


def test_three_answers_by_hand(tmp_path, tweet):
    (found,) = agent(tmp_path, THREE).knowledge([tweet])
    # Lena in 1 of 3, Lena Okoye in 2 of 3, Brno in all, as LOC in 2 of 3
    assert found.candidates == (
        Candidate(0, 1, "Lena", "PER", "", "a girl", 1 / 3, 1.0),
        Candidate(0, 2, "Lena Okoye", "PER", "", "a singer", 2 / 3, 1.0),
        Candidate(3, 4, "Brno", "LOC", "", "a city", 1.0, 2 / 3),
    )
    assert found.entities == (PredictedEntity(0, 2, "Lena Okoye", "PER"), PredictedEntity(3, 4, "Brno", "LOC"))
    # the first answer has just these entities, so its reasoning is taken
    assert found.text == "Named entities: 1. Lena Okoye (PER) 2. Brno (LOC) Reasoning: She stands on a stage."
    assert (found.tweet, found.problems, found.unread, found.confidence) == ("O_1", (), 0, 1 / 3)
    assert found.about == {"Lena": "a girl", "Lena Okoye": "a singer", "Brno": "a city"}


def test_the_model_sees_tweet_and_image_and_is_asked_k_times(tmp_path, tweet):
    asking = agent(tmp_path, THREE)
    list(asking.knowledge([tweet]))
    model = asking.chat._model
    assert model.calls == [3]
    for conversation in model.asked:
        (image,) = images(conversation)
        assert image.size == (40, 30)
        assert "> Lena Okoye loves Brno &amp jazz" in text(conversation)
        assert "PER, LOC, ORG, OTHER" in text(conversation)


def test_what_cannot_be_used_is_reported(tmp_path, tweet):
    replies = [
        "I cannot help with that.",
        "Named entities:\n1. Oslo (LOC)\nReasoning: somewhere else",
        "Named entities:\n1. Brno (LOC): a city\n2. Lena (PER)\n3. Lena (PER)\nwho knows\nReasoning:",
    ]
    (found,) = agent(tmp_path, replies).knowledge([tweet])
    # two of three cannot be read: Brno is in 1 of 3 answers, and in all that can be read
    assert found.unread == 2
    assert [(one.text, one.boundary) for one in found.candidates] == [("Lena", 1 / 3), ("Brno", 1 / 3)]
    assert [one.text for one in found.entities] == ["Lena", "Brno"]
    assert found.problems == (
        "answer 1: neither `Named entities:` nor JSON in 'I cannot help with that.'",
        "answer 2: 'Oslo' is not in the tweet, or not so often, or part of another entity",
        "answer 3: 'who knows' is no entity with a type",
        "answer 3: 'Lena' is not in the tweet, or not so often, or part of another entity",
    )
    # no reasoning for all: what was said for single entities
    assert found.text == "Named entities: 1. Lena (PER) 2. Brno (LOC) Reasoning: Brno: a city"


def test_nothing_readable_is_no_knowledge(tmp_path, tweet):
    (found,) = agent(tmp_path, ["?"] * 3).knowledge([tweet])
    assert (found.candidates, found.entities, found.text, found.unread) == ((), (), "", 3)
    assert found.confidence == float("inf")


def test_no_entities_are_knowledge(tmp_path, tweet):
    (found,) = agent(tmp_path, ["Named entities:\nnone\nReasoning: no names"] * 3).knowledge([tweet])
    assert (found.candidates, found.text) == ((), "Named entities: none Reasoning: no names")


@pytest.mark.parametrize("content", [None, b"no image", b"\xff\xd8\xff\xe0 cut"])
def test_a_missing_or_broken_image_is_said_to_model_and_user(tmp_path, content):
    file = tmp_path / "7.jpg"
    if content is not None:
        file.write_bytes(content)
    asking = agent(tmp_path, THREE)
    (found,) = asking.knowledge([Unlabelled("7", TOKENS, file)])
    assert found.problems == (NO_IMAGE,)
    (first, *_) = asking.chat._model.asked
    assert images(first) == [] and text(first).endswith("Its image is missing.")


def test_an_image_without_a_size_for_the_model_counts_as_broken(tmp_path, tweet):
    def fit(image):
        raise ValueError("absolute aspect ratio must be smaller than 200")

    asking = agent(tmp_path, THREE)
    asking = replace(asking, prompts=replace(asking.prompts, fit=fit))
    (found,) = asking.knowledge([tweet])
    assert found.problems == (NO_IMAGE,)


def test_an_empty_tweet(tmp_path, tweet):
    (found,) = agent(tmp_path, THREE).knowledge([replace(tweet, tokens=())])
    assert (found.candidates, found.text, found.unread) == ((), "", 3)


def test_fine_types(tmp_path, tweet):
    replies = ["Named entities:\n1. Lena Okoye (person, musician)\n2. Brno (location, city)\nReasoning: a stage"]
    (found,) = agent(tmp_path, replies, samples=1, layout=FMNERG).knowledge([tweet])
    assert [(one.type, one.fine) for one in found.entities] == [("person", "musician"), ("location", "city")]
    assert found.text.startswith(
        "Named entities: 1. Lena Okoye (person, musician) 2. Brno (location, city) Reasoning:"
    )


def test_a_killed_run_asks_nothing_twice(tmp_path, tweet):
    """Five tweets by three answers, four questions at a time; the third call dies, and cuts a line on the disk."""
    tweets = [replace(tweet, id=f"t{number}") for number in range(5)]
    file = tmp_path / "replies.jsonl"
    prompts = KnowledgePrompts(GMNER)
    dying = ScriptedChat(lambda asked: THREE[0], dies_at=2)
    with pytest.raises(ConnectionError):
        list(KnowledgeAgent(RecordingChat(dying, "m", file, batch=4), prompts, 3, at_once=3).knowledge(tweets))
    assert sum(dying.calls) == 8
    file.write_bytes(file.read_bytes()[:-20])  # the eighth answer is lost
    rest = ScriptedChat(lambda asked: THREE[0])
    with pytest.warns(UserWarning, match="the last line was cut"):
        chat = RecordingChat(rest, "m", file, batch=4)
    assert chat.recorded == 7
    found = list(KnowledgeAgent(chat, prompts, 3, at_once=2).knowledge(tweets))
    assert sum(rest.calls) == 15 - 7
    assert [one.tweet for one in found] == [one.id for one in tweets]
    again = KnowledgeAgent(RecordingChat(Silent(), "m", file), prompts, 3)
    assert list(again.knowledge(tweets)) == found


def test_batches_do_not_change_what_is_known(tmp_path, tweet):
    tweets = [replace(tweet, id=f"t{number}") for number in range(7)]

    def known(folder, **more):
        return list(agent(tmp_path / folder, lambda asked: THREE[1], **more).knowledge(tweets))

    assert known("one", at_once=1) == known("many", at_once=7) == known("some", at_once=3)


def test_text_of_the_tagger_is_one_line_without_special_tokens(tmp_path):
    text = knowledge_text([PredictedEntity(0, 1, "Brno", "LOC")], "a\nb <|im_end|> </s>")
    assert text == "Named entities: 1. Brno (LOC) Reasoning: a b < |im_end|> < /s>"
    gold = Tweet("O_1", TOKENS, (), Path("O_1.jpg"))
    (row,) = tagger_rows([gold], {"O_1": text})
    assert row["knowledge"][:2] == ["Named", "entities:"]


def test_a_tagger_takes_the_candidates_over(tmp_path, tweet):
    (found,) = agent(tmp_path, THREE).knowledge([tweet])
    tag = Candidate(3, 4, "Brno", "ORG", boundary=0.9, type_confidence=0.4)
    new = Candidate(5, 6, "jazz", "OTHER", boundary=0.8, type_confidence=0.7)
    marked = tagged(found, [tag, new])
    assert marked.candidates == (replace(tag, reason="a city"), new)
    assert marked.entities == (PredictedEntity(3, 4, "Brno", "ORG"), PredictedEntity(5, 6, "jazz", "OTHER"))
    assert (marked.text, marked.confidence) == (found.text, 0.4)


def test_the_surer_of_two_mentions_says_what_is_known(tmp_path, tweet):
    (found,) = agent(tmp_path, THREE).knowledge([tweet])
    sure, unsure = (Candidate(number, number + 1, "x", "PER", "", reason, 1.0, sure) for number, reason, sure in TWO)
    assert replace(found, candidates=(sure, unsure)).about == {"x": "sure"}


TWO = ((0, "sure", 0.9), (2, "unsure", 0.5))


@pytest.mark.parametrize("field", ["samples", "at_once"])
def test_settings_are_checked(tmp_path, field):
    with pytest.raises(ValueError, match=f"{field}=0: at least 1"):
        replace(agent(tmp_path, THREE), **{field: 0})


NAMES = ("Lena", "Lena Okoye", "Okoye", "Brno", "Brno & jazz", "jazz", "Oslo", "", "&amp")


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["PER", "LOC", "dog"])), max_size=6), st.text())
def test_entities_of_an_answer_are_words_of_the_tweet_and_do_not_overlap(named, reasoning):
    lines = "\n".join(f"{number}. {name} ({kind})" for number, (name, kind) in enumerate(named, 1))
    said = read_answer(f"Named entities:\n{lines or 'none'}\nReasoning: {reasoning}", TOKENS, GMNER).said or ()
    taken = [token for one in said for token in range(one.start, one.end)]
    assert len(taken) == len(set(taken)) and set(taken) <= set(range(len(TOKENS)))
    assert all(one.type in GMNER.types for one in said)


@given(st.text())
def test_any_reply_is_read_or_refused(reply):
    answer = read_answer(reply, TOKENS, GMNER)
    assert answer.said is not None or answer.problems


def test_names_of_published_tweets_are_found_again(data):
    """All but 2 of 2450: there the tweet has the words twice, and only the second time as an entity."""
    missed = 0
    for tweet in read_gmner(data / "gmner" / "dev", "dev"):
        said = read_answer(gold_answer(tweet, "so"), tweet.tokens, GMNER).said
        found = {(one.start, one.end, one.type) for one in said}
        missed += len({(one.start, one.end, one.type) for one in tweet.entities} - found)
    assert missed == 2

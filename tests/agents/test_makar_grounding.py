"""The grounding agent: what it asks, how it reads replies, and what it does without an image."""

import pytest
from PIL import Image

from setaria.agents.makar import grounding
from setaria.agents.makar.grounding import GroundingAgent, GroundingTask
from setaria.datasets_builders.gui.rows import row_dataset
from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
from setaria.datasets_builders.mner.grounding_rows import grounding_rows, grounding_samples
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.box_codec import CODECS
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity
from setaria.rewards.grounding import grade_reply


SIZE = (200, 100)
BOX = (20.0, 10.0, 60.0, 50.0)


class Scripted:
    """A chat model that answers by the entity, and keeps what it was asked."""

    def __init__(self, replies):
        self.replies, self.batches = replies, []

    def generate(self, conversations):
        self.batches.append(conversations)
        return [
            next(self.replies[name] for name in self.replies if f'Entity: "{name}"' in text_of(one))
            for one in conversations
        ]


def text_of(conversation):
    return conversation[0]["content"][1]["text"]


def answer(text):
    return f"<think>...</think><answer>{text}</answer>"


def found(*names, **fields):
    return [PredictedEntity(n, n + 1, name, "PER", **fields) for n, name in enumerate(names)]


@pytest.fixture
def tweet(tmp_path):
    Image.effect_noise(SIZE, 80).convert("RGB").save(tmp_path / "a.jpg")
    gold = GoldEntity(0, 1, "Ann", "PER", boxes=(BOX,))
    return Tweet("a", ("Ann", "Bob", "Cy"), (gold,), tmp_path / "a.jpg", SIZE)


@pytest.fixture(scope="module")
def processor():
    """200 x 100 pixels are shown at 88 x 40."""
    size = {"shortest_edge": 64, "longest_edge": 64 * 64}
    return image_only_processor(byte_tokenizer(), patch_size=4, merge_size=2, size=size)


REPLIES = {
    # reply, family: box, readable. Thousandths of 200 x 100; pixels of 88 x 40
    "box": (answer("[100, 100, 300, 500]"), "qwen3_vl", BOX, True),
    "pixels": (answer("[9, 4, 26, 20]"), "qwen2_5_vl", (20, 10, 59, 50), True),
    "own form": (answer('[{"bbox_2d": [100, 100, 300, 500], "label": "Ann"}]'), "qwen3_vl", BOX, True),
    "none": (answer("None"), "qwen3_vl", None, True),
    "outside": (answer("[-5, 500, 1200, 2000]"), "qwen3_vl", (0, 50, 200, 100), True),
    "inverted": (answer("[300, 500, 100, 100]"), "qwen3_vl", (60, 50, 20, 10), True),
    "several boxes": (answer("[[0, 0, 9, 9], [1, 1, 5, 5]]"), "qwen3_vl", None, False),
    "no tags": ("[100, 100, 300, 500]", "qwen3_vl", None, False),
    "in the thought": ("<think>[100, 100, 300, 500]</think>", "qwen3_vl", None, False),
    "nothing": ("", "qwen3_vl", None, False),
}


@pytest.mark.parametrize(("reply", "family", "box", "readable"), REPLIES.values(), ids=REPLIES)
def test_replies(reply, family, box, readable, tweet, processor):
    """As the rewards read them; the box of the entity that came in is not looked at."""
    prompts = GroundingPrompts.of_processor(family, processor)
    agent = GroundingAgent(Scripted({"Ann": reply}), prompts)
    ((one,),) = agent.ground([GroundingTask(tweet, found("Ann", box=(1, 2, 3, 4), fine="singer"))])
    assert one.entity == PredictedEntity(0, 1, "Ann", "PER", "singer", box, readable)
    assert (one.reply, one.problem) == (reply, "")
    grade = grade_reply(reply, [BOX], CODECS[family], SIZE, (88, 40))
    assert (grade.box, grade.readable) == (one.entity.box, one.entity.readable)


def test_answers_are_in_the_order_of_tweets_and_entities(tweet, tmp_path, monkeypatch):
    monkeypatch.setattr(grounding, "AT_ONCE", 3)
    chat = Scripted({"Ann": answer("[0, 0, 500, 500]"), "Bob": answer("None"), "Cy": "?"})
    agent = GroundingAgent(chat, GroundingPrompts("qwen3_vl"))
    absent = Tweet("b", ("Ann",), (), tmp_path / "absent.jpg")
    tasks = [
        GroundingTask(tweet, found("Cy", "Ann")),
        GroundingTask(absent, found("Ann", "Bob")),
        GroundingTask(tweet, []),
        GroundingTask(tweet, found("Bob", "Ann"), {"Ann": "A singer."}),
    ]
    answers = agent.ground(iter(tasks))
    assert [[one.entity.text for one in task] for task in answers] == [
        ["Cy", "Ann"],
        ["Ann", "Bob"],
        [],
        ["Bob", "Ann"],
    ]
    assert [[one.entity.readable for one in task] for task in answers] == [[False, True], [False] * 2, [], [True] * 2]
    assert answers[3][1].entity.box == (0, 0, 100, 50)
    assert [len(batch) for batch in chat.batches] == [3, 1]
    assert 'Said about it: "A singer."\nEntity: "Ann"' in text_of(chat.batches[1][0])
    assert "Said about it" not in text_of(chat.batches[0][0])


@pytest.mark.parametrize(("content", "problem"), [(None, "missing image"), ("no image", "broken image")])
def test_without_an_image_nothing_is_asked_and_nothing_is_a_none(content, problem, tmp_path):
    file = tmp_path / "a.jpg"
    if content:
        file.write_text(content)
    chat = Scripted({})
    agent = GroundingAgent(chat, GroundingPrompts("qwen3_vl"))
    ((one,),) = agent.ground([GroundingTask(Tweet("a", ("Ann",), (), file), found("Ann"))])
    assert problem in one.problem and str(file) in one.problem
    assert (one.entity.box, one.entity.readable, one.reply) == (None, False, "")
    assert not chat.batches


def test_what_is_asked_is_what_was_taught(tweet, processor):
    """The same text and pixels as in the training row of the same entity."""
    prompts = GroundingPrompts.of_processor("qwen2_5_vl", processor)
    rows = row_dataset(
        grounding_rows(grounding_samples([tweet], prompts).samples, prompts, knowledge={("a", "Ann"): "x"})
    )
    chat = Scripted({"Ann": answer("None")})
    GroundingAgent(chat, prompts).ground([GroundingTask(tweet, found("Ann"), {"Ann": "x"})])
    (((turn,),),) = chat.batches
    assert turn["content"][1]["text"] == rows[0]["prompt"][0]["content"][1]["text"]
    assert turn["content"][0]["image"].tobytes() == rows[0]["images"][0].tobytes()
    assert list(turn["content"][0]["image"].size) == rows[0]["processed_size"] == [88, 40]


def test_what_the_chat_model_raises_is_passed_on(tweet):
    class Down(Scripted):
        def generate(self, conversations):
            raise RuntimeError("the server is down")

    with pytest.raises(RuntimeError, match="the server is down"):
        GroundingAgent(Down({}), GroundingPrompts("qwen3_vl")).ground([GroundingTask(tweet, found("Ann"))])

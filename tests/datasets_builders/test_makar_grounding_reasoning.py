"""Reasoning of the cold start: who may be asked about, what the model is told, and which texts are not taught."""

from pathlib import Path

import pytest
from PIL import Image

from setaria.datasets_builders.mner.grounding_rows import GroundingSample
from setaria.datasets_builders.mner.reasoning import (
    AT_ONCE,
    IN_IMAGE,
    LONGEST_THOUGHT,
    NOT_IN_IMAGE,
    ask_reasoning,
    fault_of,
    reasoning_prompt,
    template_reasoning,
)
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import GoldEntity


SEEN = "Lena sings on stage, so one looks for a singer: the woman at the microphone must be her."
UNSEEN = "Brno is a town, but the image shows one room only; no town is visible."


@pytest.fixture
def image(tmp_path):
    Image.new("RGB", (200, 100), "white").save(tmp_path / "a.png")
    return tmp_path / "a.png"


def sample(image: Path, *boxes, text="Lena", tweet="a") -> GroundingSample:
    entity = GoldEntity(0, 1, text, "PER", boxes=boxes)
    return GroundingSample(Tweet(tweet, (text, "sings"), (entity,), image), entity)


class Script:
    """Replies in turn, and what was asked."""

    def __init__(self, *replies):
        self.replies, self.asked = iter(replies), []

    def __call__(self, conversations):
        self.asked.append(conversations)
        return [next(self.replies) for _ in conversations]


def test_the_model_is_told_the_answer(image):
    """The frame covers the outermost pixels of the box (20, 10, 60, 50), columns 20 to 59, and nothing outside."""
    (turn,) = reasoning_prompt(sample(image, (20, 10, 60, 50)), "A singer.")
    shown, text = turn["content"]
    pixels = shown["image"]
    assert {pixels.getpixel(place) for place in ((20, 10), (59, 49), (59, 10))} == {(255, 0, 0)}
    assert {pixels.getpixel(place) for place in ((19, 10), (60, 49), (30, 30), (20, 50))} == {(255, 255, 255)}
    assert text["text"].startswith(
        f'Tweet: "Lena sings"\nSaid about it: "A singer."\nEntity: "Lena", "PER"\n{IN_IMAGE}'
    )
    (turn,) = reasoning_prompt(sample(image))
    shown, text = turn["content"]
    assert shown["image"].getcolors() == [(20_000, (255, 255, 255))]
    assert NOT_IN_IMAGE in text["text"] and IN_IMAGE not in text["text"]


def test_texts_come_in_order(image):
    ask = Script(f" {SEEN}\n", UNSEEN)
    said = list(ask_reasoning([sample(image, (0, 0, 9, 9)), sample(image, text="Brno")], ask, held_out=()))
    assert [(one.key, one.text, one.fault) for one in said] == [
        (("a", "Lena"), SEEN, ""),
        (("a", "Brno"), UNSEEN, ""),
    ]
    assert len(ask.asked) == 1


def test_gold_of_held_out_tweets_is_not_told(image):
    ask = Script()
    samples = [sample(image), sample(image, tweet="b")]
    with pytest.raises(ValueError, match="tweet b is held out"):
        list(ask_reasoning(samples, ask, held_out={"b"}))
    assert not ask.asked


def test_faulty_texts_are_asked_for_again_and_reported(image):
    """Of three entities the first is right at once, the second at the second try, the third never."""
    ask = Script(SEEN, "", "", SEEN, "It is not visible.")
    samples = [sample(image, (0, 0, 9, 9), text=text) for text in "xyz"]
    said = list(ask_reasoning(samples, ask, held_out=(), tries=2))
    assert [len(batch) for batch in ask.asked] == [3, 2]
    assert [one.fault for one in said] == ["", "", "contradicts the box: 'not visible'"]
    assert said[2].text == "It is not visible."


def test_many_are_asked_in_parts(image):
    ask = Script(*[UNSEEN] * (AT_ONCE + 1))
    assert len(list(ask_reasoning([sample(image)] * (AT_ONCE + 1), ask, held_out=()))) == AT_ONCE + 1
    assert [len(batch) for batch in ask.asked] == [AT_ONCE, 1]


def test_a_model_that_leaves_a_question_out(image):
    with pytest.raises(ValueError, match="zip"):
        list(ask_reasoning([sample(image)] * 2, lambda conversations: [UNSEEN], held_out=()))


FAULTS = {
    # text, whether the entity is in the image, fault
    "empty": ("", True, "empty"),
    "long": ("x" * (LONGEST_THOUGHT + 1), True, "longer than 600 characters"),
    "tag": ("A <think> tag", True, "holds <think>"),
    "tag in capitals": ("</Answer>", True, "holds </answer>"),
    "special token": ("done<|im_end|>", True, "holds <|"),
    "told": ("As the ground truth says, she is at the left.", True, "shows that the answer was told: 'ground truth'"),
    "annotated": ("The annotated singer.", True, "shows that the answer was told: 'annotat'"),
    "frame": ("She is inside the red frame.", True, "shows that the answer was told: 'frame'"),
    "box": ("Her bounding box is at the left.", True, "shows that the answer was told: 'bounding box'"),
    "given": ("The given answer is right.", True, "shows that the answer was told: 'given answer'"),
    "coordinates": ("She is at [10, 20, 30, 40].", True, "holds coordinates: '10, 20,'"),
    "a point": ("She is at (10, 20).", True, "holds coordinates: '10, 20)'"),
    "denied": ("She is not clearly visible.", True, "contradicts the box: 'not clearly visible'"),
    "cannot": ("She cannot be seen.", True, "contradicts the box: 'cannot be seen'"),
    "isn't": ("She isn't in the image.", True, 'contradicts the box: "n\'t in the image"'),
    "does not": ("She does not appear.", True, "contradicts the box: 'not appear'"),
    "no sign": ("There is no sign of her.", True, "contradicts the box: 'no sign of'"),
    "nobody": ("Nobody like her can be seen.", True, "contradicts the box: 'Nobody like her can be seen'"),
    "claimed": ("She is clearly visible at the left.", False, "contradicts None: 'is clearly visible'"),
    "appears": ("She appears in the middle.", False, "contradicts None: 'appears in the'"),
}


@pytest.mark.parametrize(("text", "seen", "fault"), FAULTS.values(), ids=FAULTS)
def test_faults(text, seen, fault):
    assert fault_of(text, seen) == fault


FINE = {
    "seen": (SEEN, True),
    "visible": ("The woman is visible at the left, with 2 others.", True),
    "unseen": (UNSEEN, False),
    "absent": ("A stadium is shown, but the player is absent.", False),
    "without a word on it": ("Only a dog and a sofa.", False),
    "nothing": ("None of the four people can be seen wearing his number 23.", False),
    "longest": ("x" * LONGEST_THOUGHT, True),
}


@pytest.mark.parametrize(("text", "seen"), FINE.values(), ids=FINE)
def test_texts_that_are_taught(text, seen):
    assert fault_of(text, seen) == ""


@pytest.mark.parametrize("seen", [True, False])
def test_the_template_passes_its_own_checks(seen):
    assert template_reasoning("red coat", True) == "Look for the red coat. It is here."
    assert template_reasoning("red coat", False) == "Look for the red coat. It is not here."
    assert fault_of(template_reasoning("red coat", seen), seen) == ""

"""The gold reward of the notes world: every component on literal notes, the total, and the TRL form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.rewards.notes import mean_components, note_reward, score_note
from setaria.rewards.notes_language import NAMES, PHRASES, THINGS, TONES, Request, split_sentences


REQUEST = "Write a cheerful note to Anna. Mention the cake and the train."
PERFECT = "Hi Anna! I baked a cake for you. The train leaves at nine. I hope you are well. See you soon!"

NOTES = {
    # what the note does: note, components that are not those of the perfect note, gold
    "perfect": (PERFECT, {}, 1.0),
    "another order": (
        "Hi Anna! It was fun to see you. The train leaves at nine. The cake is on the table. See you soon!",
        {},
        1.0,
    ),
    "empty": ("", {"greeting": 0, "coverage": 0, "courtesy": 0, "closing": 0}, 0.0),
    "wrong name": (PERFECT.replace("Anna", "Ben"), {"greeting": 0}, 0.85),
    "wrong tone at the end": (PERFECT.replace("See you soon!", "Many thanks again!"), {"closing": 0}, 0.75),
    "no courtesy": (PERFECT.replace(" I hope you are well.", ""), {"courtesy": 0}, 0.8),
    "train forgotten": (PERFECT.replace(" The train leaves at nine.", ""), {"coverage": 0.5}, 0.8),
    "soup instead of cake": (
        PERFECT.replace("I baked a cake for you.", "I made soup for lunch."),
        {"coverage": 0.5, "unrequested": 0.5},
        0.65,
    ),
    "repeated sentence": (
        PERFECT.replace("I hope", "The train leaves at nine. I hope"),
        {"repetition": 1 / 6, "rambling": 1 / 6},
        0.9,
    ),
    "both cake sentences": (
        PERFECT.replace("The train", "The cake is on the table. The train"),
        {"rambling": 1 / 6},
        0.95,
    ),
    "word salad": (
        PERFECT.replace("The train leaves at nine.", "train the at."),
        {"coverage": 0.5, "malformed": 0.2},
        0.7,
    ),
    "cut off": (
        PERFECT.removesuffix(" soon!"),
        {"closing": 0, "malformed": 0.2},
        0.65,
    ),
}


@pytest.mark.parametrize(("note", "differences", "gold"), NOTES.values(), ids=NOTES)
def test_components(note, differences, gold):
    earned = dict.fromkeys(("greeting", "coverage", "courtesy", "closing"), 1.0)
    deducted = dict.fromkeys(("unrequested", "repetition", "rambling", "malformed"), 0.0)
    score = score_note(REQUEST, note)
    assert vars(score) == pytest.approx(earned | deducted | differences)
    assert score.gold == pytest.approx(gold, abs=1e-6)


def test_reward_takes_texts_and_conversations():
    prompt = [{"role": "user", "content": REQUEST}]
    completion = [{"role": "assistant", "content": PERFECT}]
    rewards = note_reward(
        prompts=[prompt, REQUEST], completions=[completion, ""], completion_ids=[[1], [2]], tone=["x"]
    )
    assert rewards == [1.0, 0.0]


def test_mean_components():
    means = mean_components([REQUEST, REQUEST], [PERFECT, ""])
    assert list(means)[:3] == ["gold", "greeting", "coverage"]
    assert means["gold"] == 0.5


REQUESTS = st.builds(
    Request,
    st.sampled_from(TONES),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(sorted(THINGS)), min_size=1, max_size=3, unique=True).map(tuple),
)


@given(REQUESTS)
def test_request_round_trip(request):
    assert Request.parse(request.text) == request


@given(REQUESTS, st.lists(st.sampled_from(sorted(PHRASES))).map(" ".join) | st.text())
def test_gold_is_bounded_and_pure(request, note):
    assert -1.4 <= score_note(request.text, note).gold <= 1.0
    assert score_note(request.text, note) == score_note(request.text, note)


@pytest.mark.parametrize("text", ["", "Hello", "Write a rude note to Anna. Mention the cake.", REQUEST + " Thanks."])
def test_other_requests_are_refused(text):
    with pytest.raises(ValueError, match="not a request of the notes world"):
        score_note(text, PERFECT)


def test_split_sentences():
    assert split_sentences(" Dear Ben, Will you come?  Yes") == ["Dear Ben,", "Will you come?", "Yes"]

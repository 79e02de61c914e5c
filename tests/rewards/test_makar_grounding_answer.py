"""Replies of the grounding agent: what is read, what is not, and that nothing raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.models.box_codec import box_codec
from setaria.rewards.grounding_answer import (
    LONGEST_ANSWER,
    LONGEST_REPLY,
    GroundingAnswer,
    answer_text,
    parse_answer,
    parse_reply,
    write_reply,
)


THINK = "<think>red shirt, left</think>"
BOX = (1, 2, 3, 4)
FORMS = {
    # reply, and what stands in its answer
    "plain": (f"{THINK}<answer>None</answer>", "None"),
    "white space": (f"\n {THINK}\n\n<answer>\n None </answer>\n", "None"),
    "several lines of thought": ("<think>a\nb</think><answer>c\nd</answer>", "c\nd"),
    "nothing in the tags": ("<think></think><answer></answer>", ""),
    "other tags are text": (f"{THINK}<answer><b>1</b></answer>", "<b>1</b>"),
    "no thought": ("<answer>None</answer>", None),
    "no answer": (THINK, None),
    "no tags": ("[1, 2, 3, 4]", None),
    "empty": ("", None),
    "text before": (f"So: {THINK}<answer>None</answer>", None),
    "text after": (f"{THINK}<answer>None</answer>.", None),
    "text between": (f"{THINK}so<answer>None</answer>", None),
    "answer first": (f"<answer>None</answer>{THINK}", None),
    "answer in the thought": ("<think><answer>None</answer></think>", None),
    "answer in the thought, too": ("<think><answer>x</answer></think><answer>None</answer>", None),
    "two answers": (f"{THINK}<answer>None</answer><answer>None</answer>", None),
    "two thoughts": (f"{THINK}{THINK}<answer>None</answer>", None),
    "answer in the answer": (f"{THINK}<answer><answer>None</answer></answer>", None),
    "answer not closed": (f"{THINK}<answer>None", None),
    "upper case": (f"{THINK}<ANSWER>None</ANSWER>", None),
}


@pytest.mark.parametrize(("reply", "answer"), FORMS.values(), ids=FORMS)
def test_form(reply, answer):
    assert answer_text(reply) == answer
    assert answer is not None or parse_reply(reply) is None


ANSWERS = {
    # answer, its numbers; "none" for the word, None for what cannot be read
    "None": ("None", "none"),
    "upper case": ("NONE", "none"),
    "list": ("[1, 2, 3, 4]", BOX),
    "list without spaces": ("[1,2,3,4]", BOX),
    "fractions": ("[1.0, 2e0, 3.5, 4]", (1, 2, 3.5, 4)),
    "outside the image": ("[-1, 2, 3000, 4]", (-1, 2, 3000, 4)),
    "corners in another order": ("[3, 4, 1, 2]", (3, 4, 1, 2)),
    "Qwen-VL's form": ('[{"bbox_2d": [1, 2, 3, 4], "label": "Ada"}]', BOX),
    "without the list": ('{"bbox_2d": [1, 2, 3, 4]}', BOX),
    "in a fence": ('```json\n[{"bbox_2d": [1, 2, 3, 4]}]\n```', BOX),
    "one box in a list": ("[[1, 2, 3, 4]]", BOX),
    "two boxes": ("[[1, 2, 3, 4], [1, 2, 3, 4]]", None),
    "two of Qwen-VL's": ('[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]', None),
    "two lists": ("[1, 2, 3, 4] [5, 6, 7, 8]", None),
    "no boxes": ("[]", None),
    "null": ("null", None),
    "nothing": ("", None),
    "None and more": ("None.", None),
    "three numbers": ("[1, 2, 3]", None),
    "five numbers": ("[1, 2, 3, 4, 5]", None),
    "text around": ("at [1, 2, 3, 4]", None),
    "no brackets": ("1, 2, 3, 4", None),
    "not JSON": ("[.5, 2, 3, 4]", None),
    "strings": ('["1", "2", "3", "4"]', None),
    "booleans": ("[true, 2, 3, 4]", None),
    "NaN": ("[NaN, 2, 3, 4]", None),
    "infinity": ("[1, 2, 3, Infinity]", None),
    "beyond a float": ("[1, 2, 3, 1e999]", None),
    "beyond any image": (f"[1, 2, 3, 1{'0' * 400}]", None),
    "another key": ('{"box": [1, 2, 3, 4]}', None),
    "box of boxes": ('{"bbox_2d": [[1, 2, 3, 4]]}', None),
    "deep": ("[" * LONGEST_ANSWER, None),
    "deep and closed": ("[" * 400 + "]" * 400, None),
    "too long": (" " * LONGEST_ANSWER + "[1, 2, 3, 4]", None),
}


@pytest.mark.parametrize(("answer", "numbers"), ANSWERS.values(), ids=ANSWERS)
def test_answer(answer, numbers):
    expected = None if numbers is None else GroundingAnswer(None if numbers == "none" else numbers)
    assert parse_answer(answer) == expected


def test_too_long_a_reply_is_not_read():
    filler = LONGEST_REPLY - len("<think></think><answer>None</answer>")
    assert parse_reply(f"<think>{'a' * filler}</think><answer>None</answer>") == GroundingAnswer(None)
    assert parse_reply(f"<think>{'a' * (filler + 1)}</think><answer>None</answer>") is None


def test_box_in_pixels_of_the_original_image():
    # Of 1000 units across 200 pixels, 100 are 20; down 50 pixels, 200 are 10.
    assert GroundingAnswer((100, 200, 500, 1000)).box(box_codec("qwen3_vl"), (200, 50)) == (20, 10, 100, 50)
    # Shown at twice its size: halves.
    assert GroundingAnswer((40, 20, 200, 100)).box(box_codec("qwen2_5_vl"), (200, 50), (400, 100)) == (20, 10, 100, 50)
    assert GroundingAnswer(None).box(box_codec("qwen2_5_vl"), (200, 50)) is None


def test_writes_what_is_taught():
    assert write_reply("red", (1, 2, 3, 4)) == "<think>red</think><answer>[1, 2, 3, 4]</answer>"
    assert write_reply("gone", None) == "<think>gone</think><answer>None</answer>"


@given(st.text(), st.none() | st.tuples(*[st.integers(-10, 2000)] * 4))
def test_reads_what_it_writes(thought, numbers):
    assert parse_reply(write_reply(thought, numbers)) == GroundingAnswer(numbers)


def test_a_thought_with_a_tag_is_refused():
    with pytest.raises(ValueError, match=r"thought 'a</think>' holds </think>"):
        write_reply("a</think>", None)


PIECES = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "[1, 2, 3, 4]",
        "[",
        "]",
        "{",
        '{"bbox_2d": ',
        "1e400",
        "NaN",
        ",",
    ]
)


@given(st.text() | st.lists(PIECES | st.text(max_size=3)).map("".join))
def test_no_reply_raises(text):
    for reply in (text, f"<think></think><answer>{text}</answer>"):
        answer = parse_reply(reply)
        if answer is not None:
            answer.box(box_codec("qwen3_vl"), (640, 480))


def test_hostile_replies_take_no_time():
    for piece in ("<think>", "</think>", "</think><answer>", " ", "1", "["):
        text = piece * (LONGEST_REPLY // len(piece))
        assert parse_reply(text) is None
        assert parse_reply(f"<think></think><answer>{text[: LONGEST_REPLY - 40]}</answer>") is None

"""The grounding rewards: the measured table of the released function, ours on the same replies, and TRL's calls."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.models.box_codec import CODECS, box_codec
from setaria.rewards.grounding import GroundingRewards, grade_reply
from setaria.rewards.grounding_answer import write_reply
from setaria.rewards.grounding_paper_exact import PaperExactRewards, paper_accuracy, paper_format


THINK = "<think>red shirt, left</think>"
BOX = (10, 10, 50, 50)  # 40 * 40 = 1600
RIGHT = "<answer>[10, 10, 50, 50]</answer>"
NONE = ()
SIZE = (1000, 1000)  # so that units of qwen3_vl are pixels


def said(answer: str) -> str:
    return f"{THINK}<answer>{answer}</answer>"


TABLE = {
    # reply, gold boxes, (format, accuracy) of the released function, (format, accuracy) of ours
    "exact box": (THINK + RIGHT, [BOX], (1, 1), (1, 1)),
    # 40 * 30 of 40 * 40: .75
    "IoU over .5": (said("[10, 10, 50, 40]"), [BOX], (1, 1), (1, 1)),
    # 40 * 20 of 40 * 40
    "IoU of .5": (said("[10, 10, 50, 30]"), [BOX], (1, 1), (1, 1)),
    # 40 * 19 of 40 * 40: .475
    "IoU under .5": (said("[10, 10, 50, 29]"), [BOX], (1, 0), (1, 0)),
    "None, gold None": (said("None"), NONE, (1, 0), (1, 1)),
    "None, gold a box": (said("None"), [BOX], (1, 0), (1, 0)),
    "a box, gold None": (THINK + RIGHT, NONE, (1, 0), (1, 0)),
    # An empty box: equal numbers are enough for the release. None is what we have for it.
    "[0, 0, 0, 0], gold the same": (said("[0, 0, 0, 0]"), [(0, 0, 0, 0)], (1, 1), (1, 0)),
    # We reject corners in another order.
    "swapped corners": (said("[50, 50, 10, 10]"), [BOX], (1, 0), (1, 0)),
    "only x swapped": (said("[50, 10, 10, 50]"), [BOX], (1, 0), (1, 0)),
    "right answer in the thought, wrong one at the end": (
        f"<think>{RIGHT}</think><answer>[60, 60, 90, 90]</answer>",
        [BOX],
        (1, 1),
        (0, 0),
    ),
    "two answers, the first right": (f"{THINK}{RIGHT}<answer>[60, 60, 90, 90]</answer>", [BOX], (1, 1), (0, 0)),
    "two answers, the second right": (f"{THINK}<answer>[60, 60, 90, 90]</answer>{RIGHT}", [BOX], (1, 0), (0, 0)),
    "line break before": (f"\n{THINK}{RIGHT}", [BOX], (0, 1), (1, 1)),
    "line break after": (f"{THINK}{RIGHT}\n", [BOX], (0, 1), (1, 1)),
    "right answer alone": (RIGHT, [BOX], (0, 1), (0, 0)),
    "bare box": ("[10, 10, 50, 50]", [BOX], (0, 0), (0, 0)),
    "Qwen-VL's own form": (said('[{"bbox_2d": [10, 10, 50, 50]}]'), [BOX], (1, 0), (1, 1)),
    "two boxes": (said("[10, 10, 50, 50], [60, 60, 90, 90]"), [BOX], (1, 0), (1, 0)),
    "two boxes in a list": (said("[[10, 10, 50, 50], [60, 60, 90, 90]]"), [BOX], (1, 0), (1, 0)),
    "empty answer": (said(""), [BOX], (1, 0), (1, 0)),
    "empty box": (said("[10, 10, 10, 50]"), [BOX], (1, 0), (1, 0)),
    "a number without digits before its point": (said("[.5, 10, 50, 50]"), [BOX], (1, 0), (1, 0)),
    "nothing in the tags": ("<think></think><answer></answer>", [BOX], (1, 0), (1, 0)),
}


@pytest.mark.parametrize(("reply", "golds", "paper", "ours"), TABLE.values(), ids=TABLE)
def test_table(reply, golds, paper, ours):
    for rewards, expected in ((PaperExactRewards("qwen3_vl"), paper), (GroundingRewards("qwen3_vl"), ours)):
        given = batch([reply], [golds])
        assert [function(**given) for function in rewards.functions] == [[float(value)] for value in expected]


@pytest.mark.parametrize(
    ("gold", "accuracy"),
    [
        ("<answer>[10, 10, 50, 50]</answer>", 1),
        ("<think>left</think><answer>[10, 10, 50, 50]</answer>", 1),
        ("<answer>[50, 50, 10, 10]</answer>", 0),  # swapped gold
        ("[10, 10, 50, 50]", 0),  # gold without tags
        ("<answer>None</answer>", 0),
    ],
)
def test_released_function_on_gold_as_text(gold, accuracy):
    assert paper_format(THINK + RIGHT) == 1
    assert paper_accuracy(THINK + RIGHT, gold) == accuracy


def test_swapped_gold_is_never_right():
    """The other column of the table's row on swapped gold."""
    assert GroundingRewards("qwen3_vl").accuracy(**batch([THINK + RIGHT], [[(50, 50, 10, 10)]])) == [0.0]


def test_released_numbers():
    assert paper_accuracy(said("[ -0,10.0 ,\n50., 50 ]"), "<answer>[0, 10, 50, 50]</answer>") == 1
    assert paper_accuracy(said("[+0, 10, 50, 50]"), "<answer>[0, 10, 50, 50]</answer>") == 0
    # 401 digits, more than a float holds: infinite
    assert paper_accuracy(said(f"[0, 0, 1{'0' * 400}, 50]"), "<answer>[0, 0, 50, 50]</answer>") == 0


# IoU of .475 and .25 by rows of BOX: 40 * 19 and 40 * 10 of 1600.
SHAPED = {
    "step": {50: 1.0, 30: 1.0, 29: 0.0, 20: 0.0, 10: 0.0},
    "soft": {50: 1.0, 30: 0.5, 29: 0.475, 20: 0.25, 10: 0.0},
    "piecewise": {50: 1.0, 30: 1.0, 29: 0.95, 20: 0.5, 10: 0.0},
}


@pytest.mark.parametrize("shape", SHAPED)
def test_shapes(shape):
    replies = [said(f"[10, 10, 50, {bottom}]") for bottom in SHAPED[shape]]
    scores = GroundingRewards("qwen3_vl", shape).accuracy(**batch(replies, [[BOX]] * len(replies)))
    assert scores == pytest.approx(list(SHAPED[shape].values()))
    none = GroundingRewards("qwen3_vl", shape).accuracy(**batch([said("None"), said("[1, 1, 2, 2]")], [NONE, NONE]))
    assert none == [1.0, 0.0]


def test_any_gold_box_is_right_and_the_best_one_counts():
    golds = [(500, 500, 900, 900), BOX]
    assert GroundingRewards("qwen3_vl", "soft").accuracy(**batch([said("[10, 10, 50, 30]")], [golds])) == [0.5]
    # The released data have one box; ours for several: the first.
    assert PaperExactRewards("qwen3_vl").accuracy(**batch([THINK + RIGHT], [golds])) == [0.0]


def test_unreadable_is_not_none():
    grade = grade_reply(said("nowhere"), NONE, box_codec("qwen3_vl"), SIZE)
    assert (grade.readable, grade.box, grade.right) == (False, None, False)
    assert GroundingRewards("qwen3_vl").accuracy(**batch([said("nowhere")], [NONE])) == [0.0]


def batch(replies: list, gold_boxes: list, **columns) -> dict:
    """A batch as TRL hands it to each reward function."""
    return {
        "prompts": [[{"role": "user", "content": "Where is Ada?"}]] * len(replies),
        "completions": [[{"role": "assistant", "content": reply}] for reply in replies],
        "completion_ids": [[1]] * len(replies),
        "images": [[object()]] * len(replies),
        "gold_boxes": [[list(box) for box in boxes] for boxes in gold_boxes],
        "image_size": [list(SIZE)] * len(replies),
        "trainer_state": object(),
        "log_extra": lambda column, values: None,
        "log_metric": lambda name, value: None,
        **columns,
    }


def test_what_is_logged():
    logged, extra = [], {}
    replies = [
        THINK + RIGHT,
        said("[10, 10, 50, 29]"),
        said("None"),
        said("None"),
        THINK + RIGHT,
        said("?"),
        said("?"),
    ]
    golds = [[BOX], [BOX], [BOX], NONE, NONE, NONE, [BOX]]
    GroundingRewards("qwen3_vl").accuracy(
        **batch(replies, golds, log_metric=lambda *pair: logged.append(pair), log_extra=extra.__setitem__)
    )
    values = {name: [value for key, value in logged if key == name] for name, _ in logged}
    assert values == {
        "grounding/unreadable": [0, 0, 0, 0, 0, 1, 1],
        "grounding/iou": [1.0, 0.475, 0.0, 0.0],
        "grounding/right_groundable": [1, 0, 0, 0],
        "grounding/right_none": [1, 0, 0],
    }
    box = "(10, 10, 50, 50)"
    assert extra == {"box": [box, "(10, 10, 50, 29)", "None", "None", box, "unreadable", "unreadable"]}


def test_names_are_those_that_trl_logs_by():
    for rewards in (GroundingRewards("qwen3_vl"), PaperExactRewards("qwen3_vl")):
        assert [function.__name__ for function in rewards.functions] == ["format", "accuracy"]


def test_reward_functions_can_be_pickled():
    for rewards in (GroundingRewards("qwen3_vl", "soft"), PaperExactRewards("qwen3_vl")):
        for function in pickle.loads(pickle.dumps(rewards.functions)):
            assert function(**batch([THINK + RIGHT], [[BOX]])) == [1.0]


def test_without_trl():
    assert GroundingRewards("qwen3_vl").accuracy([THINK + RIGHT], gold_boxes=[[BOX]], image_size=[SIZE]) == [1.0]


@pytest.mark.parametrize("family", CODECS)
def test_gold_is_right_in_every_family(family):
    """Boxes of whole pixels, more than one unit wide, in an image that Qwen2.5-VL sees at another size."""
    image, seen = (640, 480), (644, 476)
    golds = [(12, 20, 300, 400), (0, 0, 640, 480), (600, 440, 640, 480)]
    numbers = [box_codec(family).encode(gold, image, seen) for gold in golds]
    columns = {"image_size": [image] * 4, "processed_size": [seen] * 4}
    given = batch([write_reply("there", said) for said in [*numbers, None]], [[g] for g in golds] + [NONE], **columns)
    for shape in ("step", "soft"):
        scores = [function(**given) for function in GroundingRewards(family, shape).functions]
        assert scores == [[1.0] * 4] * 2
    assert PaperExactRewards(family).accuracy(**given) == [1.0, 1.0, 1.0, 0.0]


def test_absolute_numbers_need_the_processed_size():
    """Numbers in pixels of an image shown at twice its size are wrong as pixels of the original."""
    given = batch([said("[20, 20, 100, 100]")], [[BOX]])
    assert GroundingRewards("qwen2_5_vl").accuracy(**given, processed_size=[[2000, 2000]]) == [1.0]
    assert GroundingRewards("qwen2_5_vl").accuracy(**given, processed_size=[[1000, 1000]]) == [0.0]
    with pytest.raises(ValueError, match="column processed_size is missing: qwen2_5_vl writes pixels"):
        GroundingRewards("qwen2_5_vl").accuracy(**batch([said("None")], [NONE]))
    with pytest.raises(ValueError, match="processed_size is missing"):
        PaperExactRewards("qwen2_5_vl").accuracy(**given)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="shape='hard': one of step, soft, piecewise is allowed"):
        GroundingRewards("qwen3_vl", "hard")
    for rewards in (GroundingRewards, PaperExactRewards):
        with pytest.raises(ValueError, match="family is 'llava'"):
            rewards("llava")


def test_columns_of_other_lengths_are_refused():
    for rewards in (GroundingRewards("qwen3_vl"), PaperExactRewards("qwen3_vl")):
        with pytest.raises(ValueError, match="zip"):
            rewards.accuracy(**batch([THINK + RIGHT], [[BOX], [BOX]]))


NUMBERS = st.integers(-10, 1200) | st.floats() | st.just(10**400)
REPLIES = (
    st.text()
    | st.lists(NUMBERS, max_size=6).map(lambda numbers: said(str(numbers)))
    | st.lists(NUMBERS, max_size=6).map(lambda numbers: said(f'[{{"bbox_2d": {numbers}}}]'))
    | st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "None", RIGHT, "\n"])).map("".join)
)


@given(REPLIES, st.sampled_from([NONE, [BOX], [(0, 0, 0, 0)], [BOX, (0, 0, 1000, 1000)]]))
def test_no_reply_raises(reply, golds):
    for rewards in (PaperExactRewards("qwen3_vl"), *(GroundingRewards("qwen3_vl", shape) for shape in SHAPED)):
        for function in rewards.functions:
            (score,) = function(**batch([reply], [golds]))
            assert 0 <= score <= 1

"""The judgment rewards: values by hand, one execution per batch, and the forms that TRL calls them in."""

import math
import pickle

import pytest

from setaria.rewards.completions import reply_text
from setaria.rewards.judgment import Attempted, JudgmentRewards


# What became of an action, and gold_match, verifier and judger of r = g - b1 (1 - p_v) - b2 P(p_j = 0).
CASES = {
    "right": (Attempted(True, True, 0.0), 1.0, 0.0, 0.0),
    "right, the Judger in doubt": (Attempted(True, True, 0.25), 1.0, 0.0, -0.25),
    "right, the Judger sure of the contrary": (Attempted(True, True, 1.0), 1.0, 0.0, -1.0),
    "wrong page": (Attempted(False, True, 0.75), 0.0, 0.0, -0.75),
    "without effect, or no action": (Attempted(False, False, None), 0.0, -1.0, None),
    "without effect, judged all the same": (Attempted(False, False, 0.5), 0.0, -1.0, -0.5),
}
REPLIES = list(CASES)


class Attempts:
    """Looks replies up in CASES; counts its calls and keeps the rows."""

    def __init__(self):
        self.rows = []

    def __call__(self, replies, rows):
        self.rows.append(rows)
        return [CASES[reply][0] for reply in replies]


@pytest.fixture
def attempts():
    return Attempts()


def batch(completions: list, **columns) -> dict:
    """A batch as TRL hands it to each reward function."""
    return {
        "prompts": [f"prompt {index}" for index in range(len(completions))],
        "completions": completions,
        "completion_ids": [[1]] * len(completions),
        "page": [f"page {index}" for index in range(len(completions))],
        "trainer_state": object(),
        "log_extra": print,
        "log_metric": print,
        "environments": None,
        **columns,
    }


def test_values_by_hand(attempts):
    given = batch(REPLIES)
    scores = [function(**given) for function in JudgmentRewards(attempts).functions]
    assert scores == [[case[place] for case in CASES.values()] for place in (1, 2, 3)]


def test_names_are_those_that_trl_logs_by(attempts):
    names = [function.__name__ for function in JudgmentRewards(attempts).functions]
    assert names == ["gold_match", "verifier", "judger"]


def test_a_batch_is_attempted_once(attempts):
    rewards, given = JudgmentRewards(attempts), batch(REPLIES)
    for function in rewards.functions:
        function(**given)
    assert len(attempts.rows) == 1


def test_rows_hold_the_columns_and_nothing_of_the_trainer(attempts):
    JudgmentRewards(attempts).verifier(**batch(REPLIES[:2], gold_reply=["a", "b"]))
    assert attempts.rows == [
        [
            {"prompt": "prompt 0", "page": "page 0", "gold_reply": "a"},
            {"prompt": "prompt 1", "page": "page 1", "gold_reply": "b"},
        ]
    ]


@pytest.mark.parametrize("changed", ["completions", "page"])
def test_another_batch_is_another_attempt(changed, attempts):
    rewards, given = JudgmentRewards(attempts), batch(["right", "wrong page"])
    rewards.gold_match(**given)
    # Equal, but not the same list: another batch, whose judgments may differ.
    rewards.gold_match(**{**given, changed: list(given[changed])})
    assert len(attempts.rows) == 2


def test_only_the_last_batch_is_kept(attempts):
    rewards, first, second = JudgmentRewards(attempts), batch(["right"]), batch(["wrong page"])
    scores = [rewards.gold_match(**given) for given in (first, second, first)]
    assert scores == [[1.0], [0.0], [1.0]]
    assert len(attempts.rows) == 3


@pytest.mark.parametrize(
    "completion",
    [
        "click(1)",
        [{"role": "assistant", "content": "click(1)"}],
        [{"role": "assistant", "content": [{"type": "text", "text": "click"}, {"type": "text", "text": "(1)"}]}],
    ],
)
def test_text_of_a_completion(completion):
    assert reply_text(completion) == "click(1)"


def test_conversations_are_read_as_text(attempts):
    given = batch([[{"role": "assistant", "content": reply}] for reply in ("right", "wrong page")])
    assert JudgmentRewards(attempts).gold_match(**given) == [1.0, 0.0]


def test_a_missing_result_is_named():
    with pytest.raises(ValueError, match="attempt_batch returned 1 results for 2 replies"):
        JudgmentRewards(lambda replies, rows: [CASES["right"][0]]).judger(**batch(["right", "right"]))


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_no_probability_is_refused(bad):
    with pytest.raises(ValueError, match=f"bad={bad} is no probability"):
        Attempted(True, True, bad)


def test_reward_functions_can_be_pickled(attempts):
    gold_match = pickle.loads(pickle.dumps(JudgmentRewards(attempts).gold_match))
    assert gold_match(**batch(["right", "wrong page"])) == [1.0, 0.0]

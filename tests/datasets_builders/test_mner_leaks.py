"""Whether knowledge of tweets was written by someone who saw their labels: shares by hand, jumps, shared tweets."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.knowledge_prompts import gold_answer
from setaria.agents.makar.quoting import neutral
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.leaks import Exposure, Informed, exposure, find_leaks, inform, is_jump
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.rewards.grounded_entities import GoldEntity


LENA = GoldEntity(0, 2, "Lena Okoye", "person", "musician")
BRNO = GoldEntity(3, 4, "Brno", "location", "city")
TWEET = Tweet("O_1", ("Lena", "Okoye", "in", "Brno"), (LENA, BRNO), Path("O_1.jpg"))


def told(text, tweet=TWEET):
    return Informed(tweet, text)


@pytest.mark.parametrize(
    ("text", "names", "types", "pairs"),
    [
        ("Named entities: 1. Lena Okoye (person, musician) 2. Brno (city) Reasoning: x", 2, 2, 2),
        ("Named entities: 1. Lena Okoye (singer) 2. Brno (city) Reasoning: a musician", 2, 1, 1),  # list, no reasoning
        ("Named entities: 1. Lena (musician) 2. Brno (town) Reasoning:", 1, 1, 0),
        ("Named entities: 1. Lena Okoye (city) 2. Brno (musician) Reasoning:", 2, 2, 0),  # types of one another
        ("Named entities:1. Lena Okoye (musicians)2. Brnoville (capital_city)", 1, 0, 0),  # parts of words
        ("Named entities: none Reasoning: Lena Okoye (musician)", 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_what_a_text_shows(text, names, types, pairs):
    seen = exposure([told(text)])
    assert (seen.tweets, seen.entities, seen.names, seen.types, seen.pairs) == (1, 2, names, types, pairs)


def test_coarse_types_count_where_there_are_no_fine_ones():
    tweet = replace(TWEET, entities=(replace(BRNO, fine=""),))
    assert exposure([told("1. Brno (location, city)", tweet)]).pairs == 1


def test_marks_in_a_name_are_no_pattern():
    name = GoldEntity(0, 2, "A.B (C", "person", "actor")
    tweet = replace(TWEET, entities=(name,))
    assert exposure([told("1. AxB C (actor)", tweet)]).names == 0
    assert exposure([told("1. A.B (C (actor)", tweet)]).names == 1


@pytest.mark.parametrize(
    ("text", "telling", "hints"),
    [
        ("Reasoning: this agrees with the ground truth entity.", "ground truth", 0),
        ("Reasoning: as the ground-truth says", "ground-truth", 0),
        ("Reasoning: as the Gold Labels say", "Gold Labels", 1),  # both
        ("Reasoning: by the reference answers a city", "reference answers", 0),
        ("Reasoning: its true label is city", "true label", 1),
        ("Reasoning: Brno B-LOC", "", 1),
        ("Reasoning: the B-side of a record", "", 0),
        ("Reasoning: Brno is annotated as a city", "", 1),
        ("Reasoning: the provided entity Brno", "", 1),
        ("Reasoning: a singer of a record label", "", 1),  # so hints alone are no error
        ("Reasoning: common ground. Truth is, she sings", "", 0),
        ("Reasoning: a goldsmith", "", 0),
    ],
)
def test_words_that_tell(text, telling, hints):
    seen = exposure([told(text)])
    assert (seen.telling, seen.hints) == (bool(telling), hints)
    assert seen.told == ((f"O_1: {telling!r}",) if telling else ())


def test_words_of_the_tweet_tell_nothing():
    tweet = replace(TWEET, tokens=("the", "ground", "truth", "label"))
    seen = exposure([told("Reasoning: it speaks of ground truth on a label", tweet)])
    assert (seen.telling, seen.hints) == (0, 0)


def split(name, tweets, text):
    """So many tweets of a split, each with one entity, and a text that is drawn from `text(number)`."""
    numbered = [replace(TWEET, id=f"{name}{n}", tokens=(name, str(n)), entities=(BRNO,)) for n in range(tweets)]
    return [told(text(n), tweet) for n, tweet in enumerate(numbered)]


def typed(share, total=100):
    """A text with the exact type for so many of a hundred."""
    return lambda number: f"Named entities: 1. Brno ({'city' if number < share * total / 100 else 'town'})"


def report(**splits):
    findings = find_leaks(splits, {name: exposure(informed) for name, informed in splits.items()})
    return [(one.check, one.severity, one.message) for one in findings]


def test_the_real_case():
    """Shares as measured on the released knowledge: types 36 % in valid and 91 % in test, whose tweets valid has."""
    test = split("t", 100, typed(91))
    test = [replace(one, text=f"{one.text} Reasoning: ground truth") if n < 55 else one for n, one in enumerate(test)]
    valid = [replace(one, text=typed(36)(n)) for n, one in enumerate(test)]
    found = report(valid=valid, test=test)
    assert [(check, severity) for check, severity, _ in found] == [
        ("telling words", "error"),
        ("jump", "error"),
        ("jump", "error"),
        ("jump", "error"),
        ("shared tweets", "error"),
    ]
    assert found[0][2].startswith("test: 55 of 100 texts speak of gold (t0: 'ground truth'; t1: ")
    assert found[1][2] == "types: test 91 of 100 (91.0%), valid 36 of 100 (36.0%)"
    assert found[3][2] == "telling: test 55 of 100 (55.0%), valid 0 of 100 (0.0%)"
    assert found[4][2] == "valid and test share 100 tweets by id (t0, t1, t10, t11, t12, ...)"


def test_honest_knowledge_has_no_findings():
    assert (
        report(train=split("a", 90, typed(60)), dev=split("b", 80, typed(52)), test=split("c", 100, typed(60))) == []
    )


def test_what_an_agent_was_taught_is_a_warning():
    found = report(train=split("a", 100, typed(95)), dev=split("b", 100, typed(50)), test=split("c", 100, typed(50)))
    assert [(check, severity) for check, severity, _ in found] == [("jump", "warning")] * 4  # types, pairs; dev, test


def test_test_above_train_is_an_error():
    found = report(train=split("a", 100, typed(50)), test=split("c", 100, typed(95)))
    assert [(check, severity) for check, severity, _ in found] == [("jump", "error")] * 2


def test_telling_words_in_train_are_a_warning():
    found = report(train=split("a", 100, lambda n: "ground truth" if n == 3 else ""), test=split("c", 100, str))
    assert [(check, severity) for check, severity, _ in found] == [("telling words", "warning")]


def test_one_split_shows_no_jump_and_says_so():
    assert report(dev=split("b", 9, typed(50, 9))) == [
        ("one split", "info", "a jump between splits cannot be seen in one")
    ]


@pytest.mark.parametrize(
    ("high", "low", "jump"),
    [
        ((2294, 2525), (920, 2551), True),  # released: types of test and valid
        ((2159, 2450), (2211, 2543), False),  # released: names of GMNER's dev and test
        ((60, 100), (50, 100), False),  # a tenth is not more than a tenth
        ((62, 100), (50, 100), False),  # chance: the standard error is .07
        ((620, 1000), (500, 1000), True),
        ((3, 3), (0, 3), False),  # .5 x .5 x 2/3 under the root: .41
        ((50, 100), (62, 100), False),
        ((0, 0), (5, 5), False),
        ((5, 5), (0, 0), False),
    ],
)
def test_jumps(high, low, jump):
    assert is_jump(high, low) == jump


SHARES = st.integers(0, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(SHARES, SHARES)
def test_a_jump_has_one_direction(one, other):
    assert not (is_jump(one, other) and is_jump(other, one))


def test_shared_texts():
    """One of 100 may be a retweet, two are too many."""
    first = split("a", 100, typed(50))
    retweets = [replace(one, tweet=replace(one.tweet, id=f"b{n}")) for n, one in enumerate(first[:2])]
    assert report(train=first, test=split("b", 99, typed(50)) + retweets[:1]) == [
        ("shared texts", "warning", "train and test share 1 texts, such as 'a 0'")
    ]
    assert report(train=first, test=split("b", 98, typed(50)) + retweets) == [
        ("shared texts", "error", "train and test share 2 texts, such as 'a 0'")
    ]


def test_released_files_have_no_ids():
    nameless = [replace(one, tweet=replace(one.tweet, id="")) for one in split("a", 100, typed(50))]
    assert [check for check, _, _ in report(valid=nameless, test=nameless)] == ["shared texts"]


def test_empty_tweets_are_not_shared():
    empty = [told("", Tweet("", (), (), Path()))]
    assert [check for check, _, _ in report(dev=empty, test=empty)] == []


def test_a_jump_is_a_share():
    with pytest.raises(ValueError, match=r"jump=1\.5: a share between 0 and 1"):
        find_leaks({}, {}, jump=1.5)


def test_knowledge_and_tweets_that_do_not_fit_together():
    tweets = [replace(TWEET, id=name) for name in ("1", "2", "3")]
    informed, found = inform("dev", tweets, {"1": "a", "9": "b"})
    assert informed == [told("a", tweets[0])]
    assert [(one.check, one.severity, one.message) for one in found] == [
        ("missing knowledge", "warning", "dev: 2 tweets have none (2, 3)"),
        ("foreign tweets", "error", "dev: 1 texts are of tweets that are not in the split (9)"),
    ]
    informed, found = inform("dev", tweets, {"9": "b"}, others=True)
    assert (informed, found) == ([], [])


def test_shares_by_name():
    seen = Exposure(3, 10, 1, 2, 4, 5, 6, ())
    shares = {name: seen.share(name) for name in ("names", "types", "pairs", "telling", "hints")}
    assert shares == {"names": (1, 10), "types": (2, 10), "pairs": (4, 10), "telling": (5, 3), "hints": (6, 3)}


def test_gold_in_published_tweets_is_seen_wherever_it_is_told(data):
    """Answers that list the labels of the development split show all of its 2450 entities, whatever they hold."""
    tweets = read_gmner(data / "gmner" / "dev", "dev")
    seen = exposure([told(neutral(gold_answer(tweet, "so")), tweet) for tweet in tweets])
    assert (seen.entities, seen.names, seen.types, seen.pairs) == (2450, 2450, 2450, 2450)

"""Answers that name entities: the ways in which models write them, and what is no answer."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setaria.agents.makar.entity_reply import (
    LONGEST_REPLY,
    EntityReply,
    Named,
    ReplyError,
    parse_entities,
    write_entities,
)
from setaria.datasets_builders.mner.layouts import FMNERG, GMNER


LENA, BRNO = Named("Lena Okoye", "PER", reason="she sings"), Named("Brno", "LOC")
ENTITIES = (LENA, BRNO)


def bare(reply, layout=GMNER):
    return [(one.text, one.type, one.fine) for one in parse_entities(reply, layout).entities]


BOTH = [("Lena Okoye", "PER", ""), ("Brno", "LOC", "")]


def test_it_is_read_as_it_is_written():
    reply = write_entities(ENTITIES, "A stage.")
    assert reply == (
        "Named entities:\n1. Lena Okoye (PER): she sings\n2. Brno (LOC)\nReasoning: A stage."  # the form of the prompt
    )
    assert parse_entities(reply, GMNER) == EntityReply(ENTITIES, "A stage.")
    assert write_entities([], "") == "Named entities:\nnone\nReasoning:"
    assert parse_entities(write_entities([], ""), GMNER) == EntityReply(())


@pytest.mark.parametrize(
    "reply",
    [
        "Named entities:1. Lena Okoye (Person)2. Brno (location) Reasoning:She sings (twice).",  # as released
        "Named entities: 1. Lena Okoye (PER) 2. Brno (LOC) Reasoning: x",
        "<think>Named entities: 1. Mars (LOC)</think>\n\n**Named Entities:**\n- **Lena Okoye** (PER)\n- **Brno** (LOC)",  # noqa: E501
        "Sure!\n\n## Named entities\n\n* \u201cLena Okoye\u201d (per) - a singer (I think)\n* `Brno` (Loc).\n",
        "Named entities:\r\n1) Lena  Okoye (PER):\r\n2) Brno (LOC, city): in Moravia\r\n```\r\n",
        '{"entities": [{"text": "Lena Okoye", "type": "PER"}, {"text": "Brno", "type": "LOC"}], "reasoning": "x"}',
        'Here it is:\n```json\n[{"name": "Lena Okoye", "label": "person"}, {"entity": "Brno", "type": "LOC"}]\n```\nOk',  # noqa: E501
        'Named entities: [{"text": "Lena Okoye", "type": "PER"}, {"text": "Brno", "type": "LOC"}]',
        '{\n "Named Entities": [{"text": "Lena Okoye", "type": "PER", "start": 1e999}, {"text": "Brno", "type": "LOC"}]}',  # noqa: E501
    ],
)
def test_models_vary(reply):
    assert bare(reply) == BOTH


def test_reasons_and_reasoning():
    reply = parse_entities(
        '{"entities": [{"text": "Brno", "type": "LOC", "reason": "a\\ncity"}], "reason": "b"}', GMNER
    )
    assert reply == EntityReply((Named("Brno", "LOC", reason="a city"),), "b")
    reply = parse_entities("Named entities: none\nREASONING : nothing\n\nhere", GMNER)
    assert reply == EntityReply((), "nothing here")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("AC (DC) (ORG)", ("AC (DC)", "ORG", "")),
        ("1. 9. Maz (OTHER)", ("9. Maz", "OTHER", "")),
        ("Brno (miscellaneous)", ("Brno", "OTHER", "")),
        ("Brno (Organisation)", ("Brno", "ORG", "")),
        ("Brno (PER / person)", ("Brno", "PER", "")),
        ("\u2019N Vex (ORG)", ("\u2019N Vex", "ORG", "")),
    ],
)
def test_lines(line, named):
    assert bare(f"Named entities:\n{line}\n") == [named]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("person, musician", ("person", "musician")),
        ("musician", ("person", "musician")),
        ("Sports Team", ("organization", "sports_team")),
        ("organisation: sports team", ("organization", "sports_team")),
        ("product - game", ("product", "game")),
        ("LOC", ("location", "")),
        ("other", ("other", "")),
        ("art, art_other", ("art", "art_other")),
    ],
)
def test_fine_types(written, label):
    assert bare(f"Named entities:\n1. Vex ({written})", FMNERG) == [("Vex", *label)]
    assert bare(json.dumps([{"text": "Vex", "type": written}]), FMNERG) == [("Vex", *label)]


def test_every_fine_type_is_known():
    for coarse, several in FMNERG.types.items():
        for fine in several:
            for written in (f"{coarse}, {fine}", fine, fine.replace("_", " ").title()):
                assert bare(f"Named entities:\n1. Vex ({written})", FMNERG) == [("Vex", coarse, fine)]


@pytest.mark.parametrize(
    "written", ["city, musician", "person, city", "musician, actor", "planet", "", "not a person"]
)
def test_types_that_are_none_are_left_out_and_reported(written):
    reply = parse_entities(f"Named entities:\n1. Vex ({written})\nWho knows\n2. Brno (city)", FMNERG)
    assert [one.text for one in reply.entities] == ["Brno"]
    assert reply.left_out == (str({"text": "Vex", "type": written, "reason": ""}), "Who knows")
    with pytest.raises(ReplyError, match="no entity with a type"):
        parse_entities(f"Named entities:\n1. Vex ({written})", FMNERG)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("", "neither"),
        ("I see a singer (PER) in Brno (LOC).", "neither"),
        ("Named entities:", "the list is missing"),
        ("Named entities:\n\n```\n```", "the list is missing"),
        ("Named entities in this tweet are Brno (LOC)", "neither"),
        ("Named entities: a singer and a town", "no entity with a type"),
        ("<think>Named entities: 1. Brno (LOC)", "a thought without an end"),
        ('{"entities": [{"text": "Brno"', "no JSON"),
        ('{"answer": []}', "no list of entities"),
        ('{"entities": {"PER": ["Lena"]}}', "no list of entities"),
        ('["Brno", 7, null]', "no entity with a type"),
        ('[{"text": 7, "type": "LOC"}]', "no entity with a type"),
        ('[{"text": "", "type": "LOC"}]', "no entity with a type"),
        (json.dumps([{"text": "B" * 300, "type": "LOC"}]), "no entity with a type"),
        ("[" * 15_000, "no JSON"),
        ('{"entities": ' + "9" * 10_000, "no JSON|no list"),
        ("Named entities:\n" + "1. Brno (LOC)\n" * 51, "51 entities, more than 50"),
        ("Named entities:\n" + "a" * LONGEST_REPLY, "more than 20000"),
    ],
)
def test_what_is_no_answer(reply, message):
    with pytest.raises(ReplyError, match=message) as raised:
        parse_entities(reply, GMNER)
    assert len(str(raised.value)) < 400


def test_lengths_are_cut():
    reply = parse_entities(f"Named entities:\n1. Brno (LOC): {'a' * 900}\nReasoning: {'b' * 9000}", GMNER)
    assert (reply.entities[0].reason, reply.reasoning) == ("a" * 500, "b" * 1500)


@pytest.mark.parametrize(
    "part", ["(", ")", "a (", " ", "\n", "1. ", ") 1. ", "#", "(a) :", "-", "reasoning", "Named entities\n"]
)
def test_long_rubbish_takes_no_time(part):
    start = time.perf_counter()
    for head in ("Named entities:\n1. a", ""):
        with contextlib.suppress(ReplyError):
            parse_entities((head + part * LONGEST_REPLY)[:LONGEST_REPLY], GMNER)
    assert time.perf_counter() - start < 2


@given(st.text(st.sampled_from("Named entities:\n1. Vex (PER)[]{}\"',Reasoning<think>/"), max_size=120))
def test_any_text_is_an_answer_or_none(text):
    for reply in (text, f"Named entities:\n{text}", f'[{{"text": {text}'):
        try:
            parsed = parse_entities(reply, GMNER)
        except ReplyError:
            continue
        assert all(one.text and one.type in GMNER.types and one.fine == "" for one in parsed.entities)


NAMES = st.text("AaBbz&.'\u00e9\U0001f3a4", min_size=1, max_size=12).filter(lambda name: name[0] not in ".'")


@given(st.lists(st.builds(Named, NAMES, st.sampled_from(list(GMNER.types))), max_size=6))
def test_what_is_written_is_read(entities):
    assert parse_entities(write_entities(entities, "why"), GMNER) == EntityReply(tuple(entities), "why")
    one_line = " ".join(write_entities(entities, "why").split())
    assert parse_entities(one_line, GMNER) == EntityReply(tuple(entities), "why")

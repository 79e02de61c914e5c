"""Reading AITW files: the wire format against known bytes, the steps, and files that are cut off, damaged or wrong."""

import gzip
import json
import struct

import pytest
from aitw_records import checksum, delimited, example, record, step_features, varint, write_records
from hypothesis import given
from hypothesis import strategies as st

from setaria.datasets_builders.gui.aitw import read_split, read_steps
from setaria.datasets_builders.gui.tfrecord import masked_crc32c, parse_example, read_records
from setaria.rewards.gui.aitw import NOWHERE, AitwAction, AitwActionType
from setaria.rewards.gui.auto_ui import format_decision, parse_auto_ui


def one_step(tmp_path, **changed):
    file = write_records(tmp_path / "general-00000", [example(step_features(**changed))])
    return next(read_steps([file]))


# --- checksum and wire format


def test_checksum_of_known_vectors():
    """CRC-32C of "123456789" is 0xE3069283 (its check value), of 32 zero bytes 0x8A9136AA (RFC 3720, B.4).

    Masked: rotated right by 15 bits, plus 0xA282EAD8; 0xE3069283 rotated is 0x2507C60D.
    """
    assert masked_crc32c(b"123456789") == 0x2507C60D + 0xA282EAD8
    rotated = 0x8A9136AA >> 15 | (0x8A9136AA << 17) % 2**32
    assert masked_crc32c(bytes(32)) == (rotated + 0xA282EAD8) % 2**32


# Written by protobuf's own serializer.
SERIALIZED = bytes.fromhex(
    "0a3a"  # Features of 58 bytes
    "0a0d 0a0162 1208 0a06 0a026869 0a00"  # "b": BytesList "hi", ""
    "0a11 0a0166 120c 120a 0a08 0000003f 000080bf"  # "f": FloatList 0.5, -1, packed
    "0a16 0a0169 1211 1a0f 0a0d 04 ffffffffffffffffff01 ac02"  # "i": Int64List 4, -1, 300, packed
)


def test_example_of_known_bytes():
    assert parse_example(SERIALIZED) == {"b": [b"hi", b""], "f": [0.5, -1.0], "i": [4, -1, 300]}


def test_numbers_may_stand_alone_and_unknown_fields_are_skipped():
    floats = varint(1 << 3 | 5) + struct.pack("<f", 0.5) + varint(1 << 3 | 5) + struct.pack("<f", 2.0)
    integers = varint(1 << 3) + varint(300) + varint(1 << 3) + varint(-1)
    unknown = varint(9 << 3 | 1) + bytes(8) + varint(7 << 3) + varint(5) + delimited(6, b"later version")
    entries = [
        delimited(1, b"f") + delimited(2, delimited(2, floats)) + unknown,
        delimited(1, b"i") + delimited(2, delimited(3, integers)),
        delimited(1, b"empty") + delimited(2, b""),
    ]
    payload = unknown + delimited(1, b"".join(delimited(1, entry) for entry in entries))
    assert parse_example(payload) == {"f": [0.5, 2.0], "i": [300, -1], "empty": []}


FEATURES = st.dictionaries(
    st.text(max_size=5),
    st.lists(st.binary(max_size=200))
    | st.lists(st.floats(width=32, allow_nan=False))
    | st.lists(st.integers(-(2**63), 2**63 - 1)),
    max_size=4,
)


@given(FEATURES)
def test_examples_round_trip(features):
    assert parse_example(example(features)) == features


@given(FEATURES, st.data())
def test_damaged_examples_raise_nothing_but_value_errors(features, data):
    payload = bytearray(example(features))
    for _ in range(2):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(parse_example(bytes(payload)), dict)
    except ValueError as error:
        assert str(error)


# --- steps


def test_step(tmp_path):
    step = one_step(tmp_path)
    assert (step.episode_id, step.goal, step.step_id) == ("16804519614428033337", "open the clock", 0)
    assert step.action == AitwAction(AitwActionType.DUAL_POINT, (0.5, 0.25), (0.5, 0.375))
    assert step.boxes == ((0.0, 0.25, 0.5, 0.125), (0.75, 0.5, 0.25, 0.25))
    assert step.texts == ("Uhr ⏰", "")
    assert step.ui_types == ("TEXT", "ICON_HOME")
    assert step.image.size == (2, 3)
    assert step.image.getpixel((1, 2)) == (15, 16, 17)  # the last pixel
    assert "pixels" not in repr(step)


def test_typed_step(tmp_path):
    step = one_step(
        tmp_path, results__action_type=[3], results__type_action=[b"it's 5"], results__yx_touch=[-1.0, -1.0]
    )
    assert (step.action.type, step.action.text, step.action.touch) == (AitwActionType.TYPE, "it's 5", NOWHERE)
    assert parse_auto_ui(format_decision(step.action)).text == "its 5"


@pytest.mark.parametrize(("channels", "pixel"), [(1, (5, 5, 5)), (4, (20, 21, 22))])
def test_other_channels_become_rgb(tmp_path, channels, pixel):
    step = one_step(tmp_path, image__channels=[channels], image__encoded=[bytes(range(6 * channels))])
    assert step.image.mode == "RGB"
    assert step.image.getpixel((1, 2)) == pixel


def test_screen_without_elements(tmp_path):
    names = ("positions", "text", "ui_types")
    step = one_step(tmp_path, **{f"image__ui_annotations_{name}": [] for name in names})
    assert step.boxes == step.texts == step.ui_types == ()


def test_files_in_order_and_episodes_by_split(tmp_path):
    files = [
        write_records(
            tmp_path / f"general-{name}",
            [example(step_features(episode_id=[episode], step_id=[step])) for step in range(2)],
        )
        for name, episode in (("a", b"11"), ("b", b"22"), ("c", b"33"))
    ]
    splits = tmp_path / "general_texts_splits.json"
    splits.write_text(json.dumps({"train": ["11", "33"], "val": [], "test": ["22"]}))
    assert [(step.episode_id, step.step_id) for step in read_steps(files)] == [
        (episode, step) for episode in ("11", "22", "33") for step in (0, 1)
    ]
    train = read_split(splits, "train")
    assert [step.episode_id for step in read_steps(files, train)] == ["11", "11", "33", "33"]
    assert not list(read_steps(files, read_split(splits, "val")))


def test_steps_are_read_as_they_are_asked_for(tmp_path):
    good = write_records(tmp_path / "good", [example(step_features())])
    steps = read_steps([good, tmp_path / "absent"])
    assert next(steps).step_id == 0
    with pytest.raises(FileNotFoundError, match="absent"):
        next(steps)


WRONG_STEPS = {
    "no goal": ({"goal_info": []}, "feature 'goal_info' has 0 values, not 1"),
    "two ids": ({"episode_id": [b"1", b"2"]}, "feature 'episode_id' has 2 values"),
    "id is a number": ({"episode_id": [1]}, "feature 'episode_id' holds values that are no bytes"),
    "fewer pixels": ({"image__encoded": [bytes(17)]}, "'image/encoded' has 17 bytes, not 3 x 2 x 3"),
    "two channels": ({"image__channels": [2], "image__encoded": [bytes(12)]}, "has 12 bytes, not 3 x 2 x 2"),
    "no height": ({"image__height": [0], "image__encoded": [b""]}, "has 0 bytes, not 0 x 2 x 3"),
    "two negative sides": ({"image__height": [-3], "image__width": [-2]}, "has 18 bytes, not -3 x -2 x 3"),
    "unknown action": ({"results__action_type": [8]}, "'results/action_type' is 8, none of 3 TYPE, 4 DUAL_POINT"),
    "touch without x": ({"results__yx_touch": [0.5]}, r"'results/yx_touch' is \[0.5\], not y and x"),
    "lift is no number": ({"results__yx_lift": [0.5, float("nan")]}, "'results/yx_lift' is"),
    "text is not UTF-8": ({"results__type_action": [b"\xff"]}, "'results/type_action' is no UTF-8 text"),
    "seven coordinates": ({"image__ui_annotations_positions": [0.5] * 7}, "has 7 values, not four"),
    "fewer texts": ({"image__ui_annotations_text": [b"OK"]}, "2 annotations have 1 texts and 2 types"),
}


@pytest.mark.parametrize(("changed", "message"), WRONG_STEPS.values(), ids=WRONG_STEPS)
def test_errors_name_file_record_and_feature(tmp_path, changed, message):
    file = write_records(tmp_path / "install-7", [example(step_features()), example(step_features(**changed))])
    steps = read_steps([file])
    next(steps)
    with pytest.raises(ValueError, match=f"install-7: record 1: .*{message}"):
        next(steps)


# --- damaged files: two good records, then what is wrong

GOOD = record(example(step_features()))
ENORMOUS = struct.pack("<Q", 2**40)
DAMAGED = {
    "cut in a header": (gzip.compress(GOOD * 2 + GOOD[:7]), "record 2: the file ends inside its header"),
    "cut in a payload": (gzip.compress(GOOD * 2 + GOOD[:99]), r"record 2: the file ends inside its \d+ bytes"),
    "cut in a checksum": (gzip.compress(GOOD * 2 + GOOD[:-2]), r"record 2: the file ends inside its \d+ bytes"),
    "wrong length": (gzip.compress(GOOD * 2 + b"\x01" + GOOD[1:]), "record 2: the checksum of its length is wrong"),
    "enormous": (gzip.compress(GOOD * 2 + ENORMOUS + checksum(ENORMOUS)), "record 2: 1099511627776 bytes, more than"),
    "no example": (
        gzip.compress(GOOD * 2 + record(b"\x0b")),
        "record 2: no tf.train.Example: field 1 has wire type 3",
    ),
    "past its end": (gzip.compress(GOOD * 2 + record(b"\x0a\x05abc")), "record 2: .*field 1 reaches past the end"),
    "endless integer": (gzip.compress(GOOD * 2 + record(b"\xff" * 12)), "record 2: .*an integer without end"),
    "gzip cut off": (gzip.compress(GOOD * 2)[:-9], "record [12]: Compressed file ended"),
    "gzip checksum": (gzip.compress(GOOD * 2)[:-8] + bytes(8), "record 2: CRC check failed"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(tmp_path, content, message):
    file = tmp_path / "single-3"
    file.write_bytes(content)
    steps = read_steps([file])
    assert next(steps).goal == "open the clock"
    with pytest.raises(ValueError, match=f"single-3: {message}"):
        list(steps)


def test_a_file_that_is_not_compressed(tmp_path):
    file = tmp_path / "plain"
    file.write_bytes(GOOD)
    with pytest.raises(ValueError, match="plain: record 0: Not a gzipped file"):
        list(read_records(file))


def test_records_have_a_limit(tmp_path):
    file = write_records(tmp_path / "records", [b"12345", b"123456"])
    assert list(read_records(file, most_bytes=6)) == [b"12345", b"123456"]
    with pytest.raises(ValueError, match="records: record 1: 6 bytes, more than 5"):
        list(read_records(file, most_bytes=5))


WRONG_SPLITS = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "no split 'val', only a list"),
    "other names": ('{"train": [], "validation": []}', "no split 'val', only train, validation"),
    "numbers": ('{"val": [1]}', "split 'val' is no list of episode ids"),
    "one text": ('{"val": "1"}', "split 'val' is no list of episode ids"),
}


@pytest.mark.parametrize(("content", "message"), WRONG_SPLITS.values(), ids=WRONG_SPLITS)
def test_wrong_split_files(tmp_path, content, message):
    file = tmp_path / "splits.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=f"splits.json: {message}"):
        read_split(file, "val")

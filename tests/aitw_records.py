"""Writes what the AITW reader reads: `tf.train.Example` messages and GZIP TFRecord files of them."""

import gzip
import struct
from collections.abc import Iterable
from pathlib import Path

from setaria.datasets_builders.gui.tfrecord import masked_crc32c


def write_records(file: Path, payloads: Iterable[bytes]) -> Path:
    file.write_bytes(gzip.compress(b"".join(map(record, payloads))))
    return file


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + checksum(length) + payload + checksum(payload)


def checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))


def example(features: dict[str, list]) -> bytes:
    entries = [delimited(1, name.encode()) + delimited(2, feature(values)) for name, values in features.items()]
    return delimited(1, b"".join(delimited(1, entry) for entry in entries))


def feature(values: list) -> bytes:
    """BytesList, FloatList or Int64List, by the type of the first value; the numbers packed."""
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return delimited(1, b"".join(delimited(1, value) for value in values))
    if isinstance(values[0], float):
        return delimited(2, delimited(1, struct.pack(f"<{len(values)}f", *values)))
    return delimited(3, delimited(1, b"".join(map(varint, values))))


def delimited(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value %= 2**64
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def step_features(**changed: list) -> dict[str, list]:
    """Features of one step on a screen of 3 x 2 pixels with two elements; `changed` by name, `__` standing for `/`."""
    features = {
        "episode_id": [b"16804519614428033337"],
        "goal_info": [b"open the clock"],
        "step_id": [0],
        "episode_length": [2],
        "image/encoded": [bytes(range(18))],
        "image/height": [3],
        "image/width": [2],
        "image/channels": [3],
        "image/ui_annotations_positions": [0.0, 0.25, 0.5, 0.125, 0.75, 0.5, 0.25, 0.25],
        "image/ui_annotations_text": [b"Uhr \xe2\x8f\xb0", b""],
        "image/ui_annotations_ui_types": [b"TEXT", b"ICON_HOME"],
        "results/action_type": [4],
        "results/type_action": [b""],
        "results/yx_touch": [0.5, 0.25],
        "results/yx_lift": [0.5, 0.375],
    }
    return features | {name.replace("__", "/"): values for name, values in changed.items()}

"""GZIP TFRecord files and the `tf.train.Example` messages in them, read without TensorFlow and protobuf.

A file is a row of records: length (8 bytes), checksum of the length, payload, checksum of the payload. The checksums
are masked CRC-32C. That of the length is verified, so that damage is not taken for a length; that of the payload is
not, since in Python it takes longer than everything else and gzip's own CRC-32 covers the whole file.

An Example is a protobuf message, a map from names to lists of one kind; every field of it has number 1 but these:

    Example > Features > entry { 1: name, 2: Feature { 1: BytesList | 2: FloatList | 3: Int64List } }
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np


Values: TypeAlias = list[bytes] | list[float] | list[int]

MOST_BYTES = 32 * 2**20  # an uncompressed screenshot of 2560 x 1600 has 12 MB
# Wire types of protobuf, and the fields of a Feature.
VARINT, DELIMITED = 0, 2
FIXED_SIZES = {1: 8, 5: 4}
BYTES, FLOATS, INTEGERS = 1, 2, 3


def read_records(file: Path | str, most_bytes: int = MOST_BYTES) -> Iterator[bytes]:
    """Payloads of the records of a GZIP TFRecord file, in order, one in memory at a time.

    Raises:
        ValueError: naming the file and the record (from 0), if the file is no gzip file, is cut off or damaged, or has
            a record of more than `most_bytes`. gzip notices some damage only at the end of the file.
    """
    number = 0
    with gzip.open(file) as stream:
        while True:
            try:
                payload = _next_payload(stream, most_bytes)
            except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"{file}: record {number}: {error}") from error
            if payload is None:
                return
            yield payload
            number += 1


def parse_example(payload: bytes) -> dict[str, Values]:
    """Features of a serialised `tf.train.Example` by name; ValueError if it is none."""
    features: dict[str, Values] = {}
    for message in _messages(memoryview(payload), 1):
        for entry in _messages(message, 1):
            name = bytes(next(_messages(entry, 1), b"")).decode()
            features[name] = _values(next(_messages(entry, 2), memoryview(b"")))
    return features


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`, rotated and shifted as TFRecord files store it."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82F63B78 if checksum & 1 else 0)
    checksum ^= 0xFFFFFFFF
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _next_payload(stream: gzip.GzipFile, most_bytes: int) -> bytes | None:
    header = stream.read(12)
    if not header:
        return None
    if len(header) < 12:
        raise ValueError("the file ends inside its header")
    length, checksum = struct.unpack("<QI", header)
    if masked_crc32c(header[:8]) != checksum:
        raise ValueError("the checksum of its length is wrong")
    if length > most_bytes:
        raise ValueError(f"{length} bytes, more than {most_bytes}")
    payload = stream.read(length)
    if len(payload) < length or len(stream.read(4)) < 4:
        raise ValueError(f"the file ends inside its {length} bytes")
    return payload


def _values(feature: memoryview) -> Values:
    values: list = []
    for kind, message in _fields(feature):
        for _, value in _fields(message) if isinstance(message, memoryview) else ():
            if kind == BYTES and isinstance(value, memoryview):
                values.append(bytes(value))
            elif kind == FLOATS and isinstance(value, memoryview):
                values += np.frombuffer(value, "<f4").tolist()
            elif kind == INTEGERS:
                values += [_signed(value)] if isinstance(value, int) else map(_signed, _packed(value))
    return values


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    return (value for field, value in _fields(message) if field == number and isinstance(value, memoryview))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of every field: an integer, or the bytes of whatever else it is."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == DELIMITED:
            size, position = _varint(message, position)
        elif wire_type in FIXED_SIZES:
            size = FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"no tf.train.Example: field {key >> 3} has wire type {wire_type}")
        if size > len(message) - position:
            raise ValueError(f"no tf.train.Example: field {key >> 3} reaches past the end of its message")
        yield key >> 3, message[position : position + size]
        position += size


def _packed(message: memoryview) -> Iterator[int]:
    position = 0
    while position < len(message):
        value, position = _varint(message, position)
        yield value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The integer at `position`, of at most 64 bits, 7 in a byte, lowest first; and the position behind it."""
    value = 0
    for shift, byte in zip(range(0, 70, 7), message[position : position + 10], strict=False):
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, position + shift // 7 + 1
    raise ValueError("no tf.train.Example: an integer without end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value

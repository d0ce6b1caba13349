"""Records as lines of JSON: what is printed is read again as it was."""

from __future__ import annotations

import json
from random import Random

import pytest

from odradek.commands.record_json import JsonRecord, line_of, record_from
from odradek.records import ConsumerRecord


def test_what_is_printed_is_read_again_as_it_was() -> None:
    random = Random(1)

    def content() -> bytes | None:
        return random.choice([None, b"", b"text", "ünï\n".encode(), random.randbytes(9)])

    for _ in range(200):
        headers = tuple(
            (random.choice(["", "h", "ö"]), content()) for _ in range(random.randrange(3))
        )
        partition, timestamp_ms = random.randrange(9), random.randrange(1 << 60)
        record = ConsumerRecord(
            "t", partition, 7, timestamp_ms, content(), content(), headers, 0, 1
        )
        line = line_of(record)
        assert line.count(b"\n") == 1
        said = JsonRecord(record.key, record.value, headers, partition, timestamp_ms)
        assert record_from(line) == said


def test_text_stands_as_it_is_and_other_bytes_in_base64() -> None:
    record = ConsumerRecord("t", 0, 7, 5, b"\xff", "ü".encode(), (("h", b"\xfe"),), 0, 1)
    assert json.loads(line_of(record)) == {
        "topic": "t",
        "partition": 0,
        "offset": 7,
        "timestamp": 5,
        "key_base64": "/w==",
        "value": "ü",
        "headers": [["h", {"base64": "/g=="}]],
    }


def test_what_people_write() -> None:
    assert record_from(b'{"value": {"a": [1, "x"]}, "headers": {"h": "1"}}') == JsonRecord(
        None, b'{"a":[1,"x"]}', (("h", b"1"),), None, None
    )
    assert record_from(b'{"key": 7}') == JsonRecord(b"7", None, (), None, None)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b"", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[1]", "not an object"),
        (b'{"vaule": "v"}', "no field 'vaule'; there are .*value"),
        (b'{"value_base64": "!"}', "value_base64 is not base64"),
        (b'{"partition": "0"}', "partition is not a whole number"),
        (b'{"timestamp": true}', "timestamp is not a whole number"),
        (b'{"headers": 3}', "headers are"),
        (b'{"headers": [[1, "x"]]}', "headers are"),
    ],
)
def test_a_line_that_is_wrong_says_how(line: bytes, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        record_from(line)

"""Records of one layout read by columns: the same as read one by one, also where bytes are wrong."""

from __future__ import annotations

from random import Random

import pytest

from transport.wire import batch_reader
from transport.wire.batch import HEADER_BYTES, RecordError
from transport.wire.batch_builder import BatchBuilder
from transport.wire.batch_reader import Row, decode_rows
from transport.wire.regular_run import RECORDS_MIN, read_run


def one_by_one(batch: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Row] | str:
    with monkeypatch.context() as patch:
        patch.setattr(batch_reader, "read_run", lambda _data, start, *_: ([], start))
        return outcome(batch)


def outcome(batch: bytes) -> list[Row] | str:
    try:
        return decode_rows(batch, check_crc=False)
    except RecordError as error:
        return error.error.name


def made(random: Random) -> bytes:
    """A batch whose records are mostly alike: runs of one size, of one millisecond or of several."""
    builder = BatchBuilder()
    now_ms = 1_000
    while random.random() < 0.8:
        key_bytes, value_bytes = random.choice([-1, 0, 3, 70]), random.choice([0, 5, 100, 300])
        for _ in range(random.choice([1, RECORDS_MIN, 70, 200])):
            key = None if key_bytes < 0 else random.randbytes(key_bytes)
            value = None if random.random() < 0.002 else random.randbytes(value_bytes)
            headers = [("h", b"v")] if random.random() < 0.002 else []
            now_ms += random.choice([0, 0, 0, 1, -1]) if random.random() < 0.1 else 0
            builder.append(key, value, headers, now_ms)
    builder.append(b"k", b"v", (), now_ms)
    return builder.build()


def test_runs_are_read_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(5)
    for _ in range(60):
        batch = made(random)
        assert outcome(batch) == one_by_one(batch, monkeypatch)


def test_wrong_bytes_are_judged_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(6)
    values = [b"value %d" % (number % 10) for number in range(150)]
    builder = BatchBuilder()
    builder.extend([b"key"] * 150, values, 1_000, 1 << 20)
    sound = builder.build()
    judged = []
    for _ in range(600):
        batch = bytearray(sound)
        for _ in range(random.choice([1, 1, 2])):
            batch[random.randrange(HEADER_BYTES - 4, len(batch))] = random.randrange(256)
        if random.random() < 0.1:
            batch[26] ^= 1  # the last offset delta
        told = outcome(bytes(batch))
        assert told == one_by_one(bytes(batch), monkeypatch)
        judged.append(isinstance(told, str))
    assert 50 < sum(judged) < 550, "some are seen to be wrong, and some cannot be"


def test_a_run_ends_where_the_size_of_offsets_changes() -> None:
    builder = BatchBuilder()
    builder.extend([None] * 300, [b"v" * 100] * 300, 7, 1 << 20)
    data = builder.build()
    rows, end = read_run(data, HEADER_BYTES, 300, 0, 50, 7)
    assert [row[0] for row in rows] == list(range(50, 50 + 64))
    rows, end = read_run(data, end, 300 - 64, 64, 50, 7)
    assert [row[0] for row in rows] == list(range(50 + 64, 50 + 300))
    assert (rows[0][1:], end) == ((7, None, b"v" * 100, ()), len(data))


def test_what_is_not_worth_it_is_left_alone() -> None:
    builder = BatchBuilder()
    builder.extend([None] * 40, [b"v"] * 40, 7, 1 << 20)
    data = builder.build()
    assert read_run(data, HEADER_BYTES, RECORDS_MIN - 1, 0, 0, 7) == ([], HEADER_BYTES)
    assert read_run(data, len(data), 40, 0, 0, 7) == ([], len(data))

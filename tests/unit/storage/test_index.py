"""Sparse indexes against a search without one."""

from __future__ import annotations

from random import Random

import pytest

from nodes.storage.index import OffsetIndex, TimeIndex
from nodes.storage.log_files import (
    base_offsets,
    decode_epochs,
    decode_metadata,
    encode_epochs,
    encode_metadata,
    segment_stem,
)
from transport.wire.ids import LeaderEpoch, Offset, TopicId

BASE = Offset(1000)


@pytest.mark.parametrize("seed", range(5))
def test_offsets_are_looked_up_as_without_an_index(seed: int) -> None:
    random = Random(seed)
    index = OffsetIndex(BASE)
    entries: list[tuple[int, int]] = []
    offset, position = int(BASE), 0
    for _ in range(random.randrange(80)):
        offset += random.randrange(1, 9)
        position += random.randrange(1, 900)
        index.append(Offset(offset), position)
        entries.append((offset, position))
    size_bytes = position + 100
    decoded = OffsetIndex.decode(index.encode(), BASE, size_bytes)
    assert decoded is not None
    for found in (index, decoded):
        assert len(found) == len(entries)
        for asked in range(BASE, offset + 10):
            expected = max((p for o, p in entries if o <= asked), default=0)
            assert found.lookup(Offset(asked)) == expected
        for asked in range(0, size_bytes, 17):
            expected = max((p for _, p in entries if p <= asked), default=0)
            assert found.position_before(asked) == expected
    cut = random.randrange(size_bytes)
    index.truncate(cut)
    assert len(index) == sum(p < cut for _, p in entries)


@pytest.mark.parametrize("seed", range(5))
def test_times_are_looked_up_as_without_an_index(seed: int) -> None:
    random = Random(seed)
    index = TimeIndex(BASE)
    entries: list[tuple[int, int]] = []
    for number in range(80):
        timestamp_ms, offset = (
            random.randrange(number * 10 + 30),
            BASE + random.randrange(number + 9),
        )
        if not entries or (timestamp_ms > entries[-1][0] and offset > entries[-1][1]):
            entries.append((timestamp_ms, offset))
        index.append(timestamp_ms, Offset(offset))
    decoded = TimeIndex.decode(index.encode(), BASE)
    assert decoded is not None
    for found in (index, decoded):
        assert found.newest() == entries[-1]
        for asked in range(900):
            expected = max((o + 1 for t, o in entries if t < asked), default=BASE)
            assert found.lookup(asked) == expected
    cut = BASE + random.randrange(60)
    index.truncate(Offset(cut))
    assert len(index) == sum(o < cut for _, o in entries)


def test_the_bytes_are_kafkas() -> None:
    index, times = OffsetIndex(BASE), TimeIndex(BASE)
    index.append(Offset(1003), 4200)
    times.append(1_700_000_000_000, Offset(1002))
    assert index.encode().hex() == "0000000300001068"
    assert times.encode().hex() == "0000018bcfe5680000000002"


def test_impossible_files_are_not_indexes() -> None:
    def offsets(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)

    assert OffsetIndex.decode(None, BASE, 1000) is None
    assert OffsetIndex.decode(b"1234567", BASE, 1000) is None
    assert OffsetIndex.decode(bytes(16), BASE, 1000) is None
    assert OffsetIndex.decode(bytes(8), BASE, 1000) is None
    assert OffsetIndex.decode(offsets(1, 5, 1, 6), BASE, 1000) is None
    assert OffsetIndex.decode(offsets(1, 5, 2, 5), BASE, 1000) is None
    assert OffsetIndex.decode(offsets(-1, 5), BASE, 1000) is None
    assert OffsetIndex.decode(offsets(1, 5, 2, 1000), BASE, 1000) is None
    assert OffsetIndex.decode(offsets(1, 5, 2, 999), BASE, 1000) is not None
    assert TimeIndex.decode(None, BASE) is None
    assert TimeIndex.decode(b"1234567", BASE) is None
    assert TimeIndex.decode(bytes(24), BASE) is None
    assert TimeIndex.decode(bytes(8) + offsets(-1), BASE) is None


def test_small_files_come_back_or_are_refused() -> None:
    entries = [(LeaderEpoch(1), Offset(0)), (LeaderEpoch(4), Offset(17))]
    assert decode_epochs(encode_epochs(entries)) == entries
    assert decode_epochs(encode_epochs([])) == []
    for data in (
        None,
        b"",
        b"0",
        b"0\nx\n",
        b"0\n1\n",
        b"0\n1\n1\n",
        b"0\n1\n1 2 3\n",
        b"\xff\n0\n",
    ):
        assert decode_epochs(data) is None
    topic_id = TopicId(bytes(range(200, 216)))
    assert decode_metadata(encode_metadata(topic_id)) == topic_id
    for cut in range(len(encode_metadata(topic_id))):
        assert decode_metadata(encode_metadata(topic_id)[:cut]) is None


def test_names_sort_as_offsets_do() -> None:
    names = [f"{segment_stem(Offset(offset))}.log" for offset in (5, 0, 10**15)]
    others = ["1.log", "partition.metadata", f"{segment_stem(Offset(7))}.index", "x" * 20 + ".log"]
    assert base_offsets(names + others) == [0, 5, 10**15]

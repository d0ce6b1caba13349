"""``odradek consume`` where what it prints reaches nobody."""

from __future__ import annotations

import os
from typing import cast

import pytest

from odradek.commands import consume
from odradek.consumer.client import Consumer
from odradek.consumer.iteration import Polled
from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

T0, T1, T2 = (TopicPartition("t", number) for number in range(3))


class Reader:
    """Notes where it is to go on; it has lost a partition."""

    def __init__(self) -> None:
        self.sought: dict[TopicPartition, int] = {}

    def seek(self, key: TopicPartition, offset: int) -> None:
        if key == T2:
            raise ValueError("it is not assigned")
        self.sought[key] = offset


def record(key: TopicPartition, offset: int) -> ConsumerRecord:
    return ConsumerRecord(*key, offset, 1_000, None, b"%d" % offset, (), 0, 0)


@pytest.mark.parametrize("error", [BrokenPipeError, KeyboardInterrupt])
def test_reading_stands_before_what_could_not_be_printed(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    printed: list[bytes] = []

    def write(data: bytes) -> None:
        if printed:
            raise error
        printed.append(data)

    monkeypatch.setattr(consume, "_write", write)
    reader = Reader()
    polled: Polled = {T0: [record(T0, 5)], T1: [record(T1, 7), record(T1, 8)], T2: [record(T2, 9)]}
    with pytest.raises(error):
        consume._give(cast("Consumer", reader), polled, consume.compile_format("%v"))
    assert printed == [b"5"]
    assert reader.sought == {T1: 7}


def test_all_of_it_is_written_however_little_a_pipe_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = bytearray()

    def write(_descriptor: int, data: memoryview) -> int:
        written.extend(data[:3])
        return min(3, len(data))

    class Plain:
        def flush(self) -> None: ...

        def fileno(self) -> int:
            return 1

    monkeypatch.setattr("sys.stdout", Plain())
    monkeypatch.setattr(os, "write", write)
    consume._write(b"0123456789")
    assert bytes(written) == b"0123456789"

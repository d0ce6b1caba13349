"""Where iteration stands: also before a batch that cannot be taken apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from odradek.cluster.committing import OffsetAndMetadata
from odradek.cluster.engine import Engine
from odradek.consumer.deserialization import Deserializers
from odradek.consumer.fetched_records import FetchedBatch, FetchedRecords, Piece
from odradek.consumer.iteration import Iteration
from odradek.consumer.polling import Polling
from odradek.errors import InvalidRecordError
from transport.wire.ids import LeaderEpoch, Offset, TopicPartition
from transport.wire.records import BatchBuilder, stamp, view_batches

GOOD = TopicPartition("good", 0)
BAD = TopicPartition("bad", 0)


def records(key: TopicPartition, *pieces: tuple[int, bool]) -> FetchedRecords:
    """Return batches of three records from each offset on, whole or damaged where no CRC tells."""
    made = []
    for offset, whole in pieces:
        builder = BatchBuilder()
        for number in range(3):
            builder.append(b"k", b"%d" % number, (), 1_000)
        batch = bytearray(b"".join(stamp(Offset(offset), LeaderEpoch(1), builder.build())))
        if not whole:
            batch[61:] = b"\xff" * len(batch[61:])
        (view,) = view_batches(bytes(batch), check_crc=False)
        made.append(Piece(FetchedBatch(key.topic, key.partition, view), 0, 3))
    return FetchedRecords(made)


def given(iteration: Iteration, count: int) -> list[tuple[str, int]]:
    found = [iteration.next() for _ in range(count)]
    return [(record.topic, record.offset) for record in found if record is not None]


def test_a_batch_that_cannot_be_taken_apart_is_neither_given_nor_passed_over() -> None:
    iteration = Iteration()
    iteration.keep({GOOD: records(GOOD, (1_000, True)), BAD: records(BAD, (0, True), (3, False))})
    assert iteration.positions() == {GOOD: 1_000, BAD: 0}
    assert given(iteration, 6)[-1] == ("bad", 2)
    for _ in range(2):
        with pytest.raises(InvalidRecordError, match="bad-0"):
            iteration.next()
        assert iteration.positions() == {BAD: 3}
    iteration.drop([BAD])
    assert iteration.next() is None


def test_where_the_first_batch_of_a_partition_is_damaged_it_stands_there() -> None:
    iteration = Iteration()
    iteration.keep({GOOD: records(GOOD, (1_000, True)), BAD: records(BAD, (7, False))})
    assert iteration.positions() == {GOOD: 1_000, BAD: 7}
    assert given(iteration, 3)[-1] == ("good", 1_002)
    with pytest.raises(InvalidRecordError):
        list(iteration.rest()) or iteration.next()
    assert iteration.positions() == {BAD: 7}


def test_a_partition_of_which_nothing_is_left_stands_where_the_loop_does() -> None:
    """Behind the end of a transaction, say, of which nobody is given anything."""
    iteration = Iteration()
    iteration.keep({GOOD: records(GOOD, (0, True))})
    given(iteration, 2)
    assert iteration.positions() == {GOOD: 2}
    given(iteration, 1)
    assert iteration.positions() == {}
    iteration.keep({GOOD: records(GOOD, (3, True))})
    assert [record.offset for record in (iteration.next(), *iteration.rest()) if record] == [
        3,
        4,
        5,
    ]
    assert iteration.positions() == {}


def test_the_rest_of_a_partition_stands_before_damage() -> None:
    iteration = Iteration()
    iteration.keep({BAD: records(BAD, (0, True), (3, False))})
    assert given(iteration, 1) == [("bad", 0)]
    seen: list[int] = []
    with pytest.raises(InvalidRecordError):
        seen.extend(record.offset for record in iteration.rest())
    assert (seen, iteration.positions()) == ([1, 2], {BAD: 3})


def test_a_poll_takes_what_is_before_damage_and_then_the_damage() -> None:
    iteration = Iteration()
    iteration.keep({BAD: records(BAD, (0, True), (3, False)), GOOD: records(GOOD, (5, True))})
    assert given(iteration, 1) == [("bad", 0)]
    (left,) = iteration.take(100).values()
    assert [record.offset for record in left] == [1, 2]
    taken = iteration.take(100)
    assert [record.offset for record in taken[GOOD]] == [5, 6, 7]
    with pytest.raises(InvalidRecordError):
        list(taken[BAD])
    assert not iteration.take(100)


def test_a_poll_of_a_part_that_cannot_be_cut_loses_nothing() -> None:
    iteration = Iteration()
    iteration.keep({BAD: records(BAD, (0, False))})
    with pytest.raises(InvalidRecordError):
        iteration.take(2)
    assert iteration.positions() == {BAD: 0}


def test_what_is_left_of_a_topic_that_was_made_anew_stands_for_nothing_of_the_new_one() -> None:
    standing = {GOOD: OffsetAndMetadata(9), BAD: OffsetAndMetadata(2)}
    program: Any = SimpleNamespace(rebalancing=SimpleNamespace(positions=lambda: dict(standing)))
    polling = Polling(cast("Engine", None), program, Deserializers(None, None), (), 500)
    told = polling.standing({GOOD: 6, BAD: 480})
    assert told == {GOOD: OffsetAndMetadata(6), BAD: OffsetAndMetadata(2)}


def test_what_is_before_damage_is_given_also_where_records_are_deserialized() -> None:
    sought: list[tuple[TopicPartition, int]] = []
    program: Any = SimpleNamespace(seek=lambda key, offset: sought.append((key, offset)))
    engine = cast("Engine", SimpleNamespace(run=lambda call: call(None)))
    polling = Polling(engine, program, Deserializers(None, int), (), 500)
    damaged = records(BAD, (0, True), (3, False), (6, True))
    polled = polling.given({GOOD: records(GOOD, (1_000, True)), BAD: damaged})
    assert [record.value for record in polled[BAD]] == [0, 1, 2]
    assert [record.offset for record in polled[GOOD]] == [1_000, 1_001, 1_002]
    assert sought == [(BAD, 3)]
    with pytest.raises(InvalidRecordError, match="bad-0"):
        polling.given({BAD: records(BAD, (3, False), (6, True))})
    assert sought == [(BAD, 3)] * 2, "and reading stands there"

"""Idempotent producers: duplicates, gaps, epochs, truncation, rebuilding."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.core.partition import producer_state
from nodes.core.partition.events import Batch
from nodes.core.partition.producer_state import SEQUENCES, Producers
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId

OUT_OF_ORDER = "OUT_OF_ORDER_SEQUENCE_NUMBER"


def make_batch(sequence: int, *, base: int = 0, length: int = 10, epoch: int = 0) -> Batch:
    return Batch(
        Offset(base),
        Offset(base + length - 1),
        LeaderEpoch(1),
        ProducerId(7),
        ProducerEpoch(epoch),
        sequence,
    )


def make_producers(batches: int, *, first: int = 0, epoch: int = 0) -> Producers:
    producers = Producers()
    for number in range(batches):
        sequence = (first + number * 10) % SEQUENCES
        producers.record(make_batch(sequence, base=number * 10, epoch=epoch))
    return producers


@pytest.mark.parametrize(
    ("sequence", "epoch", "expected"),
    [
        (70, 3, ("NONE", -1)),
        (60, 3, ("NONE", 60)),
        (20, 3, ("NONE", 20)),
        (10, 3, ("DUPLICATE_SEQUENCE_NUMBER", 19)),
        (0, 3, ("DUPLICATE_SEQUENCE_NUMBER", 19)),
        (80, 3, ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)),
        (65, 3, ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)),
        (15, 3, ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)),
        (70, 2, ("INVALID_PRODUCER_EPOCH", -1)),
        (0, 4, ("NONE", -1)),
        (70, 4, ("OUT_OF_ORDER_SEQUENCE_NUMBER", -1)),
        (-1, 3, ("INVALID_RECORD", -1)),
    ],
)
def test_judgement_after_seven_batches(
    sequence: int, epoch: int, expected: tuple[str, int]
) -> None:
    producers = make_producers(7, epoch=3)
    producers.check(Offset(70))
    judged = producers.judge(make_batch(sequence, epoch=epoch), whole_log=True)
    assert (judged.error.name, judged.base_offset) == expected


@pytest.mark.parametrize(
    ("sequence", "count", "base"), [(62, 3, 62), (60, 1, 60), (69, 1, 69), (60, 11, None)]
)
def test_a_part_of_a_batch_is_known_again(sequence: int, count: int, base: int | None) -> None:
    producers = make_producers(7)
    judged = producers.judge(make_batch(sequence, length=count), whole_log=True)
    if base is None:
        assert judged.error is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    else:
        assert judged == (ErrorCode.NONE, base, base + count - 1)


def test_an_unknown_producer_begins_with_zero_where_nothing_can_be_forgotten() -> None:
    producers = Producers()
    out_of_order = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert producers.judge(make_batch(10), whole_log=True).error is out_of_order
    assert producers.judge(make_batch(10), whole_log=False).error is ErrorCode.NONE
    assert producers.judge(make_batch(0), whole_log=True).error is ErrorCode.NONE


def test_what_an_unknown_producer_had_refused_is_no_duplicate() -> None:
    """Its first batch is refused (too few in sync, too large), and its second one, in flight with it,
    is taken where a log has lost its beginning: told of a duplicate it would count the first as
    written."""
    producers = Producers()
    assert producers.judge(make_batch(10), whole_log=False).error is ErrorCode.NONE
    for number in range(1, 5):
        producers.record(make_batch(number * 10, base=number * 10))
        judged = producers.judge(make_batch(0), whole_log=False)
        assert judged.error is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_what_an_unknown_producer_has_sent_later_waits_for_what_was_not_taken() -> None:
    """Written before it, it would stand before it for good: the producer sends that one again."""
    producers = Producers()
    for sequence in (20, 10, 30, 10):
        producers.wait_for(make_batch(sequence))
    assert producers.judge(make_batch(30), whole_log=False).error.name == OUT_OF_ORDER
    assert producers.judge(make_batch(20), whole_log=False).error.name == OUT_OF_ORDER
    for others in (make_batch(0), make_batch(10), make_batch(20, epoch=1)):
        assert producers.judge(others, whole_log=False).error is ErrorCode.NONE
    producers.record(make_batch(10, base=100))
    assert producers.judge(make_batch(20), whole_log=False).error is ErrorCode.NONE
    assert not producers._awaited


def test_what_is_waited_for_is_of_the_newest_epoch_and_of_no_more_producers_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer_state, "AWAITED_MAX", 2)
    producers = Producers()
    producers.wait_for(make_batch(10, epoch=1))
    producers.wait_for(make_batch(0, epoch=0))
    producers.wait_for(make_batch(-1))
    assert producers.judge(make_batch(20, epoch=1), whole_log=False).error.name == OUT_OF_ORDER
    for number in (8, 9):
        producers.wait_for(replace(make_batch(10), producer_id=ProducerId(number)))
    assert producers.judge(make_batch(20, epoch=1), whole_log=False).error is ErrorCode.NONE
    assert len(producers._awaited) == 2


def test_sequences_go_on_with_zero_after_the_largest() -> None:
    producers = make_producers(3, first=SEQUENCES - 20)
    assert producers.judge(make_batch(10), whole_log=True).error is ErrorCode.NONE
    assert producers.judge(make_batch(0), whole_log=True).base_offset == 20
    assert producers.judge(make_batch(SEQUENCES - 10), whole_log=True).base_offset == 10


def test_a_batch_may_straddle_the_largest_sequence() -> None:
    producers = make_producers(2, first=SEQUENCES - 15)
    assert producers.judge(make_batch(5), whole_log=True).error is ErrorCode.NONE


@pytest.mark.parametrize(
    ("batches", "cut_to", "rebuild", "following"),
    [
        (3, 20, False, 20),
        (3, 25, False, 20),
        (7, 30, False, 30),
        (3, 0, False, 0),
        (7, 10, True, None),
    ],
)
def test_truncation(batches: int, cut_to: int, rebuild: bool, following: int | None) -> None:
    producers = make_producers(batches)
    assert producers.truncate(Offset(cut_to)) is rebuild
    producers.check(Offset(cut_to))
    if following is not None:
        judged = producers.judge(make_batch(following), whole_log=True)
        assert judged.error is ErrorCode.NONE
        assert judged.base_offset == -1


def test_truncating_a_new_epoch_away_needs_the_old_one() -> None:
    producers = make_producers(1, epoch=0)
    producers.record(make_batch(0, base=10, epoch=1))
    assert producers.truncate(Offset(10))
    producers.rebuild([make_batch(0, epoch=0)])
    assert producers.judge(make_batch(10, epoch=0), whole_log=True).error is ErrorCode.NONE


def test_the_longest_silent_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_state, "PRODUCERS_MAX", 2)
    producers = Producers()
    for number, producer in enumerate((1, 2, 1, 3)):
        sequence = 10 if number == 2 else 0
        batch = make_batch(sequence, base=number * 10)
        producers.record(replace(batch, producer_id=ProducerId(producer)))
    assert sorted(producers.entries()) == [1, 3]
    assert producers.forgot
    forgotten = replace(make_batch(10), producer_id=ProducerId(2))
    assert producers.judge(forgotten, whole_log=True).error is ErrorCode.NONE

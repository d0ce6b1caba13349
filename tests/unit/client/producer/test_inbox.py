"""What threads hand to the producer's loop: bounded, in order, and ended whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from odradek.errors import BufferFullError, ClientClosedError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.inbox import GATHERED_BYTES_MAX, FlushItem, Inbox, RunItem
from odradek.producer.sender import ProducerSettings
from odradek.producer.sheaf import RecordFuture, Sheaf
from odradek.records import Headers
from transport.kernel import Now
from transport.wire.records import decode_batch


class Owner:
    """Counts how often it is woken."""

    on_loop = False

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def make(
    cluster: Any, limit_bytes: int = 1_000_000, block_ms: int = 20_000
) -> tuple[ProducerEngine, Inbox]:
    cluster.topic("t", 2)
    engine = ProducerEngine(ProducerSettings(bootstrap=cluster.bootstrap))
    inbox = Inbox(engine, limit_bytes, block_ms)
    cluster.start(engine)
    return engine, inbox


class Ends:
    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}
        self.errors: dict[int, Exception] = {}

    def of(self, number: int) -> Any:
        def done(outcome: Outcome, first: int, positions: Sequence[int] | None) -> None:
            for index, position in enumerate(positions or (0,), first):
                name = number + position
                assert name not in self.offsets
                if outcome.error is not None:
                    self.errors[name] = outcome.error
                self.offsets[name] = outcome.offset(index)

        return done


def put(
    inbox: Inbox,
    ends: Ends,
    number: int,
    *,
    partition: int | None = 0,
    key: bytes | None = None,
    ms: int = 5,
    headers: Headers = (),
    owner: Owner | None = None,
    size_bytes: int = 10,
) -> RecordFuture:
    future = inbox.put_record(
        "t", partition, key, b"%d" % number, headers, ms, size_bytes, owner or Owner()
    )
    told = ends.of(number)

    def done(_future: object) -> None:
        assert future.end is not None
        told(future.end.outcome, future.end.rank, None)

    future.add_done_callback(done)
    return future


def values(cluster: Any, partition: int) -> list[int]:
    return [int(value) for value in cluster.topics["t"].partitions[partition].values()]


def test_order_is_kept_whether_records_go_together_or_not(cluster: Any) -> None:
    _, inbox = make(cluster)
    ends = Ends()
    for number in range(300):
        # Runs of the same millisecond, broken by times, partitions, headers and bulk.
        if number % 50 == 20:
            pairs = [(None, b"%d" % (1_000 + number))]
            sent_keys, sent_values = zip(*pairs, strict=True)
            inbox.put(
                RunItem("t", sent_keys, sent_values, 4, 7, ends.of(1_000 + number), 0), Owner()
            )
        partition, ms = number // 40 % 2, number // 15
        headers = (("h", b""),) if number % 33 == 0 else ()
        put(inbox, ends, number, partition=partition, ms=ms, headers=headers)
    cluster.settle()
    for partition in range(2):
        singles = [number for number in values(cluster, partition) if number < 1_000]
        assert singles == [number for number in range(300) if number // 40 % 2 == partition]
    assert not ends.errors
    for number in range(300):
        written = values(cluster, number // 40 % 2)
        assert written[ends.offsets[number]] == number


class Interrupted(list[Any]):
    """A column whose next value is taken, and no more: Ctrl-C comes then."""

    def append(self, value: Any) -> None:
        super().append(value)
        raise KeyboardInterrupt


@pytest.mark.parametrize("column", ["_keys", "_values", "timestamps_ms"])
@pytest.mark.parametrize("before", [0, 1])
def test_what_is_interrupted_while_it_is_left_is_not_there_and_shifts_no_other(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, column: str, before: int
) -> None:
    _, inbox = make(cluster)
    ends = Ends()
    for number in range(before):
        put(inbox, ends, number, key=b"%d" % number)
    opened = Sheaf.__init__

    def interrupted(sheaf: Sheaf, *given: Any) -> None:
        opened(sheaf, *given)
        setattr(sheaf, column, Interrupted())

    with monkeypatch.context() as patch:
        patch.setattr(Sheaf, "__init__", interrupted)
        if before:
            inbox._open.clear()  # so that another one is opened
        with pytest.raises(KeyboardInterrupt):
            put(inbox, ends, 7, key=b"7")
    (sheaf,) = inbox._open.values()
    setattr(sheaf, column, list(getattr(sheaf, column)))
    put(inbox, ends, 8, key=b"8")
    cluster.settle()
    assert values(cluster, 0) == [*range(before), 8]
    assert ends.offsets == {number: at for at, number in enumerate(values(cluster, 0))}
    batch = cluster.topics["t"].partitions[0].batches[-1]
    assert [record.key for record in decode_batch(batch)][-1] == b"8"


def test_whoever_is_interrupted_before_the_first_record_leaves_nothing_to_place(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, inbox = make(cluster)
    ends = Ends()

    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sheaf, "add", interrupted)
        for headers in ((), (("h", b""),)):
            with pytest.raises(KeyboardInterrupt):
                put(inbox, ends, 7, headers=headers)
    cluster.settle()
    put(inbox, ends, 8)
    cluster.settle()
    assert values(cluster, 0) == [8]


def test_records_of_one_millisecond_keep_their_own_timestamp(cluster: Any) -> None:
    _, inbox = make(cluster)
    for ms in (5, 5, 5, 6, 6, 9):
        put(inbox, Ends(), 0, ms=ms)
    cluster.settle()
    from transport.wire.records import decode_batch

    batches = cluster.topics["t"].partitions[0].batches
    assert [r.timestamp_ms for batch in batches for r in decode_batch(batch)] == [5, 5, 5, 6, 6, 9]


def test_only_the_first_record_wakes_the_loop(cluster: Any) -> None:
    _, inbox = make(cluster)
    owner = Owner()
    for number in range(2):
        put(inbox, Ends(), number, owner=owner)
        assert owner.woken == 1
    cluster.settle()
    put(inbox, Ends(), 2, owner=owner)
    assert owner.woken == 2


def test_records_that_would_wait_for_an_answer_wake_nobody(cluster: Any) -> None:
    engine, inbox = make(cluster)
    ends, owner = Ends(), Owner()
    put(inbox, ends, 0, partition=None, owner=owner)
    cluster.settle()
    assert not engine.gathers("t"), "its batch is acked"
    cluster.held.update(cluster.brokers)
    put(inbox, ends, 1, partition=None, owner=owner)
    cluster.settle()
    assert engine.gathers("t")
    assert owner.woken == 2
    put(inbox, ends, 2, partition=None, owner=owner)
    put(inbox, ends, 3, partition=None, owner=owner)
    assert owner.woken == 2
    cluster.release()
    cluster.settle()
    assert sorted(ends.offsets) == [0, 1, 2, 3], "the turn that took the answer took them too"
    assert not ends.errors


def test_records_that_may_go_elsewhere_and_many_bytes_wake_the_loop(cluster: Any) -> None:
    _, inbox = make(cluster)
    put(inbox, Ends(), 0, partition=None)
    cluster.settle()
    cluster.held.update(cluster.brokers)
    put(inbox, Ends(), 1, partition=None)
    for partition, key, wakes in ((None, None, False), (None, b"k", True), (1, None, True)):
        cluster.settle()
        owner = Owner()
        put(inbox, Ends(), 2, partition=partition, key=key, owner=owner)
        assert owner.woken == wakes, (partition, key)
    cluster.settle()
    owner = Owner()
    put(inbox, Ends(), 3, partition=None, size_bytes=GATHERED_BYTES_MAX, owner=owner)
    assert owner.woken == 0
    put(inbox, Ends(), 4, partition=None, owner=owner)
    assert owner.woken == 1


def test_a_full_memory_blocks_until_something_is_acked(cluster: Any) -> None:
    _, inbox = make(cluster, limit_bytes=100)
    ends = Ends()
    for number in range(10):
        put(inbox, ends, number)
    assert not inbox.has_room()
    told: list[RecordFuture] = []
    thread = threading.Thread(target=lambda: told.append(put(inbox, ends, 10)))
    thread.start()
    while thread.is_alive():
        cluster.settle()
    thread.join()
    cluster.settle()
    assert values(cluster, 0) == list(range(11))
    assert len(told) == 1


def test_a_memory_that_stays_full_is_an_error(cluster: Any) -> None:
    _, inbox = make(cluster, limit_bytes=10, block_ms=10)
    put(inbox, Ends(), 0)
    with pytest.raises(BufferFullError, match="10 bytes"):
        put(inbox, Ends(), 1)


def test_flush_hears_of_everything_before_it(cluster: Any) -> None:
    _, inbox = make(cluster)
    ends = Ends()
    flushed: list[int] = []
    put(inbox, ends, 0)
    inbox.put(FlushItem(lambda: flushed.append(len(ends.offsets))), Owner())
    put(inbox, ends, 1)
    cluster.settle()
    assert flushed
    assert flushed[0] >= 1


def test_closing_ends_what_was_never_placed_and_whoever_waits(cluster: Any) -> None:
    _, inbox = make(cluster, limit_bytes=20)
    ends = Ends()
    put(inbox, ends, 0)
    inbox.put(RunItem("t", [None, None], [b"1", b"2"], 10, 0, ends.of(1)), Owner())
    raised: list[Exception] = []

    def block() -> None:
        try:
            put(inbox, ends, 9)
        except ClientClosedError as error:
            raised.append(error)

    thread = threading.Thread(target=block)
    thread.start()
    inbox.close(ClientClosedError())
    thread.join()
    assert len(raised) == 1
    assert set(ends.errors) == {0, 1, 2}
    with pytest.raises(ClientClosedError):
        put(inbox, ends, 3)


def test_a_partition_that_is_not_there_fails_each_record(cluster: Any) -> None:
    _, inbox = make(cluster)
    ends = Ends()
    for number in range(3):
        put(inbox, ends, number, partition=7)
    cluster.settle()
    assert set(ends.errors) == {0, 1, 2}


def test_a_record_that_ends_the_loop_ends_itself(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, inbox = make(cluster)
    ends = Ends()
    put(inbox, ends, 0)

    def broken(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "send_run", broken)
    with pytest.raises(ZeroDivisionError):
        inbox.drain(Now(0, 0))
    assert "ZeroDivisionError" in str(ends.errors[0])


def test_a_callback_does_not_wait_for_room(cluster: Any) -> None:
    _, inbox = make(cluster, limit_bytes=10)
    owner = Owner()
    put(inbox, Ends(), 0, owner=owner)
    owner.on_loop = True
    with pytest.raises(BufferFullError, match="a callback cannot wait"):
        put(inbox, Ends(), 1, owner=owner)


def test_room_that_a_turn_makes_at_its_end_is_used_without_another_input(cluster: Any) -> None:
    cluster.topic("t", 2)
    settings = ProducerSettings(
        bootstrap=cluster.bootstrap, buffer_memory_bytes=60, delivery_timeout_ms=1_000
    )
    engine = ProducerEngine(settings)
    inbox = Inbox(engine, 60, 20_000)
    cluster.start(engine)
    put(inbox, Ends(), 9)
    cluster.settle()
    cluster.held = {1, 2, 3}
    ends = Ends()
    put(inbox, ends, 0, partition=0)
    put(inbox, ends, 1, partition=1)
    cluster.settle()
    assert engine.buffered_bytes >= 60, "there is no room for the second"
    cluster.now = Now(cluster.now.mono_ms + 1_000, cluster.now.wall_ms + 1_000)
    cluster.turn()
    assert list(ends.errors) == [0]
    assert engine.own_deadline_ms() == 0, "nothing else need wake it"
    cluster.settle()
    assert engine.buffered_bytes >= 60, "the second has its place"

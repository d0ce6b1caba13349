"""Futures of records: they are concurrent.futures' own, and miss nobody."""

from __future__ import annotations

import asyncio
import threading
from array import array
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from typing import Any

import pytest

from odradek.errors import BufferFullError, ClientTimeoutError, NotEnoughReplicasError
from odradek.producer.accumulator import Outcome
from odradek.producer.futures import ManyFuture
from odradek.producer.sheaf import RecordFuture, Sheaf
from odradek.records import RecordMetadata

GOOD = Outcome("t", 3, 100)


def record(timestamp_ms: int) -> RecordFuture:
    return Sheaf("t", None).add(None, b"v", timestamp_ms, 1)


def settle_all(futures: list[RecordFuture], outcome: Outcome) -> None:
    for future in futures:
        future.sheaf.settle(outcome, 1, None)


BAD = Outcome("t", 3, -1, NotEnoughReplicasError())


def test_the_result_is_made_from_the_batchs_end() -> None:
    future = record(1_234)
    assert future.running()
    assert not future.done()
    assert not future.cancel()
    future.sheaf.settle(GOOD, 7, None)
    assert future.done()
    assert future.result(0) == future.get() == RecordMetadata("t", 3, 107, 1_234)
    assert future.exception() is None
    assert future.succeeded()
    assert not future.failed()
    assert future.result().timestamp == 1_234
    assert future.result().topic_partition == ("t", 3)


def test_an_error_is_raised_to_whoever_asks() -> None:
    future = record(0)
    future.sheaf.settle(BAD, 0, None)
    with pytest.raises(NotEnoughReplicasError):
        future.get(1)
    assert isinstance(future.exception(), NotEnoughReplicasError)
    assert future.failed()


def test_waiting_ends_after_its_time() -> None:
    future = record(0)
    with pytest.raises(ClientTimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0.01)


def test_callbacks_come_once_before_or_after_the_end() -> None:
    future = record(0)
    told: list[Any] = []
    future.add_done_callback(told.append)
    future.add_callback(lambda tag, metadata: told.append((tag, metadata.offset)), "tag")
    future.add_errback(told.append)
    future.sheaf.settle(GOOD, 0, None)
    future.add_done_callback(told.append)
    assert told == [future, ("tag", 100), future]
    failed = record(0)
    failed.add_callback(told.append).add_errback(told.append)
    failed.sheaf.settle(BAD, 0, None)
    assert told[3:] == [BAD.error]


def test_a_callback_that_fails_keeps_no_other_from_being_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    future = record(0)
    told: list[Any] = []
    future.add_done_callback(lambda _future: 1 // 0)
    future.add_done_callback(told.append)
    future.sheaf.settle(GOOD, 0, None)
    assert told == [future]
    assert "callback" in caplog.text


def test_threads_that_wait_are_woken() -> None:
    futures = [record(0) for _ in range(200)]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(future.result, 20) for future in futures]
        for index, future in enumerate(futures):
            future.sheaf.settle(GOOD, index, None)
        assert [one.result().offset for one in waiting] == list(range(100, 300))


def test_the_standard_library_can_wait_for_them() -> None:
    futures = [record(0) for _ in range(50)]
    timer = threading.Timer(0.01, settle_all, (futures, GOOD))
    timer.start()
    done, left = wait(futures, timeout=20)
    assert (len(done), len(left)) == (50, 0)
    timer.join()
    more = [record(0) for _ in range(50)]
    timer = threading.Timer(0.01, settle_all, (more, BAD))
    timer.start()
    assert len(list(as_completed([*futures, *more], timeout=20))) == 100
    timer.join()


def test_asyncio_can_await_them() -> None:
    async def go() -> list[RecordMetadata]:
        futures = [record(0) for _ in range(20)]
        wrapped = [asyncio.wrap_future(future) for future in futures]
        thread = threading.Thread(target=settle_all, args=(futures, GOOD))
        thread.start()
        results = await asyncio.gather(*wrapped)
        thread.join()
        return results

    assert {metadata.offset for metadata in asyncio.run(go())} == {101}


def test_each_record_of_a_sheaf_has_the_end_of_the_batch_it_was_in() -> None:
    sheaf = Sheaf("t", None)
    futures = [sheaf.add(None, b"v", 1_000 + place, 1) for place in range(6)]
    told: list[RecordFuture] = []
    for future in (futures[4], futures[0], futures[3]):
        future.add_done_callback(told.append)  # type: ignore[arg-type]
    sheaf.settle(Outcome("t", 1, 50), 10, array("i", (0, 2, 4)))
    assert told == [futures[0], futures[4]]
    assert [future.done() for future in futures] == [True, False] * 3
    sheaf.settle(Outcome("t", 0, 20), 0, (1,))
    sheaf.settle(BAD, 0, range(3, 6, 2))
    assert told == [futures[0], futures[4], futures[3]]
    written = [(0, 1, 60), (1, 0, 20), (2, 1, 61), (4, 1, 62)]
    for place, partition, offset in written:
        expected = RecordMetadata("t", partition, offset, 1_000 + place)
        assert futures[place].result(0) == expected
    assert futures[3].failed()
    assert futures[5].failed()


class Owner:
    on_loop = False

    def wake(self) -> None:
        """Nothing waits."""


def test_a_sheaf_holds_its_owner_until_its_last_record_has_ended() -> None:
    owner = Owner()
    sheaf = Sheaf("t", None, (), owner)
    for _ in range(3):
        sheaf.add(None, b"v", 0, 1)
    sheaf.settle(GOOD, 0, (1, 2))
    assert sheaf.owner is owner
    sheaf.settle(BAD, 0, (0,))
    assert sheaf.owner is None


def test_many_end_when_the_last_part_has_and_keep_the_order() -> None:
    many = ManyFuture("t", 5)
    first, second = many.part(0), many.part(4)
    second(Outcome("t", 1, 50), 10, range(3))
    first(Outcome("t", 0, 20), 2, (1, 3))
    many.expect(7)
    assert not many.done()
    first(Outcome("t", 2, 30), 0, (0, 2))
    written = many.result(0)
    assert len(written) == 7
    places = [(one.partition, one.offset) for one in written]
    assert places == [(2, 30), (0, 22), (2, 31), (0, 23), (1, 60), (1, 61), (1, 62)]
    assert written[-1] == RecordMetadata("t", 1, 62, 5)
    assert written[1:3] == [written[1], written[2]]
    assert repr(written) == "WrittenRecords(7 records in 't')"


def test_many_fail_if_any_does_but_not_before_all_have_ended() -> None:
    many = ManyFuture("t", 0)
    part = many.part(0)
    many.expect(3)
    part(BAD, 0, range(1))
    assert not many.done()
    part(GOOD, 0, range(1, 3))
    with pytest.raises(NotEnoughReplicasError):
        many.result(0)


def test_many_that_could_not_all_be_handed_in_fail() -> None:
    many = ManyFuture("t", 0)
    part = many.part(0)
    many.abandon(2, BufferFullError())
    assert not many.done()
    part(GOOD, 0, range(2))
    with pytest.raises(BufferFullError):
        many.result(0)


def test_none_at_all_is_a_good_end() -> None:
    many = ManyFuture("t", 0)
    many.expect(0)
    assert list(many.result(0)) == []
